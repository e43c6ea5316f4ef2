"""Records passed between stages, and the Parquet files that store them.

A feedback row (one file, `feedback.parquet`):
    {"prompt": "I wanted to", "completion": " say thank you", "score": 0.98, "prompt_id": "5f2c...", "split": "train",
     "finished": false, "source": "rollouts"}
`finished` is false if the completion was cut off at a length limit; no end-of-text token is then trained after it.
Rows with several scores have a further column for each, `scores.helpfulness`, with null where it is not known.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.errors import DataError
from gcsl_cli.runs.files import whole_file

log = logging.getLogger("gcsl")

TEXT, FLAG, INTEGER, NUMBER, NUMBERS = pa.string(), pa.bool_(), pa.int32(), pa.float64(), pa.list_(pa.float64())
FEEDBACK = pa.schema(
    {
        "prompt": TEXT,
        "completion": TEXT,
        "score": NUMBER,
        "prompt_id": TEXT,
        "split": TEXT,
        "finished": FLAG,
        "source": TEXT,
    }
)
SCORES = "scores."
"""Prefix of the columns of single scores, where rows have several."""
GOAL_ROWS = pa.schema({"row": INTEGER, "level": INTEGER})
PREFERENCE_PAIRS = pa.schema({"chosen": INTEGER, "rejected": INTEGER})
PLAN = pa.schema(
    {
        "step": INTEGER,
        "micro": INTEGER,
        "sequence": INTEGER,  # consecutive rows with one number are one feedback row under several goals
        "row": INTEGER,
        "goal": NUMBER,  # the goal in the prompt, NaN for none
        "missed": NUMBER,  # a goal that the row misses, of its copy; NaN for no copy
        "tokens": INTEGER,
        "weight": NUMBER,
    }
)
VALUES = pa.schema({"arm": TEXT, "metric": TEXT, "numerator": NUMBERS, "denominator": NUMBERS, "transform": TEXT})
"""Numerators and denominators have one value per evaluation prompt, in order."""
LIKELIHOODS = pa.schema({"prompt_id": TEXT, "log_probs": NUMBERS, "tokens": NUMBERS})
"""`log_probs` and `tokens` have one value per candidate; the former are summed over its tokens, in nats."""
GENERATION = pa.schema(
    {"prompt_id": TEXT, "prompt": TEXT, "sample": INTEGER, "completion": TEXT, "tokens": INTEGER, "finished": FLAG}
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt with its identity (a hash of the normalized text) and its split."""

    prompt_id: str
    text: str
    split: str
    source: str = field(default="", compare=False)
    """File and line, if known."""


@dataclass(frozen=True, slots=True)
class FeedbackRow:
    """A graded completion; a higher `score` is better."""

    prompt: str
    completion: str
    score: float
    prompt_id: str
    split: str
    finished: bool = True
    source: str = ""
    scores: Mapping[str, float] = field(default_factory=dict, hash=False)
    """The scores by name, where there are several; those that are not known are missing."""


def named_place(item: Prompt | FeedbackRow) -> str:
    """How an error names a prompt: by file and line if they are known, else by its beginning."""
    text = item.text if isinstance(item, Prompt) else item.prompt
    return item.source if re.search(r":\d+$", item.source) else repr(text[:40])


