"""A user's own file of graded completions: JSON, CSV or Parquet, from a path or the Hub.

A row (column names may differ):
    {"prompt": "What is a good name for a cat?", "completion": "Minka.", "score": 4}
Users always see grades as in the file. Scores are higher for better, so a grade that is better when lower is negated.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.artifacts import content, resolve
from gcsl_cli.data.input_files import CsvConfig, ReadOptions, data_files
from gcsl_cli.data.records import FEEDBACK, FeedbackRows, Prompt
from gcsl_cli.data.splits import SplitConfig, prompt_id, split_ids
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.goals.parts import Part, weighted_mean
from gcsl_cli.goals.scale import Scale
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.metrics.toxicity import mean
from gcsl_cli.scorers.base import Scorer
from gcsl_cli.scorers.weighted import WeightedScorer
from gcsl_cli.tasks.base import Column, Rollouts, Task, examples, flat
from gcsl_cli.tasks.feedback.columns import JOIN, LISTS, USUAL, ColumnsConfig
from gcsl_cli.tasks.feedback.graded_file import GradedFile, Layout, find_layout, read_graded, rejected_file
from gcsl_cli.tasks.feedback.grades import REDUCE, GradeRules, parse_words
from gcsl_cli.tasks.feedback.overview import grade_range, overview_lines, table_part
from gcsl_cli.tasks.feedback.scores import ScoreColumn, parse_scores
from gcsl_cli.tasks.weighted_parts import grades_all

GENERIC = {*USUAL["score"], *LISTS["score"], *LISTS["completion"], "value", "weight"}
"""Names of score columns that do not say what is graded."""

log = logging.getLogger("gcsl")


@dataclass
class FeedbackTask(Task):
    """Graded completions from a file, their scale, and optionally a scorer for new completions."""

    name: str = "feedback"
    path: str = "???"
    revision: str | None = None
    files: str | None = None
    encoding: str | None = None
    rows_key: str | None = None
    csv: CsvConfig = field(default_factory=CsvConfig)
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    grades: Any = None
    reduce: str = "mean"
    score_direction: str = "higher"
    score_name: str | None = None
    scale: list[float] | None = None
    finished: bool = True
    strip_special_tokens: bool = False
    on_error: str = "fail"
    test_prompts: int = 64
    split: SplitConfig = field(default_factory=SplitConfig)
    format: str = "auto"
    scorer: Scorer | None = None

    def __post_init__(self) -> None:
        self._overview: list[list[str]] | None = None

    def prompt_format(self) -> str:
        """`plain` or `chat` as configured, or `messages` if the file holds lists of chat messages.

        Raises:
            ConfigError: the configured format or instruction does not fit the file.
            DataError: the file cannot be read.
        """
        if not self._layout.shape.conversations:
            return "chat" if self.format == "auto" else self.format
        if self.format == "plain":
            raise ConfigError(f"task.format=plain: {self.path} holds lists of chat messages. Use task.format=auto.")
        if self.instruction != "{prompt}":
            raise ConfigError(
                f"task.instruction={self.instruction!r}: {self.path} holds whole conversations, which an "
                "instruction cannot wrap. Omit it."
            )
        return "messages"

    def grade_scale(self, feedback: FeedbackRows) -> Scale:
        """As configured; by default the column's name and the range of the grades."""
        if self._scores:
            return Scale("mean of the scores", 0.0, 1.0)
        lower = self.score_direction == "lower"
        scores = feedback.scores
        low, high = self.scale or sorted(float(-s if lower else s) + 0.0 for s in (scores.min(), scores.max()))
        column = self._layout.columns.score
        last = column.rpartition(".")[2].replace("_", " ").strip()
        generic = last.lower() in GENERIC or JOIN in column
        return Scale(self.score_name or ("quality" if generic else last), low, high, lower)

    def score_names(self) -> list[str]:
        """The names in `task.columns.scores`."""
        return list(self._scores)

    def parts(self, feedback: FeedbackRows) -> dict[str, Part]:
        """Each score on its scale; by default that is the range of its grades."""
        return {
            name: score.part(name, *grade_range(score.sign * feedback.part(name)))
            for name, score in self._scores.items()
        }

    def graded_scores(self) -> list[str]:
        """All that rows have, if they are parts of the scorer; otherwise none."""
        return self.score_names() if grades_all(self.scorer, list(self._scores)) else []

    def part_scores(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> dict[str, Floats]:
        """The grades by the parts of the scorer, negated if lower is better."""
        assert isinstance(self.scorer, WeightedScorer)
        grades = self.scorer.grades(examples(prompts, completions, self.prompt_format()))
        return {name: score.sign * grades[name] for name, score in self._scores.items()}

    def feedback_name(self) -> str:
        """The file's name, restricted to characters that are safe in folder names."""
        return re.sub(r"[^A-Za-z0-9]+", "-", Path(self.path).stem).strip("-").lower()[:40] or "file"

    def feedback_keys(self, model: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """The file's content and every setting that affects how it is read."""
        # Settings that most files do without name a run only where they are used.
        how = {"encoding": self.encoding, "rows_key": self.rows_key, "grades": self.grades}
        how |= {"reduce": None if self.reduce == "mean" else self.reduce}
        how |= {"strip_special_tokens": self.strip_special_tokens or None}
        how |= {"csv": None if self.csv == CsvConfig() else asdict(self.csv)}
        return {key: value for key, value in how.items() if value is not None} | {
            "version": self.version,
            "path": content(self.path),
            "revision": self.revision,
            "files": self.files,
            "columns": {
                key: value for key, value in asdict(self.columns).items() if key != "scores" or value is not None
            },
            "score_direction": self.score_direction,
            "scale": self.scale,
            "finished": self.finished,
            "on_error": self.on_error,
            "split": asdict(self.split),
        }

    def evaluation_keys(self) -> dict[str, Any]:
        """The scorer, if any."""
        return {"version": self.version, "scorer": None if self.scorer is None else self.scorer.keys()}

    def overview(self) -> list[list[str]]:
        """The file, its columns, its prompts, and the rejected rows."""
        return self._overview or overview_lines(self.path, self._graded(None), self.reduce)

    def evaluation_prompts(self, feedback: FeedbackRows, split: str = "test") -> list[Prompt]:
        """The first `test_prompts` distinct prompts of the split, ordered by hash."""
        tests = feedback.of_split(split).table
        ids = tests["prompt_id"].to_pylist()
        first = {id_: index for index, id_ in reversed(list(enumerate(ids)))}
        chosen = sorted(first)[: self.test_prompts]
        places = np.array([first[id_] for id_ in chosen], dtype=np.int64)
        texts, sources = (tests[name].take(places).to_pylist() for name in ("prompt", "source"))
        return [Prompt(id_, text, split, place) for id_, text, place in zip(chosen, texts, sources, strict=True)]

    def rollouts_planned(self) -> int:
        """Check the settings; nothing is sampled."""
        self._check()
        return 0

    def graded_rows(self, rollouts: Rollouts, folder: Path | None) -> FeedbackRows:  # noqa: ARG002
        """All usable rows with their splits. With on_error=skip, the others go to `rejected.jsonl` in `folder`.

        Raises:
            ConfigError: a column cannot be found.
            DataError: rows cannot be used; the message groups the faults by kind, with the first few locations.
        """
        return self._rows(self._graded(folder), self.split)

    def first_rows(self, count: int | None) -> FeedbackRows:
        """The first usable rows, at most `count` of them, all in the training split; None: all. As `graded_rows`."""
        return self._rows(self._graded(None, count), SplitConfig(test=0, validation=0))

    def columns_found(self) -> dict[str, str | None]:
        """The columns by role; a conversation that holds its completion has none for it."""
        columns = self._layout.columns
        return {"prompt": columns.prompt, "completion": columns.completion, "score": columns.score}

    def _rows(self, graded: GradedFile, split: SplitConfig) -> FeedbackRows:
        self._overview = overview_lines(self.path, graded, self.reduce)
        table = graded.table
        ids = table["prompt_id"].combine_chunks().dictionary_encode()
        splits = split_ids(ids.dictionary.to_pylist(), split)
        sign = -1.0 if self.score_direction == "lower" else 1.0
        several, score = self._several(table), pc.multiply(table["grade"], sign)
        if several:
            parts = {name: self._scores[name].part(name, *grade_range(table_part(table, name))) for name in several}
            score = weighted_mean(several, parts)
        columns = {
            "prompt": table["prompt"],
            "completion": table["completion"],
            "score": score,
            "prompt_id": table["prompt_id"],
            "split": pa.DictionaryArray.from_arrays(ids.indices, pa.array(splits.tolist())).cast(pa.string()),
            "finished": pa.repeat(pa.scalar(self.finished), len(table)),
            "source": table["place"],
        }
        rows = FeedbackRows(pa.table([columns[name] for name in FEEDBACK.names], schema=FEEDBACK))
        return rows.with_scores(several)

    def _several(self, table: pa.Table) -> dict[str, Floats]:
        """Several scores by name, NaN where one is not known."""
        return {name: score.sign * table_part(table, name) for name, score in self._scores.items()}

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Floats:
        """The scorer's grade of each completion, negated if lower is better; shape `(completions,)`."""
        assert self.scorer is not None
        grades = np.asarray(self.scorer(examples(prompts, completions, self.prompt_format())), dtype=np.float64)
        return -grades if self.score_direction == "lower" else grades

    def metrics(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]]) -> dict[str, PerPrompt]:
        """The scorer's mean grade, if there is a scorer."""
        if self.scorer is None:
            return {}
        each, texts, shape = flat(prompts, completions)
        grades = np.asarray(self.scorer(examples(each, texts, self.prompt_format())), dtype=np.float64)
        return {"mean_grade": mean(grades.reshape(shape))}

    def result_columns(self) -> list[Column]:
        """The mean grade, if there is a scorer."""
        if self.scorer is None:
            return []
        return [Column("mean_grade", f"mean {self.score_name or 'grade'}", self.score_direction)]

    @property
    def _scores(self) -> dict[str, ScoreColumn]:
        """The columns of several scores by name; empty if there is one score."""
        return parse_scores(self.columns.scores, self.score_direction)

    @cached_property
    def _layout(self) -> Layout:
        """The file's columns, and what they hold."""
        self._check()
        several = [score.column for score in self._scores.values()]
        return find_layout(self.files_read(), self.columns, self._options, several)

    @property
    def _options(self) -> ReadOptions:
        return ReadOptions(self.encoding, self.rows_key, self.csv)

    def files_read(self) -> list[Path]:
        """The files that the rows come from."""
        return data_files(resolve(self.path, revision=self.revision), self.files)

    def _graded(self, folder: Path | None, most: int | None = None) -> GradedFile:
        self._check()
        with rejected_file(folder if self.on_error == "skip" else None) as reject:
            scale = None if self.scale is None else (self.scale[0], self.scale[1])
            rules = GradeRules(parse_words(self.grades), self.reduce)
            scales = {name: score.scale for name, score in self._scores.items()}
            graded = read_graded(
                self.files_read(), self._layout, self._options, rules, scale, prompt_id, reject, most, scales
            )
        faults, rows = graded.faults, len(graded.table)
        listing = "".join(f"\n  {line}" for line in faults.lines())
        if faults.total and (self.on_error == "fail" or not rows):
            raise DataError(
                f"{self.path}: {faults.total} of {faults.total + rows} rows cannot be used:{listing}\n"
                + ("Correct them, or skip them with task.on_error=skip." if rows else "No usable rows are left.")
                + "".join(f"\n{advice}" for advice in graded.advice())
            )
        if faults.total:
            log.warning("skipped %d of %d rows:%s", faults.total, faults.total + rows, listing)
        return graded

    def _check(self) -> None:
        for key, allowed in (
            ("score_direction", ("higher", "lower")),
            ("on_error", ("fail", "skip")),
            ("format", ("auto", "plain", "chat")),
            ("reduce", tuple(REDUCE)),
        ):
            if getattr(self, key) not in allowed:
                raise ConfigError(f"task.{key}={getattr(self, key)}: unknown. Allowed: {', '.join(allowed)}.")
        scale = self.scale
        if scale is not None and (len(scale) != 2 or not np.isfinite(scale).all() or scale[0] >= scale[1]):
            raise ConfigError(f"task.scale={scale}: expected the lowest and highest grade, for example [1,5].")
        if self._scores:
            for key, value in (("task.columns.score", self.columns.score), ("task.scale", scale)):
                if value is not None:
                    raise ConfigError(
                        f"{key}={value} with task.columns.scores: the scores have columns and scales of their own. "
                        "Leave it out."
                    )
        if self.test_prompts < 1:
            raise ConfigError(f"task.test_prompts={self.test_prompts}: must be at least 1.")
