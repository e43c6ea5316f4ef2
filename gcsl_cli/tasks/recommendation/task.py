r"""Recommendation: from what a user has rated to the title to recommend, the goal being the rating that it should get.

A feedback row:
    {"prompt": "A viewer rated these movies from 1 to 5 stars, oldest first:\nToy Story (1995): 4\nFargo (1996): 5",
     "completion": "\nHeat (1995)", "score": 4.0, "split": "train", ...}
Each user's ratings are split by time: the last ones are for test, the ones before them for validation.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gcsl_cli.data.artifacts import content, resolve
from gcsl_cli.data.records import FEEDBACK, FeedbackRows, Prompt
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.scale import Scale
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.tasks.base import Column, Measured, Rollouts
from gcsl_cli.tasks.recommendation.cases import Case, case_of, ranked
from gcsl_cli.tasks.recommendation.columns import rating_files
from gcsl_cli.tasks.recommendation.histories import (
    HeldOut,
    Histories,
    drawn,
    held_out_places,
    history_ends,
    training_places,
    users_of,
)
from gcsl_cli.tasks.recommendation.log import RatingLog, RatingNames, read_log
from gcsl_cli.tasks.recommendation.references import reference_scores
from gcsl_cli.tasks.recommendation.titles import read_titles

CHUNK = 50_000
ROWS = {
    *("version", "revision", "columns", "item_columns", "titles", "scale", "heading", "history", "ahead"),
    *("test_items", "validation_items", "rows", "test_users", "seed"),
}
"""Fields that decide which rows the ratings become."""

log = logging.getLogger("gcsl")

Floats = NDArray[np.float64]


@dataclass
class ColumnsConfig:
    """Columns of the file of ratings."""

    user: str = "user_id"
    item: str = "item_id"
    rating: str = "rating"
    timestamp: str | None = "timestamp"
    title: str | None = None


@dataclass
class ItemColumnsConfig:
    """Columns of the file of items."""

    item: str = "item_id"
    title: str = "title"
    year: str | None = None


@dataclass
class RecommendationTask:
    """Ratings, their split by time, candidates and ranking metrics."""

    name: str = "recommendation"
    version: int = 2
    ratings: str = "???"
    items: str | None = None
    sha256: str | None = None
    revision: str | None = None
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    item_columns: ItemColumnsConfig = field(default_factory=ItemColumnsConfig)
    titles: dict[str, str | None] = field(default_factory=dict)
    scale: list[float] = field(default_factory=lambda: [1.0, 5.0])
    score_name: str = "rating"
    heading: str = "???"
    history: int = 10
    ahead: int = 5
    test_items: int = 5
    validation_items: int = 1
    rows: int | None = 50_000
    test_users: int = 1000
    negatives: int | None = 99
    liked: float = 4.0
    seed: int = 0
    format: str = "plain"
    instruction: str = "{prompt}"
    sentences: list[str] = field(default_factory=list)
    templates: dict[str, str] = field(default_factory=dict)
    levels: list[float] = field(default_factory=list)

    def prompt_format(self) -> str:
        """As configured."""
        return self.format

    def grade_scale(self, feedback: FeedbackRows) -> Scale:  # noqa: ARG002
        """The scale of the ratings: it has an end, and nothing beyond can be asked for."""
        return Scale(self.score_name, self.scale[0], self.scale[1], closed=True)

    def overview(self) -> list[list[str]]:
        """Users, items and ratings, and what was left out."""
        found = self.log
        return [
            ["ratings", f"{len(found.items)} of {len(found.users)} users, {len(found.rated)} titles"],
            *[["left out", f"{count} x {why}"] for why, count in found.left_out.items() if count],
        ]

    def feedback_name(self) -> str:
        """The name of the file of ratings."""
        return Path(self.ratings).stem.lower()

    def feedback_keys(self, model: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """The files' content and everything that decides which rows are made of them."""
        files = {"ratings": content(self.ratings), "items": content(self.items)}
        return files | {key: value for key, value in asdict(self).items() if key in ROWS}

    def evaluation_keys(self) -> dict[str, Any]:
        """Which candidates are ranked, and what counts as liked."""
        return {"version": self.version, "negatives": self.negatives, "liked": self.liked, "seed": self.seed}

    def evaluation_prompts(self, feedback: FeedbackRows) -> list[Prompt]:
        """The history of each user of the test split before the first held-out rating."""
        tests = feedback.of_split("test").table.select(["prompt_id", "prompt"])
        texts = dict(zip(tests["prompt_id"].to_pylist(), tests["prompt"].to_pylist(), strict=True))
        return [Prompt(id_, texts[id_], "test") for id_ in sorted(texts)]

    def rollouts_planned(self) -> int:
        """None: ratings are given.

        Raises:
            ConfigError: a setting cannot be used.
        """
        low, high = self.scale if len(self.scale) == 2 else (1.0, 0.0)
        if not low < high:
            raise ConfigError(f"task.scale={self.scale}: expected the lowest and the highest rating, such as [1,5].")
        for key in ("history", "ahead", "test_users", "rows", "negatives"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"task.{key}={value}: must be at least 1.")
        if (self.items is None) == (self.columns.title is None):
            raise ConfigError(
                "Titles of items come from a file of items (task.items) or from a column of the ratings "
                "(task.columns.title). Give one of them."
            )
        self._held_out()
        return 0

    def graded_rows(self, rollouts: Rollouts, folder: Path | None) -> FeedbackRows:  # noqa: ARG002
        """A row for each rating that has one before it: training, validation and test in the order of time.

        Training ratings that follow one another share the history before them, `ahead` at a time, as those for test do.

        Raises:
            ConfigError: a setting cannot be used, or a column is not there.
            DataError: a rating cannot be used; names file and line.
        """
        self.rollouts_planned()
        for label, text in self.overview():
            log.info("%s: %s", label, text)
        places = training_places(self.log, self._held_out())
        ends = history_ends(self.log, places, self.ahead)
        if self.rows is not None and len(places) > self.rows:
            log.info("%d of %d training ratings are drawn (task.rows)", self.rows, len(places))
            chosen = drawn(ends, self.rows, np.random.default_rng(self.seed))
            places, ends = places[chosen], ends[chosen]
        users = users_of(self.log, places)
        rows = [(place, end, user, "train") for (place, user), end in zip(users, ends.tolist(), strict=True)]
        for user in self._test_users:
            validation, test = held_out_places(self.log, user, self._held_out())
            rows += [(place, place, user, "validation") for place in validation]
            rows += [(place, test.start, user, "test") for place in test]
        chunks = [self._table(rows[start : start + CHUNK]) for start in range(0, len(rows), CHUNK)]
        return FeedbackRows(pa.concat_tables(chunks))

    def metrics(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]]) -> dict[str, PerPrompt]:
        """Of sampled titles the shares that the catalogue has, that are held out, and that the history has already."""
        known = {title.casefold(): place for place, title in enumerate(self.log.titles)}
        found = [[known.get(" ".join(text.split()).casefold(), -1) for text in samples] for samples in completions]
        cases = [self._cases[prompt.prompt_id] for prompt in prompts]
        seen = [set(self.log.items[self.log.of_user(case.user)].tolist()) - set(case.held_out) for case in cases]

        def share(counted: Sequence[Any]) -> PerPrompt:
            hits = [sum(title in titles for title in samples) for samples, titles in zip(found, counted, strict=True)]
            return PerPrompt(np.array(hits, dtype=np.float64), np.array([len(s) for s in found], dtype=np.float64))

        everything = range(len(self.log.titles))
        return {
            "valid_titles": share([everything] * len(cases)),
            "sampled_hit": share([case.held_out for case in cases]),
            "sampled_seen": share(seen),
        }

    def result_columns(self) -> list[Column]:
        """What is measured on sampled titles."""
        return [
            Column("valid_titles", "sampled titles in the catalogue", "higher", independent=True),
            Column("sampled_hit", "sampled titles held out (HR@1)", "higher", independent=True),
            Column("sampled_seen", "sampled titles seen before", "lower", independent=True, detail=True),
        ]

    def candidates(self, prompts: Sequence[Prompt]) -> list[list[str]]:
        """The held-out titles of each user, then titles that the user has never rated."""
        cases = [self._cases[prompt.prompt_id] for prompt in prompts]
        return [[f"\n{self.log.titles[item]}" for item in [*case.held_out, *case.negatives]] for case in cases]

    def measured(self, prompts: Sequence[Prompt], log_probs: Sequence[Floats], tokens: Sequence[Floats]) -> Measured:
        """Each held-out title among the negatives, by its log-likelihood in all and by that of a token."""
        by_token = [values / counts for values, counts in zip(log_probs, tokens, strict=True)]
        found = self._ranked(prompts, log_probs)
        detail = {f"{name}_per_token": metric for name, metric in self._ranked(prompts, by_token).metrics.items()}
        return Measured(found.metrics | detail, found.scores)

    def references(self, prompts: Sequence[Prompt]) -> dict[str, Measured]:
        """The same candidates at random, by popularity and by item-kNN, all from the training ratings."""
        cases = [self._cases[prompt.prompt_id] for prompt in prompts]
        candidates = [np.array([*case.held_out, *case.negatives]) for case in cases]
        places = training_places(self.log, self._held_out())
        scores = reference_scores(self.log, places, [case.user for case in cases], candidates, self.test_items)
        return {label: self._ranked(prompts, values) for label, values in scores.items()}

    def ranking_columns(self) -> list[Column]:
        """HR@10 first; by the log-likelihood a token only in detail."""
        columns = [
            Column("hr_10", "HR@10", "higher", independent=True),
            Column("hr_5", "HR@5", "higher", independent=True, detail=True),
            Column("hr_1", "HR@1", "higher", independent=True),
            Column("ndcg_10", "NDCG@10", "higher", independent=True),
            Column("ndcg_5", "NDCG@5", "higher", independent=True, detail=True),
            Column("mrr", "MRR", "higher", independent=True),
            Column("hr_10_liked", f"HR@10 of items rated {self.liked:g} or more", "higher", independent=True),
            Column("top_rating", "rating of the first held-out item", "higher", independent=True),
        ]
        by_token = [
            Column(f"{column.name}_per_token", f"{column.label}, by token", "higher", independent=True, detail=True)
            for column in columns
        ]
        return [*columns, *by_token]

    def _ranked(self, prompts: Sequence[Prompt], scores: Sequence[Floats]) -> Measured:
        cases = [self._cases[prompt.prompt_id] for prompt in prompts]
        metrics, first = ranked(cases, scores, self.liked)
        return Measured(metrics, first[:, None])

    def _held_out(self) -> HeldOut:
        return HeldOut(self.test_items, self.validation_items)

    @cached_property
    def log(self) -> RatingLog:
        """All ratings in order."""
        titles = None
        if self.items is not None:
            path, columns = resolve(self.items, sha256=self.sha256, revision=self.revision), self.item_columns
            titles = read_titles(path, columns.item, columns.title, columns.year, self.titles)
        names = RatingNames(**asdict(self.columns))
        files = rating_files(resolve(self.ratings, sha256=self.sha256, revision=self.revision))
        return read_log(files, names, titles, (self.scale[0], self.scale[1]), fewest=self._held_out().fewest)

    @cached_property
    def _test_users(self) -> list[int]:
        """Users in the order of a salted hash, so that the first are a fair sample."""
        order = sorted(range(len(self.log.users)), key=self._user_id)
        return order[: self.test_users]

    @cached_property
    def _cases(self) -> dict[str, Case]:
        return {
            id_: case_of(self.log, user, self._held_out(), self.negatives, [self.seed, int(id_, 16)])
            for user in self._test_users
            for id_ in [self._user_id(user)]
        }

    def _user_id(self, user: int) -> str:
        return hashlib.sha256(f"gcsl user {self.log.users[user]}".encode()).hexdigest()[:16]

    def _table(self, rows: Sequence[tuple[int, int, int, str]]) -> pa.Table:
        """Rows of (what was rated, where the history ends, user, split)."""
        histories = Histories(self.log, self.heading, self.history)
        columns = {
            "prompt": [histories.before(end, user) for _, end, user, _ in rows],
            "completion": [histories.title(place) for place, _, _, _ in rows],
            "score": [float(self.log.ratings[place]) for place, _, _, _ in rows],
            "prompt_id": [self._user_id(user) + ("" if split == "test" else f"-{end}") for _, end, user, split in rows],
            "split": [split for _, _, _, split in rows],
            "finished": [True] * len(rows),
            "source": ["ratings"] * len(rows),
        }
        return pa.table(columns, schema=FEEDBACK)
