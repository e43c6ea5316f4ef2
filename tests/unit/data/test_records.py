"""Parquet files of records: round trips, and errors for unreadable files."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gcsl_cli.data.records import (
    FEEDBACK,
    GOAL_ROWS,
    FeedbackRow,
    FeedbackRows,
    Generation,
    read_feedback,
    read_generations,
    read_table,
    write_columns,
    write_generations,
    write_table,
)
from gcsl_cli.errors import DataError

ROWS = [
    FeedbackRow("I wanted to", " say 'thank you'\n", 0.98, "5f2c", "train", False, "rollouts"),
    FeedbackRow("Über 😀", "\x00\t", -1e300, "77aa", "validation"),
]
GENERATIONS = [
    Generation("5f2c", "I wanted to", 0, " go", 4, True),
    Generation("5f2c", "I wanted to", 1, "", 1, True),
]


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    """The Parquet pages have checksums; the bit belongs to a text, which any value could be."""
    path = tmp_path / "feedback.parquet"
    write_table(path, FeedbackRows.of(ROWS).table)
    path.write_bytes(path.read_bytes().replace(b"I wanted to", b"I wanted so", 1))

    with pytest.raises(DataError, match=r"feedback\.parquet: cannot be read as Parquet .* damaged"):
        read_feedback(path)


def test_feedback_round_trip(tmp_path: Path) -> None:
    write_table(tmp_path / "feedback.parquet", FeedbackRows.of(ROWS).table)

    assert list(read_feedback(tmp_path / "feedback.parquet")) == ROWS


def test_generations_round_trip(tmp_path: Path) -> None:
    write_generations(tmp_path / "generations.parquet", GENERATIONS)

    assert read_generations(tmp_path / "generations.parquet") == GENERATIONS


def test_an_empty_table_round_trip(tmp_path: Path) -> None:
    write_table(tmp_path / "feedback.parquet", FEEDBACK.empty_table())

    assert list(read_feedback(tmp_path / "feedback.parquet")) == []


def test_columns_are_cast_to_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_columns(path, GOAL_ROWS, {"level": np.array([0, 1]), "row": np.array([7, 8]), "more": np.array([0, 0])})

    table = read_table(path, GOAL_ROWS)

    assert table.schema.equals(GOAL_ROWS)
    assert table.to_pydict() == {"row": [7, 8], "level": [0, 1]}


def test_an_extra_column_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"more": ["x"], "level": [1], "row": [2]}), path)

    assert read_table(path, GOAL_ROWS).to_pylist() == [{"row": 2, "level": 1}]


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_truncated_file(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "feedback.parquet"
    write_table(path, FeedbackRows.of(ROWS).table)
    content = path.read_bytes()
    path.write_bytes(content[: math.floor(len(content) * kept)])

    with pytest.raises(DataError, match=r"feedback\.parquet: cannot be read as Parquet .* or damaged; delete"):
        read_feedback(path)


def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "feedback.parquet"
    write_table(path, FeedbackRows.of(ROWS).table)
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56
    path.write_bytes(content)

    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_feedback(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"feedback\.parquet: no such file"):
        read_feedback(tmp_path / "feedback.parquet")


def test_a_missing_column(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"row": [1], "grade": [2]}), path)

    with pytest.raises(DataError, match=r"no column 'level'; the columns are row, grade"):
        read_table(path, GOAL_ROWS)


@pytest.mark.parametrize("levels", [["high"], [2**31]], ids=["text", "too large"])
def test_a_column_of_the_wrong_type(tmp_path: Path, levels: list[object]) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"row": [1], "level": levels}), path)

    with pytest.raises(DataError, match=r"rows\.parquet: a column has the wrong type"):
        read_table(path, GOAL_ROWS)


def test_rows_by_index_slice_and_list_of_indices() -> None:
    rows = FeedbackRows.of([*ROWS, ROWS[0]])

    assert (len(rows), rows[1], rows[-1], list(rows[1:])) == (3, ROWS[1], ROWS[0], [ROWS[1], ROWS[0]])
    assert list(rows.take(np.array([2, 1, 2]))) == [ROWS[0], ROWS[1], ROWS[0]]
    with pytest.raises(IndexError):
        rows[3]


def test_splits_scores_and_prompts() -> None:
    rows = FeedbackRows.of([*ROWS, ROWS[0]])

    assert list(rows.of_split("train")) == [ROWS[0], ROWS[0]]
    assert len(rows.of_split("test")) == 0
    assert rows.scores.tolist() == [0.98, -1e300, 0.98]
    assert rows.prompts.tolist() == [0, 1, 0]
