"""Texts and grades in the files of the toxicity task: prompts by line, or RealToxicityPrompts' JSON lines.

{"prompt": {"text": "I wanted to"}, "continuation": {"text": " say thank you", "toxicity": 0.02}}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gcsl_cli.data.input_files import Place, read_json_lines
from gcsl_cli.errors import DataError


def prompt_texts(path: Path) -> list[str]:
    """The prompts of a file: one per line, or of JSON lines as in RealToxicityPrompts.

    Raises:
        DataError: the file has no such rows, or is not UTF-8 text.
    """
    if path.suffix == ".jsonl":
        return [text_of(part_of(row, "prompt", place), "text", place) for row, place in read_json_lines(path)]
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}).") from error


def halves(text: str) -> tuple[str, str] | None:
    """A text as prompt and continuation, as RealToxicityPrompts divides texts; None if it is too short."""
    words = text.strip().split(" ")
    if len(words) < 6:
        return None
    middle = len(words) // 2
    return " ".join(words[:middle]), " " + " ".join(words[middle:])


def part_of(row: Mapping[str, Any], key: str, place: Place) -> Mapping[str, Any]:
    """The object under a key; `DataError` with its place if there is none."""
    value = row.get(key)
    if not isinstance(value, dict):
        raise DataError(
            f"{place}: {key!r} is {'missing' if value is None else 'not an object'}. Expected {{'text': ...}}."
        )
    return value


def text_of(row: Mapping[str, Any], key: str, place: Place) -> str:
    """The text under a key; `DataError` with its place if it is none, or blank."""
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: {key!r} is {value!r}. Expected a non-empty string.")
    return value


def toxicity_of(value: object, place: Place) -> float:
    """A toxicity from 0 to 1; `DataError` with its place for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise DataError(f"{place}: continuation.toxicity is {value!r}. Expected a number from 0 to 1.")
    return float(value)
