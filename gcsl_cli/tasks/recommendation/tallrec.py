r"""TALLRec's movie protocol (Bao et al. 2023, RecSys): will a user like a title, given ten titles the user rated?

A feedback row with `answer=direct`; the right answer scores 1, the wrong one 0:
    {"prompt": "Given the user's preference and unpreference, identify whether ...", "completion": "\nYes.",
     "score": 1.0, "split": "train", ...}
With `answer=title`, the goal says whether the user will like the title, and Bayes' rule gives the answer:
    {"prompt": "User Preference: \"Fargo (1996)\"\nUser Unpreference: ...", "completion": "\nHeat (1995)", "score": 1.0,
     "split": "train", ...}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.artifacts import content, resolve
from gcsl_cli.data.records import FeedbackRow, FeedbackRows, Prompt
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.goals.scale import Scale
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.metrics.ranking import auc_parts
from gcsl_cli.tasks.base import Column, Measured, Rollouts, Task
from gcsl_cli.tasks.recommendation.rating_log import ItemColumns, RatingColumns, RatingLog, read_log, read_titles

HISTORY = 10
SEQUENCES = 10_000
TRAIN, VALIDATION = 8_000, 9_000
"""Where the training and validation splits end: 80 % and 10 %, followed by 10 % for testing."""
LIKED = 3.0
"""Ratings above this count as likes."""
ANSWERS = ("direct", "title")
YES, NO = "\nYes.", "\nNo."
PREFERENCES = "User Preference: {liked}\nUser Unpreference: {disliked}"
SENTENCES = {
    "direct": ["Give the wrong answer.", "Give the right answer."],
    "title": ["A movie that this user will not like:", "A movie that this user will like:"],
}
"""Goal sentences, the worse goal first."""
QUESTION = (
    "Given the user's preference and unpreference, identify whether the user will like the target movie by answering "
    '"Yes." or "No.".\n{preferences}\nWhether the user will like the target movie "{title}"?'
)


@dataclass(frozen=True, slots=True)
class Sequence10:
    """Ten titles that a user rated, whether each was liked, and the next title."""

    titles: tuple[str, ...]
    liked: tuple[bool, ...]
    target: str
    target_liked: bool

    @property
    def preferences(self) -> str:
        """The history in TALLRec's wording."""
        rated = list(zip(self.titles, self.liked, strict=True))
        sides = {side: ", ".join(f'"{title}"' for title, liked in rated if liked is side) for side in (True, False)}
        return PREFERENCES.format(liked=sides[True] or "None", disliked=sides[False] or "None")

    @property
    def question(self) -> str:
        """The history and target in TALLRec's wording."""
        return QUESTION.format(preferences=self.preferences, title=self.target)