@dataclass(frozen=True)
class FeedbackRows(Sequence[FeedbackRow]):
    """Feedback rows in an Arrow table, which needs little more memory than the texts; rows are built on access."""

    table: pa.Table
    """Has the columns of `FEEDBACK`, then one for each of several scores."""

    @staticmethod
    def of(rows: Iterable[FeedbackRow]) -> "FeedbackRows":
        """Build a table from row objects."""
        rows = list(rows)
        table = pa.Table.from_pylist([asdict(row) for row in rows], schema=FEEDBACK)
        scores = {name: np.array([row.scores.get(name, np.nan) for row in rows]) for name in _score_names(rows)}
        return FeedbackRows(table).with_scores(scores)

    def with_scores(self, scores: Mapping[str, Floats]) -> "FeedbackRows":
        """The same rows with several scores by name, each `(rows,)` and NaN where it is not known."""
        table = self.table
        for name, values in scores.items():
            table = table.append_column(f"{SCORES}{name}", pa.array(values, NUMBER, from_pandas=True))
        return FeedbackRows(table)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, index: int) -> FeedbackRow: ...
    @overload
    def __getitem__(self, index: slice) -> "FeedbackRows": ...
    def __getitem__(self, index: int | slice) -> "FeedbackRow | FeedbackRows":
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        return self._row([column[range(len(self))[index]].as_py() for column in self.table.columns])

    def __iter__(self) -> Iterator[FeedbackRow]:
        for batch in self.table.to_batches(max_chunksize=8192):
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield self._row(values)

    def _row(self, values: Sequence[Any]) -> FeedbackRow:
        row, several = FeedbackRow(*values[: len(FEEDBACK)]), values[len(FEEDBACK) :]
        if not several:
            return row
        scores = zip(self.score_names, several, strict=True)
        return replace(row, scores={name: score for name, score in scores if score is not None})

    def with_score(self, scores: Floats) -> "FeedbackRows":
        """The same rows with other scores, `(rows,)`."""
        place = FEEDBACK.get_field_index("score")
        return FeedbackRows(self.table.set_column(place, FEEDBACK.field(place), pa.array(scores, NUMBER)))

    def with_column(self, name: str, values: Any) -> "FeedbackRows":
        """The same rows with other values `(rows,)` in one of their columns."""
        return FeedbackRows(self.table.set_column(self.table.schema.get_field_index(name), name, values))

    def take(self, indices: Ints) -> "FeedbackRows":
        """Select rows by index, in the given order."""
        return FeedbackRows(self.table.take(pa.array(indices)))

    def of_split(self, split: str) -> "FeedbackRows":
        """Select the rows of a split, in order."""
        return FeedbackRows(self.table.filter(pc.equal(self.table["split"], split)).combine_chunks())

    @cached_property
    def scores(self) -> Floats:
        """Scores, shape `(rows,)`."""
        return np.asarray(self.table["score"].to_numpy(), dtype=np.float64)

    @cached_property
    def score_names(self) -> tuple[str, ...]:
        """Names of the scores, where rows have several."""
        names: list[str] = self.table.column_names[len(FEEDBACK) :]
        return tuple(name.removeprefix(SCORES) for name in names)

    def part(self, name: str) -> Floats:
        """One of several scores of each row, NaN where it is not known, shape `(rows,)`."""
        return np.asarray(self.table[f"{SCORES}{name}"].to_numpy(), dtype=np.float64)

    def graded_by(self, name: str) -> "FeedbackRows":
        """The rows whose score of this name is known, with it as their only score."""
        kept = self.table.filter(pc.is_valid(self.table[f"{SCORES}{name}"]))
        place = FEEDBACK.get_field_index("score")
        return FeedbackRows(
            kept.set_column(place, FEEDBACK.field(place), kept[f"{SCORES}{name}"]).select(FEEDBACK.names)
        )

    @cached_property
    def prompts(self) -> Ints:
        """Index of each row's prompt among the distinct prompts, shape `(rows,)`."""
        column = self.table["prompt_id"].combine_chunks().dictionary_encode()
        return np.asarray(column.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Generation:
    """One sampled completion of a prompt; `tokens` is its length including the end-of-text token."""

    prompt_id: str
    prompt: str
    sample: int
    completion: str
    tokens: int
    finished: bool


def write_generations(path: Path, records: Iterable[Generation]) -> None:
    """Write generations to a Parquet file atomically."""
    write_table(path, pa.Table.from_pylist([asdict(record) for record in records], schema=GENERATION))


def write_columns(path: Path, schema: pa.Schema, columns: Mapping[str, Any]) -> None:
    """Write arrays, keyed by column name, to a Parquet file atomically."""
    write_table(path, pa.table({name: columns[name] for name in schema.names}, schema=schema))


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow table to a Parquet file atomically."""
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True)


def read_table(path: Path, schema: pa.Schema, prefix: str | None = None) -> pa.Table:
    """Read the columns of `schema` from a Parquet file, and the columns of numbers whose names begin with `prefix`.

    Raises:
        DataError: the file is missing, truncated, not Parquet, or its columns do not match.
    """
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.") from error
    except (pa.ArrowInvalid, pa.ArrowIOError, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as Parquet ({error}). The file is truncated or damaged; "
            "delete it and run the same command again to recreate it."
        ) from error
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise DataError(f"{path}: no column {missing[0]!r}; the columns are {', '.join(table.column_names)}.")
    if prefix is not None:
        schema = pa.schema([*schema, *((name, NUMBER) for name in table.column_names if name.startswith(prefix))])
    try:
        return table.select(schema.names).cast(schema)
    except pa.ArrowException as error:
        raise DataError(f"{path}: a column has the wrong type ({error}). The file was not written by gcsl.") from error


def read_cached(path: Path | None, schema: pa.Schema) -> list[dict[str, Any]] | None:
    """Read the rows of a file that can be made again: None if it is missing, or damaged, which is logged."""
    try:
        rows: list[dict[str, Any]] | None = read_table(path, schema).to_pylist() if path and path.exists() else None
    except DataError as error:
        log.warning("%s", error)
        return None
    return rows


def read_feedback(path: Path) -> FeedbackRows:
    """Read the rows of a feedback file, in order."""
    return FeedbackRows(read_table(path, FEEDBACK, SCORES))


def _score_names(rows: Iterable[FeedbackRow]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.scores))


def read_generations(path: Path) -> list[Generation]:
    """Read the rows of a generation file, in order; the samples of a prompt are adjacent."""
    return [Generation(**row) for row in read_table(path, GENERATION).to_pylist()]
