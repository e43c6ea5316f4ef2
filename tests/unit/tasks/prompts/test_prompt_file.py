"""Prompt files: what people have is read as prompts, references and other columns."""

import json
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.data.input_files import ReadOptions
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.tasks.prompts.prompt_file import ColumnsConfig, PromptFile, read_prompts

HI = {"role": "user", "content": "Hi"}
HELLO = {"role": "assistant", "content": "Hello!"}


def read(path: Path, text: str, *, completions: bool = False, **columns: Any) -> PromptFile:
    path.write_text(text, encoding="utf-8")
    return read_prompts(path, None, ReadOptions(), ColumnsConfig(**columns), completions=completions)


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_text_file_has_a_prompt_per_line(tmp_path: Path) -> None:
    found = read(tmp_path / "p.txt", "\ufeffName a cat.\n\n  \nName a dog.\n")

    assert [row.prompt for row in found.rows] == ["Name a cat.", "Name a dog."]
    assert not found.conversations


def test_a_folder_of_text_files_is_read_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text(f"Prompt {name}\n", encoding="utf-8")
    found = read_prompts(tmp_path, "*.txt", ReadOptions(), ColumnsConfig())

    assert [row.prompt for row in found.rows] == ["Prompt a.txt", "Prompt b.txt"]


@pytest.mark.parametrize(
    ("row", "reference", "others"),
    [
        ({"prompt": "Q"}, None, {}),
        ({"question": "Q", "answer": "A", "level": 3}, "A", {"level": 3}),
        ({"prompt": "Q", "response": "R", "ground_truth": "A"}, "A", {"response": "R"}),
        ({"prompt": "Q", "solution": 42}, "42", {}),
        ({"prompt": "Q", "reference": None, "tags": ["a"]}, None, {"reference": None, "tags": ["a"]}),
        ({"prompt": "Q", "output": ["A", "B"], "target": HELLO}, "Hello!", {"output": ["A", "B"]}),
    ],
)
def test_references_are_found_by_their_usual_names(
    tmp_path: Path, row: dict[str, Any], reference: str | None, others: dict[str, Any]
) -> None:
    (found,) = read(tmp_path / "p.jsonl", lines(row)).rows

    assert (found.prompt, found.reference, found.columns, found.completion) == ("Q", reference, others, None)
    assert found.row == row


def test_alpacas_columns_are_joined(tmp_path: Path) -> None:
    found = read(tmp_path / "p.jsonl", lines({"instruction": "Translate.", "input": "Hund", "output": "dog"}))

    assert [(row.prompt, row.reference, row.columns) for row in found.rows] == [("Translate.\n\nHund", "dog", {})]


def test_the_last_message_of_a_conversation_is_the_reference(tmp_path: Path) -> None:
    found = read(tmp_path / "p.jsonl", lines({"messages": [HI, HELLO]}, {"messages": [HI]}))

    assert [(json.loads(row.prompt), row.reference) for row in found.rows] == [([HI], "Hello!"), ([HI], None)]
    assert found.conversations


def test_a_configured_column_comes_first(tmp_path: Path) -> None:
    rows = lines({"prompt": "Q", "reference": "A", "meta": {"gold": "G"}})
    found = read(tmp_path / "p.jsonl", rows, reference="meta.gold")

    assert found.rows[0].reference == "G"
    assert next(iter(found.overview())) == ["columns", "prompt=prompt, reference=meta.gold"]


def test_with_completions_the_answer_is_one(tmp_path: Path) -> None:
    """A list of one assistant message is an answer too; a reference has to be called that."""
    rows = lines({"prompt": "Q", "answer": "A", "target": "T"}, {"prompt": "Q", "answer": [HELLO], "target": None})
    found = read(tmp_path / "p.jsonl", rows, completions=True)

    assert [(row.completion, row.reference) for row in found.rows] == [("A", "T"), ("Hello!", None)]


def test_with_completions_the_last_message_is_one(tmp_path: Path) -> None:
    found = read(tmp_path / "p.jsonl", lines({"messages": [HI, HELLO]}, {"messages": [HI]}), completions=True)

    assert [(json.loads(row.prompt), row.completion, row.reference) for row in found.rows] == [([HI], "Hello!", None)]
    assert found.faults.counts == {"conversation does not end with the assistant": 1}


def test_a_column_may_be_missing_from_the_first_rows(tmp_path: Path) -> None:
    rows = lines(*[{"id": number} for number in range(100)], {"id": 100, "prompt": "Q"})
    found = read(tmp_path / "p.jsonl", rows)

    assert [row.prompt for row in found.rows] == ["Q"]
    assert found.faults.counts == {"prompt is missing": 100}


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        (lines({"promt": "Q"}), {}, "p.jsonl: no prompt column found (prompt, instruction"),
        (lines({"prompt": "Q"}), {"prompt": "promt"}, "task.columns.prompt=promt: p.jsonl has no such column. Did you"),
        (lines({"prompt": "Q"}), {"reference": "gold"}, "task.columns.reference=gold: p.jsonl has no such column."),
    ],
)
def test_a_missing_column_is_explained(tmp_path: Path, text: str, columns: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path / "p.jsonl", text, **columns)
    assert said in str(error.value)


def test_without_completions_there_is_nothing_to_grade(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"p\.jsonl: no completion column found"):
        read(tmp_path / "p.jsonl", lines({"prompt": "Q"}), completions=True)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_text_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="the file has no prompts"):
        read(tmp_path / "p.txt", text)