@dataclass
class TallrecTask(Task):
    """The protocol's rows, and the AUC of answers derived from likelihoods."""

    name: str = "tallrec"
    ratings: str = "???"
    items: str = "???"
    sha256: str | None = None
    titles: dict[str, str | None] = field(default_factory=dict)
    answer: str = "direct"

    def __post_init__(self) -> None:
        self.sentences = self.sentences or SENTENCES.get(self.answer, [])

    def grade_scale(self, feedback: FeedbackRows) -> Scale:  # noqa: ARG002
        """0 or 1: wrong or right answer, or disliked or liked title."""
        return Scale("answer", 0.0, 1.0, closed=True)

    def overview(self) -> list[list[str]]:
        """Number of sequences and likes per split."""
        return [
            [split, f"{len(part)} sequences, {sum(s.target_liked for s in part)} likes"]
            for split, part in self._splits.items()
        ]

    def feedback_name(self) -> str:
        """The kind of completions: `direct` or `title`."""
        return self.answer

    def feedback_keys(self, model: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """The files' content and the settings for reading them."""
        files = {"ratings": content(self.ratings), "items": content(self.items), "titles": dict(self.titles)}
        return files | {"version": self.version, "answer": self.answer}

    def evaluation_keys(self) -> dict[str, Any]:
        """The kind of answer derived from the likelihoods."""
        return {"version": self.version, "answer": self.answer}

    def evaluation_prompts(self, feedback: FeedbackRows, split: str = "test") -> list[Prompt]:  # noqa: ARG002
        """The 1,000 test or validation sequences, in order."""
        return [Prompt(f"{split}-{index:04d}", self._prompt(s), split) for index, s in enumerate(self._splits[split])]

    def rollouts_planned(self) -> int:
        """Check the settings; nothing is sampled."""
        if self.answer not in ANSWERS:
            raise ConfigError(f"task.answer={self.answer}: unknown. Allowed: {', '.join(ANSWERS)}.")
        return 0

    def graded_rows(self, rollouts: Rollouts, folder: Path | None) -> FeedbackRows:  # noqa: ARG002
        """Two rows per sequence with `answer=direct`, right and wrong; one with `answer=title`."""
        self.rollouts_planned()
        rows: list[FeedbackRow] = []
        for split in ("train", "validation"):
            for index, sequence in enumerate(self._splits[split]):
                identity, prompt = f"{split}-{index:04d}", self._prompt(sequence)
                graded = [(f"\n{sequence.target}", sequence.target_liked)]
                if self.answer == "direct":
                    graded = [(YES, sequence.target_liked), (NO, not sequence.target_liked)]
                rows += [
                    FeedbackRow(prompt, completion, float(score), identity, split, True, "ratings")
                    for completion, score in graded
                ]
        return FeedbackRows.of(rows)

    def candidates(self, prompts: Sequence[Prompt]) -> list[list[str]]:
        """Both answers, or the target title."""
        targets = [self._evaluated[prompt.prompt_id].target for prompt in prompts]
        return [[YES, NO] if self.answer == "direct" else [f"\n{target}"] for target in targets]

    def measured(self, prompts: Sequence[Prompt], log_probs: Sequence[Floats], tokens: Sequence[Floats]) -> Measured:  # noqa: ARG002
        """AUC of log p(Yes) - log p(No) or the title's log-likelihood, with and without the history's prior log-odds.

        For the log-ratio of both goals, the second is Bayes' rule: log p(title | like) - log p(title | dislike) +
        log P(like) - log P(dislike). The prior is the history's share of likes with add-one smoothing.
        """
        values = np.array([each[0] - each[1] if len(each) == 2 else each[0] for each in log_probs])
        tests = [self._evaluated[prompt.prompt_id] for prompt in prompts]
        return Measured({"auc": _auc(values, tests), "auc_with_prior": _auc(values + _prior(tests), tests)})

    def references(self, prompts: Sequence[Prompt]) -> dict[str, Measured]:
        """Predict from the share of likes in the history, the title's share of likes in training, and both combined."""
        tests = [self._evaluated[prompt.prompt_id] for prompt in prompts]
        likes: dict[str, list[bool]] = {}
        for sequence in self._splits["train"]:
            likes.setdefault(sequence.target, []).append(sequence.target_liked)
        share = np.mean([s.target_liked for s in self._splits["train"]])
        of_title = [likes.get(s.target, []) for s in tests]
        known = np.array([(sum(each) + 2 * share) / (len(each) + 2) for each in of_title])
        title = np.log(known) - np.log1p(-known)
        values = {"likes in the history": _prior(tests), "likes of the title": title}
        values["likes of both"] = _prior(tests) + title
        return {label: Measured({"auc": _auc(value, tests)}) for label, value in values.items()}

    def ranking_columns(self) -> list[Column]:
        """The protocol's AUC first."""
        return [
            Column("auc", "AUC", "higher", independent=True),
            Column("auc_with_prior", "AUC with the history's odds", "higher", independent=True),
        ]

    def _prompt(self, sequence: Sequence10) -> str:
        return sequence.question if self.answer == "direct" else sequence.preferences

    @cached_property
    def _evaluated(self) -> dict[str, Sequence10]:
        splits = ("validation", "test")
        return {f"{split}-{index:04d}": each for split in splits for index, each in enumerate(self._splits[split])}

    @cached_property
    def _splits(self) -> dict[str, list[Sequence10]]:
        items, ratings = (resolve(uri, sha256=self.sha256) for uri in (self.items, self.ratings))
        titles = read_titles(items, ItemColumns("item_id", "movie_title", "release_year"), self.titles)
        log = read_log([ratings], RatingColumns(), titles, (1.0, 5.0), fewest=1, newest=False)
        last = sequences(log)[-SEQUENCES:]
        if len(last) < SEQUENCES:
            raise DataError(
                f"{self.ratings}: {len(last)} sequences of {HISTORY} ratings and a target; the protocol needs "
                f"{SEQUENCES}."
            )
        return {"train": last[:TRAIN], "validation": last[TRAIN:VALIDATION], "test": last[VALIDATION:]}


def sequences(ratings: RatingLog) -> list[Sequence10]:
    """Every window of eleven consecutive ratings of a user: users in file order, each user's ratings by time."""
    windows = []
    liked = (ratings.ratings > LIKED).tolist()
    titles = [ratings.titles[item] for item in ratings.items.tolist()]
    for user in range(len(ratings.users)):
        part = ratings.of_user(user)
        for target in range(part.start + HISTORY, part.stop):
            history = slice(target - HISTORY, target)
            windows.append(Sequence10(tuple(titles[history]), tuple(liked[history]), titles[target], liked[target]))
    return windows


def _prior(tests: Sequence[Sequence10]) -> Floats:
    likes = np.array([sum(sequence.liked) for sequence in tests], dtype=np.float64)
    return np.asarray(np.log(likes + 1) - np.log(HISTORY - likes + 1))


def _auc(values: Floats, tests: Sequence[Sequence10]) -> PerPrompt:
    return auc_parts(values, np.array([sequence.target_liked for sequence in tests]))
