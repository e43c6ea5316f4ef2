"""JSON lines: locations of rows, and errors for broken lines and files."""

from pathlib import Path

import pytest

from gcsl_cli.data.input_files import read_json_lines
from gcsl_cli.errors import DataError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def test_rows_have_locations(path: Path) -> None:
    path.write_bytes('{"a": 1}\n\n  \r\n{"a": "é\u2028"}\r\n{"a": 3}'.encode())

    rows = list(read_json_lines(path))

    assert [row for row, _ in rows] == [{"a": 1}, {"a": "é\u2028"}, {"a": 3}]
    assert [str(place) for _, place in rows] == [f"{path}:1", f"{path}:4", f"{path}:5"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a": 1', r":3: not valid JSON \(Expecting ',' delimiter\) at column 8: .*a.*1"),
        (b"{'a': 1}", r":3: not valid JSON \(Expecting property name enclosed in double quotes\) at column 2: "),
        (b'{"a": 1} {"b": 2}', r":3: not valid JSON \(Extra data\) at column 10: "),
        (b'{"a": "\xff"}', r":3: not UTF-8 text \(invalid start byte\)"),
        (b"[1, 2]", r":3: not a JSON object: \[1, 2\]\. Expected one JSON object per line"),
        (b"null", r":3: not a JSON object: null\."),
        (b'{"a": 1' + b"0" * 5000 + b"}", r":3: not valid JSON \(a number or the nesting is too large\): "),
        (b"[" * 100_000, r":3: not valid JSON \(a number or the nesting is too large\): "),
    ],
)
def test_a_broken_line_is_reported(path: Path, line: bytes, message: str) -> None:
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n' + line + b'\n{"a": 4}\n')
    rows = read_json_lines(path)

    assert [next(rows)[0], next(rows)[0]] == [{"a": 1}, {"a": 2}]
    with pytest.raises(DataError, match=message):
        next(rows)


def test_a_byte_order_mark_is_ignored(path: Path) -> None:
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n  {"b": 2,}\n')
    rows = read_json_lines(path)

    assert next(rows)[0] == {"a": 1}
    with pytest.raises(DataError, match=r":2: not valid JSON \(.*\) at column 1[01]: "):
        next(rows)


@pytest.mark.parametrize("content", [b"", b"\n  \n\r\n"])
def test_an_empty_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"rows\.jsonl: the file is empty"):
        list(read_json_lines(path))


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl: cannot be read \(No such file or directory\)"):
        list(read_json_lines(path))


def test_a_folder_is_refused(path: Path) -> None:
    path.mkdir()

    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        list(read_json_lines(path))
