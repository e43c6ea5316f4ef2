r"""Recommendation: given a user's rating history, name the next title; the goal is the rating it should get.

A feedback row:
    {"prompt": "A viewer rated these movies from 1 to 5 stars, oldest first:\nToy Story (1995): 4\nFargo (1996): 5",
     "completion": "\nHeat (1995)", "score": 4.0, "split": "train", ...}
Each user's ratings are split by time: the last ones are for testing, the ones before them for validation.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.artifacts import content, resolve
from gcsl_cli.data.records import FEEDBACK, FeedbackRows, Prompt
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.scale import Scale
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.tasks.base import Column, Measured, Rollouts, Task
from gcsl_cli.tasks.recommendation.candidates import METRICS, Case, baseline_scores, make_case, ranking_metrics
from gcsl_cli.tasks.recommendation.histories import (
    FEEDBACK_FIELDS,
    HeldOut,
    Histories,
    draw_rows,
    held_out_ranges,
    history_ends,
    training_ratings,
    users_of,
)
from gcsl_cli.tasks.recommendation.novelty import RatingAndNovelty, novelty_of, novelty_of_top
from gcsl_cli.tasks.recommendation.rating_files import columns_of, matched, rating_files
from gcsl_cli.tasks.recommendation.rating_log import ItemColumns, RatingColumns, RatingLog, read_log, read_titles

CHUNK = 50_000
ColumnNames = TypeVar("ColumnNames", RatingColumns, ItemColumns)
DEFAULT_ITEMS = ItemColumns(title="movie_title", year="release_year")
"""The names in conf/task/recommendation.yaml, of which the year may be missing."""

log = logging.getLogger("gcsl")


@dataclass
class RecommendationTask(RatingAndNovelty, Task):
    """Ratings, their split by time, candidates and ranking metrics."""

    name: str = "recommendation"
    version: int = 2
    ratings: str = "???"
    items: str | None = None
    sha256: str | None = None
    revision: str | None = None
    columns: RatingColumns = field(default_factory=RatingColumns)
    item_columns: ItemColumns = field(default_factory=ItemColumns)
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
    scores: list[str] = field(default_factory=list)
    seed: int = 0

    def __post_init__(self) -> None:
        self._decisions: list[str] = []

    def grade_scale(self, feedback: FeedbackRows) -> Scale:  # noqa: ARG002
        """The rating scale. It is closed: goals beyond its ends are refused."""
        if self.scores:
            return Scale("mean of the scores", 0.0, 1.0)
        return Scale(self.score_name, self.scale[0], self.scale[1], closed=True)

    def overview(self) -> list[list[str]]:
        """Ratings, users and titles, and how often each rule applied."""
        return [
            ["ratings", f"{len(self.log.items)} by {len(self.log.users)} users, {len(self.log.rated)} titles"],
            *[["read as", text] for text in self._decisions],
            *[["rule", f"{count} x {rule}"] for rule, count in self.log.rule_counts.items() if count],
        ]

    def feedback_name(self) -> str:
        """The name of the ratings file."""
        return Path(self.ratings).stem.lower()

    def feedback_keys(self, model: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """The files' content and every setting that determines the rows."""
        files = {"ratings": content(self.ratings), "items": content(self.items)}
        return files | self.scores_key | {key: value for key, value in asdict(self).items() if key in FEEDBACK_FIELDS}

    def evaluation_keys(self) -> dict[str, Any]:
        """The settings that determine the candidates, and the rating that counts as liked."""
        return {
            "version": self.version,
            "negatives": self.negatives,
            "liked": self.liked,
            "seed": self.seed,
            **self.scores_key,
        }

    def evaluation_prompts(self, feedback: FeedbackRows, split: str = "test") -> list[Prompt]:
        """The history of each user up to the first held-out rating. Validation users are no test users."""
        tests = feedback.of_split("test").table
        texts = dict(zip(tests["prompt_id"].to_pylist(), tests["prompt"].to_pylist(), strict=True))
        texts = texts if split == "test" else self._validation_histories()
        return [Prompt(id_, texts[id_], split) for id_ in sorted(texts)]

    def rollouts_planned(self) -> int:
        """Check the settings; nothing is sampled."""
        low, high = self.scale if len(self.scale) == 2 else (1.0, 0.0)
        if not low < high:
            raise ConfigError(f"task.scale={self.scale}: expected the lowest and highest rating, for example [1,5].")
        for key in ("history", "ahead", "test_users", "rows", "negatives"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"task.{key}={value}: must be at least 1.")
        if (self.items is None) == (self.columns.title is None):
            raise ConfigError(
                "Item titles come either from an items file (task.items) or from a column of the ratings file "
                "(task.columns.title). Set exactly one of them."
            )
        self._held_out()
        return 0

    def graded_rows(self, rollouts: Rollouts, folder: Path | None) -> FeedbackRows:  # noqa: ARG002
        """One row per rating that has a history, split by time into training, validation and test.

        Groups of `ahead` consecutive training ratings share one history, like the test ratings of a user.
        """
        self.rollouts_planned()
        for label, text in self.overview():
            log.info("%s: %s", label, text)
        ratings = training_ratings(self.log, self._held_out())
        ends = history_ends(self.log, ratings, self.ahead)
        if self.rows is not None and len(ratings) > self.rows:
            log.info("drawing %d of %d training ratings (task.rows)", self.rows, len(ratings))
            chosen = draw_rows(ends, self.rows, np.random.default_rng(self.seed))
            ratings, ends = ratings[chosen], ends[chosen]
        users = users_of(self.log, ratings)
        rows = [(rating, end, user, "train") for (rating, user), end in zip(users, ends.tolist(), strict=True)]
        for user in self._users[: self.test_users]:
            validation, test = held_out_ranges(self.log, user, self._held_out())
            rows += [(rating, rating, user, "validation") for rating in validation]
            rows += [(rating, test.start, user, "test") for rating in test]
        chunks = [self._table(rows[start : start + CHUNK]) for start in range(0, len(rows), CHUNK)]
        novelty = self._novelty[self.log.items[[rating for rating, *_ in rows]]]
        return self.with_novelty(FeedbackRows(pa.concat_tables(chunks)), novelty)

    def metrics(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]]) -> dict[str, PerPrompt]:
        """Shares of the sampled titles that are in the catalogue, held out, and already in the user's history."""
        known = {title.casefold(): index for index, title in enumerate(self.log.titles)}
        found = [[known.get(" ".join(text.split()).casefold(), -1) for text in samples] for samples in completions]
        cases = self._cases_of(prompts)
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
        """The shares of sampled titles."""
        return [
            Column("valid_titles", "sampled titles in the catalogue", "higher", independent=True),
            Column("sampled_hit", "sampled titles held out (HR@1)", "higher", independent=True),
            Column("sampled_seen", "sampled titles seen before", "lower", independent=True, detail=True),
        ]

    def candidates(self, prompts: Sequence[Prompt]) -> list[list[str]]:
        """Each user's held-out titles, followed by titles that the user never rated."""
        return [[f"\n{self.log.titles[item]}" for item in case.candidates] for case in self._cases_of(prompts)]

    def measured(self, prompts: Sequence[Prompt], log_probs: Sequence[Floats], tokens: Sequence[Floats]) -> Measured:
        """Rank by total log-likelihood, and by log-likelihood per token."""
        per_token = [values / counts for values, counts in zip(log_probs, tokens, strict=True)]
        found = self._ranked(prompts, log_probs)
        detail = {f"{name}_per_token": metric for name, metric in self._ranked(prompts, per_token).metrics.items()}
        return Measured(found.metrics | detail, found.scores)

    def references(self, prompts: Sequence[Prompt]) -> dict[str, Measured]:
        """Rank the same candidates by chance, popularity and item-kNN, all fitted to the training ratings."""
        training = training_ratings(self.log, self._held_out())
        scores = baseline_scores(self.log, training, self._cases_of(prompts), self.test_items)
        return {label: self._ranked(prompts, values) for label, values in scores.items()}

    def ranking_columns(self) -> list[Column]:
        """HR@10 first; metrics of the ranking by log-likelihood per token only in the result files."""
        labels = METRICS | {"hr_10_liked": f"HR@10 of items rated {self.liked:g} or more"}
        labels |= {"top_rating": "rating of the first held-out item"}
        labels |= {"novelty_10": "novelty of the first 10"} if self.scores else {}
        labels |= {f"{name}_per_token": f"{label}, per token" for name, label in labels.items()}
        return [
            Column(name, label, "higher", independent=True, detail=name.endswith(("_5", "_per_token")))
            for name, label in labels.items()
        ]

    def _ranked(self, prompts: Sequence[Prompt], scores: Sequence[Floats]) -> Measured:
        cases = self._cases_of(prompts)
        metrics, top_ratings = ranking_metrics(cases, scores, self.liked)
        if self.scores:
            metrics["novelty_10"] = novelty_of_top(cases, scores, self._novelty)
        return Measured(metrics, top_ratings[:, None])

    def _cases_of(self, prompts: Sequence[Prompt]) -> list[Case]:
        return [self._cases[prompt.prompt_id] for prompt in prompts]

    def _held_out(self) -> HeldOut:
        return HeldOut(self.test_items, self.validation_items)

    @cached_property
    def log(self) -> RatingLog:
        """All ratings, sorted by user and time."""
        titles = None
        if self.items is not None:
            path = resolve(self.items, sha256=self.sha256, revision=self.revision)
            titles = read_titles(path, self._matched(path, "items", self.item_columns, DEFAULT_ITEMS), self.titles)
        files = rating_files(resolve(self.ratings, sha256=self.sha256, revision=self.revision))
        columns = self._matched(files[0], "ratings", self.columns, RatingColumns())
        return read_log(files, columns, titles, (self.scale[0], self.scale[1]), fewest=self._held_out().fewest)

    def _matched(self, path: Path, role: str, configured: ColumnNames, defaults: ColumnNames) -> ColumnNames:
        """The columns of a file that are meant by the configured names; notes each that was guessed."""
        columns, decisions = columns_of(path, role)
        self._decisions += decisions
        names: dict[str, Any] = {}
        for key, name in asdict(configured).items():
            names[key] = matched(name, columns, getattr(defaults, key))
            if name is not None and names[key] is None:
                effect = "the order of the file counts" if name == "timestamp" else "titles stay as they are"
                self._decisions.append(f"{path.name}: no column {name}; {effect}")
            elif names[key] != name:
                self._decisions.append(f"{path.name}: {names[key]} is {name}")
        return replace(configured, **names)

    def _validation_histories(self) -> dict[str, str]:
        users = self._users[self.test_users : 2 * self.test_users]
        if not users:
            raise ConfigError(
                f"generation.split=validation evaluates users who are no test users, but all {len(self._users)} are "
                f"(task.test_users={self.test_users}). Use fewer test users, for example half of them."
            )
        histories = Histories(self.log, self.heading, self.history)
        return {self._user_id(user): histories.of_tests(user, self._held_out()) for user in users}

    @cached_property
    def _novelty(self) -> Floats:
        """The novelty of each title of the log."""
        return novelty_of(self.log, training_ratings(self.log, self._held_out()))

    @cached_property
    def _users(self) -> list[int]:
        """All users ordered by a salted hash, so that any number of them is a fair sample; test users come first."""
        return sorted(range(len(self.log.users)), key=self._user_id)

    @cached_property
    def _cases(self) -> dict[str, Case]:
        return {
            id_: make_case(self.log, user, self._held_out(), self.negatives, [self.seed, int(id_, 16)])
            for user in self._users[: 2 * self.test_users]
            for id_ in [self._user_id(user)]
        }

    def _user_id(self, user: int) -> str:
        return hashlib.sha256(f"gcsl user {self.log.users[user]}".encode()).hexdigest()[:16]

    def _table(self, rows: Sequence[tuple[int, int, int, str]]) -> pa.Table:
        """Build feedback rows from (rating, end of its history, user, split); the first two are indices in the log."""
        histories = Histories(self.log, self.heading, self.history)
        columns = {
            "prompt": [histories.before(end, user) for _, end, user, _ in rows],
            "completion": [histories.title(rating) for rating, _, _, _ in rows],
            "score": [float(self.log.ratings[rating]) for rating, _, _, _ in rows],
            "prompt_id": [self._user_id(user) + ("" if split == "test" else f"-{end}") for _, end, user, split in rows],
            "split": [split for _, _, _, split in rows],
            "finished": [True] * len(rows),
            "source": ["ratings"] * len(rows),
        }
        return pa.table(columns, schema=FEEDBACK)
