"""All ratings in order: user by user, each from the oldest to the newest.

Rules, each counted: an item without a title is left out; of several ratings of one item by one user the newest counts;
ratings without a timestamp come before the others; equal timestamps stand in the order of the file; users with too few
ratings are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gcsl_cli.data.jsonl import Place
from gcsl_cli.errors import DataError
from gcsl_cli.tasks.recommendation.columns import numbers, read_blocks
from gcsl_cli.tasks.recommendation.titles import Titles

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class RatingLog:
    """Ratings of users in order of time."""

    users: list[str]
    """In the order in which they appear in the file."""
    titles: list[str]
    starts: Ints
    """Where the ratings of each user begin, `(users + 1,)`."""
    items: NDArray[np.int32]
    """Place in `titles`, `(ratings,)`."""
    ratings: NDArray[np.float32]
    left_out: Mapping[str, int]
    """How many ratings (or users) each rule took."""

    @cached_property
    def rated(self) -> Ints:
        """Every title that a rating is of, ascending."""
        return np.unique(self.items).astype(np.int64)

    def of_user(self, user: int) -> slice:
        """Where the ratings of a user are."""
        return slice(int(self.starts[user]), int(self.starts[user + 1]))


@dataclass
class _Codes:
    """Texts as numbers, in the order of their first appearance."""

    known: dict[str, int]

    def encode(self, column: pa.Array) -> NDArray[np.int32]:
        encoded = column.cast(pa.string()).dictionary_encode()
        codes = [self.known.setdefault(text, len(self.known)) for text in encoded.dictionary.to_pylist()]
        indices = encoded.indices.to_numpy(zero_copy_only=False)
        return np.array(codes, dtype=np.int32)[indices] if codes else np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class RatingNames:
    """Columns of a file of ratings."""

    user: str
    item: str
    rating: str
    timestamp: str | None
    title: str | None


def read_log(
    files: Sequence[Path],
    names: RatingNames,
    titles: Titles | None,
    scale: tuple[float, float],
    *,
    fewest: int,
    newest: bool = True,
) -> RatingLog:
    """The ratings of files, in order.

    Args:
        files: read one after the other.
        names: their columns.
        titles: of items; `None`: the file of ratings has a column of titles.
        scale: lowest and highest rating.
        fewest: ratings that a user has to have.
        newest: whether of several ratings of one title by one user only the newest counts.

    Raises:
        ConfigError: a column is not there.
        DataError: a value cannot be used, or no user has enough ratings.
    """
    own = titles is None
    titles = Titles() if titles is None else titles
    users, parts, left_out = _Codes({}), [], {"items without a title": 0, "without a timestamp": 0}
    optional = [name for name in (names.timestamp, names.title if own else None) if name is not None]
    for path in files:
        for line, columns in read_blocks(path, [names.user, names.item, names.rating, *optional], "task.columns"):
            for name, column in ((names.user, columns[0]), (names.item, columns[1])):
                _check_present(column, name, path, line)
            user = users.encode(columns[0])
            rating = numbers(columns[2], names.rating, path, line).astype(np.float32)
            _check_scale(rating, scale, names.rating, path, line)
            time = np.zeros(len(user))
            if names.timestamp is not None:
                time = numbers(columns[3], names.timestamp, path, line, missing=True)
                left_out["without a timestamp"] += int(np.isnan(time).sum())
            item = _titled(columns[1], columns[-1] if own else None, titles)
            known = item >= 0
            left_out["items without a title"] += int((~known).sum())
            parts.append((user[known], item[known], rating[known], np.nan_to_num(time[known], nan=-np.inf)))
    if not sum(len(part[0]) for part in parts):
        raise DataError(f"{files[0]}: no rating of an item with a title in it.")
    user, item, rating, time = (np.concatenate(column) for column in zip(*parts, strict=True))
    del parts
    left_out["items with the title of another, one with it"] = titles.collided
    order = np.lexsort((time, user))  # stable: equal times stand in the order of the file
    user, item, rating = user[order], item[order], rating[order]
    del order, time
    if newest:
        last = _last_of_each(user, item)
        left_out["rated again later"] = int(len(last) - last.sum())
        user, item, rating = user[last], item[last], rating[last]
    counts = np.bincount(user, minlength=len(users.known))
    enough = counts >= fewest
    left_out[f"users with fewer than {fewest} ratings"] = int((~enough).sum())
    if not enough.any():
        raise DataError(
            f"No user has {fewest} ratings; the most is {counts.max()}. Hold out fewer (task.test_items, "
            "task.validation_items) or give more ratings."
        )
    kept = enough[user]
    starts = np.concatenate([[0], np.cumsum(counts[enough])]).astype(np.int64)
    names_of_users = [name for name, chosen in zip(users.known, enough.tolist(), strict=True) if chosen]
    return RatingLog(names_of_users, titles.texts, starts, item[kept], rating[kept], left_out)


def _last_of_each(user: NDArray[np.int32], item: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether a rating is the last one of its user and item."""
    order = np.lexsort((item, user))  # stable: within a pair the order of time stays
    last = np.ones(len(order), dtype=np.bool_)
    same = (user[order][1:] == user[order][:-1]) & (item[order][1:] == item[order][:-1])
    last[order[:-1][same]] = False
    return last


def _titled(item: pa.Array, title: pa.Array | None, titles: Titles) -> NDArray[np.int32]:
    """The place of each item's title, -1 for none; titles of the same file are taken up first."""
    if title is not None:
        pairs = pa.table({"item": item.cast(pa.string()), "title": title.cast(pa.string())}).group_by(["item", "title"])
        for pair in pairs.aggregate([]).to_pylist():
            titles.add(pair["item"], pair["title"] or "")
    encoded = item.cast(pa.string()).dictionary_encode()
    places = np.array([titles.of_item.get(id_, -1) for id_ in encoded.dictionary.to_pylist()], dtype=np.int32)
    return places[encoded.indices.to_numpy(zero_copy_only=False)] if len(places) else np.empty(0, dtype=np.int32)


def _check_present(column: pa.Array, name: str, path: Path, line: int) -> None:
    missing = pc.fill_null(pc.equal(column.cast(pa.string()), ""), True).to_numpy(zero_copy_only=False)
    if missing.any():
        raise DataError(f"{Place(path, line + int(np.flatnonzero(missing)[0]))}: {name} is missing.")


def _check_scale(rating: NDArray[np.float32], scale: tuple[float, float], name: str, path: Path, line: int) -> None:
    outside = (rating < scale[0]) | (rating > scale[1])
    if outside.any():
        place = int(np.flatnonzero(outside)[0])
        raise DataError(
            f"{Place(path, line + place)}: {name} is {rating[place]:g}, outside "
            f"task.scale=[{scale[0]:g},{scale[1]:g}]. Correct the file or the scale."
        )
