r"""TALLRec's movie protocol (Bao et al. 2023, RecSys): does a user like a title, given ten that the user has rated?

A feedback row with answers (`answer=direct`): the right answer has the score 1, the wrong one 0.
    {"prompt": "Given the user's preference and unpreference, identify whether ...", "completion": "\nYes.",
     "score": 1.0, "split": "train", ...}
With titles (`answer=title`) the goal says whether the user will like it, and Bayes' rule gives the answer:
    {"prompt": "User Preference: \"Fargo (1996)\"\nUser Unpreference: ...", "completion": "\nHeat (1995)", "score": 1.0,
     "split": "train", ...}
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.data.artifacts import content, resolve
from gcsl_cli.data.records import FeedbackRow, FeedbackRows, Prompt
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.goals.scale import Scale
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.metrics.ranking import auc_parts
from gcsl_cli.tasks.base import Column, Measured, Rollouts
from gcsl_cli.tasks.recommendation.log import RatingLog, RatingNames, read_log
from gcsl_cli.tasks.recommendation.titles import read_titles

HISTORY = 10
SEQUENCES = 10_000
TRAIN, VALIDATION = 8_000, 9_000
"""Where the splits end: 80, 10 and 10 %, in order."""
LIKED = 3.0
"""A rating above this is a like."""
ANSWERS = ("direct", "title")
YES, NO = "\nYes.", "\nNo."
PREFERENCES = "User Preference: {liked}\nUser Unpreference: {disliked}"
SENTENCES = {
    "direct": ["Give the wrong answer.", "Give the right answer."],
    "title": ["A movie that this user will not like:", "A movie that this user will like:"],
}
"""Both goals in words, the worse first."""
QUESTION = (
    "Given the user's preference and unpreference, identify whether the user will like the target movie by answering "
    '"Yes." or "No.".\n{preferences}\nWhether the user will like the target movie "{title}"?'
)

log = logging.getLogger("gcsl")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sequence10:
    """Ten titles that a user has rated, whether each was liked, and the one that comes next."""

    titles: tuple[str, ...]
    liked: tuple[bool, ...]
    target: str
    target_liked: bool

    @property
    def preferences(self) -> str:
        """The history as TALLRec words it."""
        rated = list(zip(self.titles, self.liked, strict=True))
        sides = {side: ", ".join(f'"{title}"' for title, liked in rated if liked is side) for side in (True, False)}
        return PREFERENCES.format(liked=sides[True] or "None", disliked=sides[False] or "None")

    @property
    def question(self) -> str:
        """History and target as TALLRec words them."""
        return QUESTION.format(preferences=self.preferences, title=self.target)


@dataclass
class TallrecTask:
    """The protocol's rows, and the AUC of answers read out of likelihoods."""

    name: str = "tallrec"
    version: int = 1
    ratings: str = "???"
    items: str = "???"
    sha256: str | None = None
    titles: dict[str, str | None] = field(default_factory=dict)
    answer: str = "direct"
    format: str = "plain"
    instruction: str = "{prompt}"
    sentences: list[str] = field(default_factory=list)
    templates: dict[str, str] = field(default_factory=dict)
    levels: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sentences = self.sentences or SENTENCES.get(self.answer, [])

    def prompt_format(self) -> str:
        """As configured."""
        return self.format

    def grade_scale(self, feedback: FeedbackRows) -> Scale:  # noqa: ARG002
        """0 or 1: wrong or right, disliked or liked."""
        return Scale("answer", 0.0, 1.0, closed=True)

    def overview(self) -> list[list[str]]:
        """Sequences and likes of each split."""
        return [
            [split, f"{len(part)} sequences, {sum(s.target_liked for s in part)} likes"]
            for split, part in self._splits.items()
        ]

    def feedback_name(self) -> str:
        """What the completions are."""
        return self.answer

    def feedback_keys(self, model: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """The files' content and how they are read."""
        files = {"ratings": content(self.ratings), "items": content(self.items), "titles": dict(self.titles)}
        return files | {"version": self.version, "answer": self.answer}

    def evaluation_keys(self) -> dict[str, Any]:
        """What is read out of the likelihoods."""
        return {"version": self.version, "answer": self.answer}

    def evaluation_prompts(self, feedback: FeedbackRows) -> list[Prompt]:  # noqa: ARG002
        """The thousand test sequences, in order."""
        return [Prompt(f"test-{place:04d}", self._prompt(s), "test") for place, s in enumerate(self._splits["test"])]

    def rollouts_planned(self) -> int:
        """None: ratings are given.

        Raises:
            ConfigError: `answer` is unknown.
        """
        if self.answer not in ANSWERS:
            raise ConfigError(f"task.answer={self.answer}: unknown; one of {', '.join(ANSWERS)}.")
        return 0

    def graded_rows(self, rollouts: Rollouts, folder: Path | None) -> FeedbackRows:  # noqa: ARG002
        """With answers a right and a wrong row a sequence, with titles one.

        Raises:
            ConfigError: `answer` is unknown.
            DataError: the ratings give fewer sequences than the protocol has.
        """
        self.rollouts_planned()
        rows: list[FeedbackRow] = []
        for split in ("train", "validation"):
            for place, sequence in enumerate(self._splits[split]):
                identity, prompt = f"{split}-{place:04d}", self._prompt(sequence)
                graded = [(f"\n{sequence.target}", sequence.target_liked)]
                if self.answer == "direct":
                    graded = [(YES, sequence.target_liked), (NO, not sequence.target_liked)]
                rows += [
                    FeedbackRow(prompt, completion, float(score), identity, split, True, "ratings")
                    for completion, score in graded
                ]
        return FeedbackRows.of(rows)

    def metrics(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]]) -> dict[str, PerPrompt]:  # noqa: ARG002
        """None: answers are read out of likelihoods."""
        return {}

    def result_columns(self) -> list[Column]:
        """Nothing is measured on sampled answers."""
        return []

    def candidates(self, prompts: Sequence[Prompt]) -> list[list[str]]:
        """Both answers, or the target title."""
        targets = [self._tests[prompt.prompt_id].target for prompt in prompts]
        return [[YES, NO] if self.answer == "direct" else [f"\n{target}"] for target in targets]

    def measured(self, prompts: Sequence[Prompt], log_probs: Sequence[Floats], tokens: Sequence[Floats]) -> Measured:  # noqa: ARG002
        """The AUC of log p(Yes) - log p(No), or of the log-likelihood of the title; then with the history's own odds.

        Of the ratio of goals the latter is Bayes' rule: log p(title | like) - log p(title | dislike) + log P(like) -
        log P(dislike), the prior being the history's share of likes with one of each added.
        """
        values = np.array([each[0] - each[1] if len(each) == 2 else each[0] for each in log_probs])
        tests = [self._tests[prompt.prompt_id] for prompt in prompts]
        return Measured({"auc": _auc(values, tests), "auc_with_prior": _auc(values + _prior(tests), tests)})

    def references(self, prompts: Sequence[Prompt]) -> dict[str, Measured]:
        """What the history's share of likes says, what the title's share of likes in training says, and their sum."""
        tests = [self._tests[prompt.prompt_id] for prompt in prompts]
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
        """The AUC of the protocol first."""
        return [
            Column("auc", "AUC", "higher", independent=True),
            Column("auc_with_prior", "AUC with the history's odds", "higher", independent=True),
        ]

    def _prompt(self, sequence: Sequence10) -> str:
        return sequence.question if self.answer == "direct" else sequence.preferences

    @cached_property
    def _tests(self) -> dict[str, Sequence10]:
        return {f"test-{place:04d}": sequence for place, sequence in enumerate(self._splits["test"])}

    @cached_property
    def _splits(self) -> dict[str, list[Sequence10]]:
        last = sequences(self._log())[-SEQUENCES:]
        if len(last) < SEQUENCES:
            raise DataError(
                f"{self.ratings}: {len(last)} sequences of {HISTORY} ratings and one more; the protocol takes "
                f"{SEQUENCES}."
            )
        return {"train": last[:TRAIN], "validation": last[TRAIN:VALIDATION], "test": last[VALIDATION:]}

    def _log(self) -> RatingLog:
        items, ratings = (resolve(uri, sha256=self.sha256) for uri in (self.items, self.ratings))
        titles = read_titles(items, "item_id", "movie_title", "release_year", self.titles)
        names = RatingNames("user_id", "item_id", "rating", "timestamp", None)
        return read_log([ratings], names, titles, (1.0, 5.0), fewest=1, newest=False)


def sequences(found: RatingLog) -> list[Sequence10]:
    """Every run of eleven ratings of a user, users in the order of the file, each by time with ties in file order."""
    made = []
    liked = (found.ratings > LIKED).tolist()
    titles = [found.titles[item] for item in found.items.tolist()]
    for user in range(len(found.users)):
        part = found.of_user(user)
        for place in range(part.start + HISTORY, part.stop):
            history = slice(place - HISTORY, place)
            made.append(Sequence10(tuple(titles[history]), tuple(liked[history]), titles[place], liked[place]))
    return made


def _prior(tests: Sequence[Sequence10]) -> Floats:
    likes = np.array([sum(sequence.liked) for sequence in tests], dtype=np.float64)
    return np.asarray(np.log(likes + 1) - np.log(HISTORY - likes + 1))


def _auc(values: Floats, tests: Sequence[Sequence10]) -> PerPrompt:
    return auc_parts(values, np.array([sequence.target_liked for sequence in tests]))
