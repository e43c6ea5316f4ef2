"""The rows that pass between stages, as Arrow tables in Parquet files.

A feedback row (one file, `feedback.parquet`):
    {"prompt": "I wanted to", "completion": " say thank you", "score": 0.98, "prompt_id": "5f2c...", "split": "train",
     "finished": false, "source": "rollouts"}
`finished` is false where the completion was cut at a length limit: it then does not teach an end of text.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gcsl_cli.errors import DataError
from gcsl_cli.runs.files import whole_file

FEEDBACK = pa.schema(
    [
        ("prompt", pa.string()),
        ("completion", pa.string()),
        ("score", pa.float64()),
        ("prompt_id", pa.string()),
        ("split", pa.string()),
        ("finished", pa.bool_()),
        ("source", pa.string()),
    ]
)
GOAL_ROWS = pa.schema([("row", pa.int32()), ("level", pa.int32())])
PREFERENCE_PAIRS = pa.schema([("chosen", pa.int32()), ("rejected", pa.int32())])
PLAN = pa.schema(
    [
        ("step", pa.int32()),
        ("micro", pa.int32()),
        ("sequence", pa.int32()),  # neighbours of one sequence are one feedback row under several goals
        ("row", pa.int32()),
        ("goal", pa.float64()),  # what is asked for, NaN for nothing
        ("tokens", pa.int32()),
        ("weight", pa.float64()),
    ]
)
VALUES = pa.schema(
    [
        ("arm", pa.string()),
        ("metric", pa.string()),
        ("numerator", pa.list_(pa.float64())),  # of each evaluation prompt, in their order
        ("denominator", pa.list_(pa.float64())),
        ("transform", pa.string()),
    ]
)
LIKELIHOODS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("log_probs", pa.list_(pa.float64())),  # of each candidate, summed over its tokens, nats
        ("tokens", pa.list_(pa.float64())),
    ]
)
GENERATION = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("prompt", pa.string()),
        ("sample", pa.int32()),
        ("completion", pa.string()),
        ("tokens", pa.int32()),
        ("finished", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt with its identity (a hash of the normalised text) and its split."""

    prompt_id: str
    text: str
    split: str


@dataclass(frozen=True, slots=True)
class FeedbackRow:
    """A completion and the grade that it got; `score` is higher for better."""

    prompt: str
    completion: str
    score: float
    prompt_id: str
    split: str
    finished: bool = True
    source: str = ""


@dataclass(frozen=True)
class FeedbackRows(Sequence[FeedbackRow]):
    """Feedback rows in an Arrow table: a million of them are as large as their texts; a row is made when it is read."""

    table: pa.Table
    """With the columns of `FEEDBACK`."""

    @staticmethod
    def of(rows: Iterable[FeedbackRow]) -> "FeedbackRows":
        """The given rows as a table."""
        return FeedbackRows(pa.Table.from_pylist([asdict(row) for row in rows], schema=FEEDBACK))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, index: int) -> FeedbackRow: ...
    @overload
    def __getitem__(self, index: slice) -> "FeedbackRows": ...
    def __getitem__(self, index: int | slice) -> "FeedbackRow | FeedbackRows":
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        place = range(len(self))[index]
        return FeedbackRow(*(column[place].as_py() for column in self.table.columns))

    def __iter__(self) -> Iterator[FeedbackRow]:
        for batch in self.table.to_batches(max_chunksize=8192):
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield FeedbackRow(*values)

    def take(self, places: NDArray[np.int64]) -> "FeedbackRows":
        """The rows at `places`, in that order."""
        return FeedbackRows(self.table.take(pa.array(places)))

    def of_split(self, split: str) -> "FeedbackRows":
        """The rows of a split, in order."""
        return FeedbackRows(self.table.filter(pc.equal(self.table["split"], split)).combine_chunks())

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """The scores, `(rows,)`."""
        return np.asarray(self.table["score"].to_numpy(), dtype=np.float64)

    @cached_property
    def prompts(self) -> NDArray[np.int64]:
        """A number for each row's prompt, equal where the prompt is the same, `(rows,)`."""
        column = self.table["prompt_id"].combine_chunks().dictionary_encode()
        return np.asarray(column.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Generation:
    """One sampled completion of a prompt; `tokens` counts its tokens, the end of text included."""

    prompt_id: str
    prompt: str
    sample: int
    completion: str
    tokens: int
    finished: bool


def write_generations(path: Path, records: Iterable[Generation]) -> None:
    """Write generations as one Parquet file, whole or not at all."""
    write_table(path, pa.Table.from_pylist([asdict(record) for record in records], schema=GENERATION))


def write_columns(path: Path, schema: pa.Schema, columns: Mapping[str, Any]) -> None:
    """Write arrays by column name as one Parquet file, whole or not at all."""
    write_table(path, pa.table({name: columns[name] for name in schema.names}, schema=schema))


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as one Parquet file, whole or not at all."""
    with whole_file(path) as temporary:
        pq.write_table(table, temporary)


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a Parquet file and check that it has the columns of `schema`.

    Raises:
        DataError: the file is missing, cut off, not Parquet, or has other columns.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.") from error
    except (pa.ArrowInvalid, pa.ArrowIOError, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as Parquet ({error}). It is cut off or damaged; "
            "delete it and run the same command again to make it anew."
        ) from error
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise DataError(f"{path}: column {missing[0]!r} is missing; it has {', '.join(table.column_names)}.")
    try:
        return table.select(schema.names).cast(schema)
    except pa.ArrowException as error:
        raise DataError(f"{path}: a column has another type than expected ({error}). gcsl has not made it.") from error


def read_feedback(path: Path) -> FeedbackRows:
    """The rows of a feedback file, in order."""
    return FeedbackRows(read_table(path, FEEDBACK))


def read_generations(path: Path) -> list[Generation]:
    """The rows of a generation file, in order: prompts in order, samples of a prompt together."""
    return [Generation(**row) for row in read_table(path, GENERATION).to_pylist()]
