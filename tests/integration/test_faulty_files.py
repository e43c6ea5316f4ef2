"""A hundred faults in files of graded completions: each ends in exit 2 and one message that names the file."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.commands import gcsl

pytestmark = pytest.mark.usefixtures("remembered_composition")

ROWS = [{"prompt": f"What is {n}?", "completion": f"It is {n}.", "score": n % 5} for n in range(30)]
USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}
CHATS = [{"messages": [{"role": "user", "content": f"Hi {n}"}, ANSWER], "score": n % 5} for n in range(30)]
NO_TEXTS: list[Any] = [
    None,
    "",
    " \n",
    {},
    {"a": 1},
    [],
    [[]],
    ["a", 1],
    True,
    "\ud800",
    "␟calls␟x",
    [{"role": "robot"}],
]
NO_GRADES: list[Any] = [
    None,
    "",
    "fine",
    "1,5",
    "--1",
    "nan",
    "inf",
    "1e999",
    10**400,
    {},
    {"a": 1},
    [],
    [1, 2],
    "\ud800",
]
NO_CONTENTS: list[Any] = [
    None,
    "",
    " ",
    3,
    True,
    {},
    {"text": "a"},
    [],
    [1],
    [{"type": "image_url"}],
    [{"type": "text"}],
    "\ud800",
]
NO_CHATS: list[Any] = [
    None,
    "",
    "Hi",
    3,
    {},
    [],
    [[]],
    ["Hi"],
    [None],
    [{}],
    [USER],
    [ANSWER],
    [ANSWER, ANSWER],
    [USER, USER],
]
NO_ROLES: list[Any] = [None, "", "robot", 3, [], {"user": 1}]
NO_LINES = ["{", '{"prompt": "a"', "null", "3", '"a"', "[1]", "{'prompt': 'a'}", "a,b,c", "\x00", '{"a": 1} {"b": 2}']
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda content: bytes(pa.compress(content, codec="zstd", asbytes=True)),
}


def lines(rows: list[Any]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def changed(rows: list[dict[str, Any]], **values: Any) -> bytes:
    return lines([*rows[:20], {**rows[20], **values}, *rows[21:]])


def faults() -> Iterator[tuple[str, bytes]]:
    """The name of a file and its content, with one fault each."""
    yield from (("a.jsonl", changed(ROWS, prompt=value)) for value in NO_TEXTS)
    yield from (("a.jsonl", changed(ROWS, completion=value)) for value in NO_TEXTS)
    yield from (("a.jsonl", changed(ROWS, score=value)) for value in NO_GRADES)
    yield from (("a.jsonl", changed(CHATS, messages=value)) for value in NO_CHATS)
    yield from (("a.jsonl", changed(CHATS, messages=[{"role": role, "content": "Hi"}, ANSWER])) for role in NO_ROLES)
    yield from (("a.jsonl", changed(CHATS, messages=[{**USER, "content": value}, ANSWER])) for value in NO_CONTENTS)
    yield from (("a.jsonl", lines(ROWS) + line.encode() + b"\n") for line in NO_LINES)
    yield from (("a.json", json.dumps(ROWS, indent=1).encode()[:-end]) for end in (1, 2, 9, 99))
    for kind, pack in PACKED.items():
        yield from ((f"a.jsonl.{kind}", pack(lines(ROWS))[:-end]) for end in (5, 50, 100))
    sheet = "prompt;completion;score\n" + "".join(f"{n};b;{n % 5}\n" for n in range(30))
    yield from (("a.csv", f"{sheet}{row}\n".encode()) for row in ("a;b", "a;b;1;2", "a;b;", ";b;1", 'a;"b;1', "a;b;x"))


FAULTS = [*faults()]


def test_there_are_a_hundred() -> None:
    assert len(FAULTS) >= 100


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_a_fault_ends_in_one_message(tmp_path: Path, tiny_model: Path, number: int) -> None:
    name, content = FAULTS[number]
    (tmp_path / name).write_bytes(content)
    ended = gcsl("inspect", str(tmp_path / name), "task.on_error=fail", "model=local", f"model.uri={tiny_model}")

    assert (ended.code, ended.out) == (2, ""), (content, ended)
    assert ended.err.startswith("Error: ")
    assert ended.err.count("Error: ") == 1
    assert f"{tmp_path / name}:" in ended.err
    assert "Traceback" not in ended.err
    assert len(ended.err) < 1000


@pytest.mark.parametrize("end", [1, 8, 100, 400])
def test_a_cut_off_parquet_file_ends_in_one_message(tmp_path: Path, tiny_model: Path, end: int) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    path.write_bytes(path.read_bytes()[:-end])
    ended = gcsl("inspect", str(path), "model=local", f"model.uri={tiny_model}")

    assert (ended.code, ended.err.count("Error: ")) == (2, 1), ended.err
    assert f"{path}: " in ended.err
