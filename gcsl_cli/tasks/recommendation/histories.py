"""Histories as text: what a user has rated up to a point in time, and what comes next.

A viewer rated these movies from 1 to 5 stars, oldest first:
Toy Story (1995): 4
Fargo (1996): 5
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.scale import short_number
from gcsl_cli.tasks.recommendation.log import RatingLog

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How many of each user's last ratings are for test, and how many before them for validation."""

    test: int
    validation: int

    def __post_init__(self) -> None:
        """Refuse what leaves nothing.

        Raises:
            ConfigError: one of them is below 1.
        """
        for key in ("test", "validation"):
            if getattr(self, key) < 1:
                raise ConfigError(f"task.{key}_items={getattr(self, key)}: must be at least 1.")

    @property
    def fewest(self) -> int:
        """Ratings that a user needs: one to begin with, one to train on."""
        return self.test + self.validation + 2


@dataclass(frozen=True)
class Histories:
    """Renders histories of a log."""

    log: RatingLog
    heading: str
    length: int
    """Ratings at most."""

    def before(self, place: int, user: int) -> str:
        """The ratings of a user before the one at `place`, the oldest first; never one that came later."""
        begin = max(int(self.log.starts[user]), place - self.length)
        lines = [
            f"{self.log.titles[item]}: {_shown(rating)}"
            for item, rating in zip(
                self.log.items[begin:place].tolist(), self.log.ratings[begin:place].tolist(), strict=True
            )
        ]
        return "\n".join([self.heading, *lines])

    def title(self, place: int) -> str:
        """What was rated there, as a completion."""
        return f"\n{self.log.titles[int(self.log.items[place])]}"


@cache
def _shown(rating: float) -> str:
    return short_number(rating)


def training_places(log: RatingLog, held_out: HeldOut) -> Ints:
    """The ratings of the training part that have one before them, `(places,)`."""
    counts = np.diff(log.starts)
    position = np.arange(len(log.items)) - np.repeat(log.starts[:-1], counts)
    last = np.repeat(counts - held_out.test - held_out.validation, counts)
    return np.flatnonzero((position > 0) & (position < last))


def history_ends(log: RatingLog, places: Ints, ahead: int) -> Ints:
    """Where the history of each training rating ends, `(places,)`: at the first of the `ahead` ratings it is one of."""
    begins = log.starts[np.searchsorted(log.starts, places, side="right") - 1] + 1
    return places - (places - begins) % ahead


def drawn(ends: Ints, count: int, generator: np.random.Generator) -> Ints:
    """Which of the rows are drawn, `(count,)`, in order: histories at random, each with all of its rows."""
    chances = generator.random(int(ends.max()) + 1)[ends]
    return np.sort(np.lexsort((ends, chances))[:count])


def held_out_places(log: RatingLog, user: int, held_out: HeldOut) -> tuple[range, range]:
    """The ratings of a user for validation and for test."""
    end = int(log.starts[user + 1])
    return range(end - held_out.test - held_out.validation, end - held_out.test), range(end - held_out.test, end)


def users_of(log: RatingLog, places: Ints) -> Iterator[tuple[int, int]]:
    """Each place with its user."""
    users = np.searchsorted(log.starts, places, side="right") - 1
    return zip(places.tolist(), users.tolist(), strict=True)
