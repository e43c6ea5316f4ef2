"""Splits by a salted hash of the normalised prompt, so that a prompt is in one split wherever it comes from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.records import Prompt


@dataclass
class SplitConfig:
    """Shares of the prompts that are held out."""

    test: float = 0.2
    validation: float = 0.1
    minimum: int = 8
    """Smallest size of a split, in prompts."""
    salt: str = "gcsl"


def prompt_id(text: str) -> str:
    """Sixteen hex digits of the prompt's text with case and white space folded."""
    return hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()[:16]


def split_prompts(texts: Sequence[str], split: SplitConfig) -> list[Prompt]:
    """Each distinct prompt once with its split, in the order of the unsalted hash: the first n are a fair sample.

    Raises:
        ConfigError: the shares leave nothing to train on.
        DataError: there are too few prompts for three splits of the minimum size.
    """
    if split.test < 0 or split.validation < 0 or split.test + split.validation >= 1 or split.minimum < 1:
        raise ConfigError(
            f"task.split: test={split.test:g}, validation={split.validation:g}, minimum={split.minimum}; the shares "
            "have to be at least 0 and below 1 in sum, the minimum at least 1. Leave them out for the defaults."
        )
    by_id: dict[str, str] = {}
    for text in texts:
        by_id.setdefault(prompt_id(text), text)
    if len(by_id) < 3 * split.minimum:
        raise DataError(
            f"There are {len(by_id)} distinct prompts; three splits of at least {split.minimum} need "
            f"{3 * split.minimum}. Give more prompts or a smaller task.split.minimum."
        )
    draws = {id_: _draw(id_, split.salt) for id_ in by_id}
    ranked = sorted(by_id, key=lambda id_: draws[id_])
    tests = max(split.minimum, sum(draw < split.test for draw in draws.values()))
    tests = min(tests, len(ranked) - 2 * split.minimum)
    held_out = max(tests + split.minimum, sum(draw < split.test + split.validation for draw in draws.values()))
    held_out = min(held_out, len(ranked) - split.minimum)
    names = dict.fromkeys(ranked[:tests], "test") | dict.fromkeys(ranked[tests:held_out], "validation")
    return [Prompt(id_, by_id[id_], names.get(id_, "train")) for id_ in sorted(by_id)]


def _draw(id_: str, salt: str) -> float:
    digest = hashlib.sha256(f"{salt}:{id_}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
