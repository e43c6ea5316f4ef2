"""Split each user's ratings by time, and render histories as prompts.

A viewer rated these movies from 1 to 5 stars, oldest first:
Toy Story (1995): 4
Fargo (1996): 5
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from gcsl_cli.data.arrays import Ints
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.scale import short_number
from gcsl_cli.tasks.recommendation.rating_log import RatingLog

FEEDBACK_FIELDS = {
    "version",
    "revision",
    "columns",
    "item_columns",
    "titles",
    "scale",
    "heading",
    "history",
    "ahead",
    "test_items",
    "validation_items",
    "rows",
    "test_users",
    "seed",
}
"""Fields of the task that determine the feedback rows."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Number of each user's last ratings held out for testing, and before those for validation; at least 1 of each."""

    test: int
    validation: int

    def __post_init__(self) -> None:
        for key in ("test", "validation"):
            if getattr(self, key) < 1:
                raise ConfigError(f"task.{key}_items={getattr(self, key)}: must be at least 1.")

    @property
    def fewest(self) -> int:
        """Minimum ratings per user: the held-out ones, one to train on, and one for its history."""
        return self.test + self.validation + 2


@dataclass(frozen=True)
class Histories:
    """Renders prompts and completions from a log. Ratings are identified by their index in it."""

    log: RatingLog
    heading: str
    length: int
    """Maximum ratings per history."""

    def before(self, rating: int, user: int) -> str:
        """The user's ratings before the given one, oldest first. Later ratings never appear."""
        begin = max(int(self.log.starts[user]), rating - self.length)
        items, ratings = self.log.items[begin:rating].tolist(), self.log.ratings[begin:rating].tolist()
        lines = [f"{self.log.titles[item]}: {_shown(value)}" for item, value in zip(items, ratings, strict=True)]
        return "\n".join([self.heading, *lines])

    def of_tests(self, user: int, held_out: HeldOut) -> str:
        """The user's ratings before the first test rating."""
        return self.before(held_out_ranges(self.log, user, held_out)[1].start, user)

    def title(self, rating: int) -> str:
        """The rated title as a completion."""
        return f"\n{self.log.titles[int(self.log.items[rating])]}"


_shown = cache(short_number)


def training_ratings(log: RatingLog, held_out: HeldOut) -> Ints:
    """Indices of the training ratings that have a history, i.e. all but each user's first; shape `(rows,)`."""
    counts = np.diff(log.starts)
    position = np.arange(len(log.items)) - np.repeat(log.starts[:-1], counts)
    end = np.repeat(counts - held_out.test - held_out.validation, counts)
    return np.flatnonzero((position > 0) & (position < end))


def history_ends(log: RatingLog, ratings: Ints, ahead: int) -> Ints:
    """Where each training rating's history ends, `(rows,)`: groups of `ahead` consecutive ratings share one history."""
    begins = log.starts[np.searchsorted(log.starts, ratings, side="right") - 1] + 1
    return ratings - (ratings - begins) % ahead


def draw_rows(ends: Ints, count: int, generator: np.random.Generator) -> Ints:
    """Draw `count` rows, history by history so that the rows of one history stay together; ascending indices."""
    chances = generator.random(int(ends.max()) + 1)[ends]
    return np.sort(np.lexsort((ends, chances))[:count])


def held_out_ranges(log: RatingLog, user: int, held_out: HeldOut) -> tuple[range, range]:
    """The user's validation and test ratings."""
    end = int(log.starts[user + 1])
    return range(end - held_out.test - held_out.validation, end - held_out.test), range(end - held_out.test, end)


def users_of(log: RatingLog, ratings: Ints) -> Iterator[tuple[int, int]]:
    """Pair each rating with its user."""
    users = np.searchsorted(log.starts, ratings, side="right") - 1
    return zip(ratings.tolist(), users.tolist(), strict=True)
