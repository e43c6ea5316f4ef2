"""Build the log of all ratings: user by user, each user's from oldest to newest.

Rules, each counted in `RatingLog.rule_counts`:
- Ratings of an item without a title are left out. Items with the same title are one item, because a model sees only
  titles.
- If a user rates an item several times, the newest rating counts.
- Ratings without a timestamp come before the user's others; equal timestamps keep the order of the file.
- Users with too few ratings are left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gcsl_cli.data.arrays import Bools, Ints
from gcsl_cli.data.input_files import Place
from gcsl_cli.errors import DataError
from gcsl_cli.tasks.recommendation.rating_files import numbers, read_blocks

UNTITLED = "ratings of items without a title, left out"
UNTIMED = "ratings without a timestamp, placed first"
MERGED = "items merged with another of the same title"
REPLACED = "ratings replaced by a newer one"


@dataclass
class RatingColumns:
    """Column names of a ratings file."""

    user: str = "user_id"
    item: str = "item_id"
    rating: str = "rating"
    timestamp: str | None = "timestamp"
    title: str | None = None


@dataclass
class ItemColumns:
    """Column names of an items file. A four-digit year is appended to the title, as in "Fargo (1996)"."""

    item: str = "item_id"
    title: str = "title"
    year: str | None = None


@dataclass
class Titles:
    """Distinct titles in file order, and the title of each item."""

    texts: list[str] = field(default_factory=list)
    of_item: dict[str, int] = field(default_factory=dict)
    """Index into `texts` by item."""
    known: dict[str, int] = field(default_factory=dict)
    """Index into `texts` by case-folded title."""
    collided: int = 0
    """Items that share the title of an earlier item."""

    def add(self, item: str, title: str) -> None:
        """Add an item. One with an empty title stays unknown."""
        text = " ".join(title.split())
        if not text:
            return
        index = self.known.setdefault(text.casefold(), len(self.texts))
        if index == len(self.texts):
            self.texts.append(text)
        elif self.of_item.get(item) != index:
            self.collided += 1
        self.of_item[item] = index


def read_titles(path: Path, columns: ItemColumns, renamed: Mapping[str, str | None]) -> Titles:
    """Read the titles of items.

    `renamed` replaces titles in the file; None leaves the item without a title.

    Raises:
        ConfigError: a column does not exist.
        DataError: the file cannot be read, or has no titles.
    """
    titles = Titles()
    names = [columns.item, columns.title, *([] if columns.year is None else [columns.year])]
    for _, block in read_blocks(path, names, "task.item_columns", "items"):
        items, texts, *years = (column.cast(pa.string()).to_pylist() for column in block)
        for index, (id_, text) in enumerate(zip(items, texts, strict=True)):
            released = (years[0][index] or "") if years else ""
            has_year = len(released) == 4 and released.isdigit()
            whole = f"{text} ({released})" if text and has_year else text or ""
            titles.add(id_, renamed.get(whole, whole) or "")
    if not titles.texts:
        raise DataError(f"{path}: none of the items has a title.")
    return titles


@dataclass(frozen=True)
class RatingLog:
    """Ratings sorted by user and time."""

    users: list[str]
    """In order of first appearance in the file."""
    titles: list[str]
    starts: Ints
    """Index of each user's first rating, `(users + 1,)`."""
    items: NDArray[np.int32]
    """Index into `titles`, `(ratings,)`."""
    ratings: NDArray[np.float32]
    rule_counts: Mapping[str, int]
    """Number of ratings, items or users that each rule applied to."""

    @cached_property
    def rated(self) -> Ints:
        """Indices of all titles with a rating, ascending."""
        return np.unique(self.items).astype(np.int64)

    def of_user(self, user: int) -> slice:
        """The range of a user's ratings."""
        return slice(int(self.starts[user]), int(self.starts[user + 1]))


def read_log(
    files: Sequence[Path],
    columns: RatingColumns,
    titles: Titles | None,
    scale: tuple[float, float],
    *,
    fewest: int,
    newest: bool = True,
) -> RatingLog:
    """Read the ratings of one or more files, in this order.

    `titles` are those of the items, None if the files of ratings have a title column. `scale` are the lowest and
    highest rating, `fewest` is the minimum number of ratings per user. With `newest`, only the newest rating of a title
    by a user counts.

    Raises:
        ConfigError: a column does not exist.
        DataError: a value cannot be used, or no user has enough ratings.
    """
    with_titles = titles is None
    titles = Titles() if titles is None else titles
    users: dict[str, int] = {}
    parts, rules = [], {UNTITLED: 0, UNTIMED: 0}
    optional = [name for name in (columns.timestamp, columns.title if with_titles else None) if name is not None]
    for path in files:
        for line, block in read_blocks(path, [columns.user, columns.item, columns.rating, *optional], "task.columns"):
            _check_present(block[0], columns.user, path, line)
            _check_present(block[1], columns.item, path, line)
            # Users are numbered in order of first appearance.
            user = _encoded(block[0], lambda user: users.setdefault(user, len(users)))
            rating = numbers(block[2], columns.rating, path, line).astype(np.float32)
            _check_scale(rating, scale, columns.rating, path, line)
            time = np.zeros(len(user))
            if columns.timestamp is not None:
                time = numbers(block[3], columns.timestamp, path, line, missing=True)
                rules[UNTIMED] += int(np.isnan(time).sum())
            item = _title_indices(block[1], block[-1] if with_titles else None, titles)
            known = item >= 0
            rules[UNTITLED] += int((~known).sum())
            parts.append((user[known], item[known], rating[known], np.nan_to_num(time[known], nan=-np.inf)))
    if not sum(len(part[0]) for part in parts):
        raise DataError(f"{files[0]}: no ratings of items with a title.")
    user, item, rating, time = (np.concatenate(column) for column in zip(*parts, strict=True))
    del parts
    rules[MERGED] = titles.collided
    order = np.lexsort((time, user))  # stable: equal times keep the order of the file
    user, item, rating = user[order], item[order], rating[order]
    del order, time
    if newest:
        last = _last_of_each(user, item)
        rules[REPLACED] = int(len(last) - last.sum())
        user, item, rating = user[last], item[last], rating[last]
    counts = np.bincount(user, minlength=len(users))
    enough = counts >= fewest
    rules[f"users with fewer than {fewest} ratings, left out"] = int((~enough).sum())
    if not enough.any():
        raise DataError(
            f"No user has {fewest} ratings; the most is {counts.max()}. Hold out fewer (task.test_items, "
            "task.validation_items) or supply more ratings."
        )
    kept = enough[user]
    starts = np.concatenate([[0], np.cumsum(counts[enough])]).astype(np.int64)
    names = [name for name, chosen in zip(users, enough.tolist(), strict=True) if chosen]
    return RatingLog(names, titles.texts, starts, item[kept], rating[kept], rules)


def _last_of_each(user: NDArray[np.int32], item: NDArray[np.int32]) -> Bools:
    """Mask of the last rating of each (user, item) pair."""
    # np.unique(pairs, return_index=True) is shorter, but needs 150 MiB more for ten million ratings.
    order = np.lexsort((item, user))  # stable: within a pair, the order of time stays
    last = np.ones(len(order), dtype=np.bool_)
    same = (user[order][1:] == user[order][:-1]) & (item[order][1:] == item[order][:-1])
    last[order[:-1][same]] = False
    return last


def _title_indices(item: pa.Array, title: pa.Array | None, titles: Titles) -> NDArray[np.int32]:
    """Index of each item's title, or -1; titles from the ratings' own title column are added to `titles` first."""
    if title is not None:
        pairs = pa.table({"item": item.cast(pa.string()), "title": title.cast(pa.string())}).group_by(["item", "title"])
        for pair in pairs.aggregate([]).to_pylist():
            titles.add(pair["item"], pair["title"] or "")
    return _encoded(item, lambda id_: titles.of_item.get(id_, -1))


def _encoded(column: pa.Array, index: Callable[[str], int]) -> NDArray[np.int32]:
    """Replace each text by its index, computing the index once per distinct text."""
    encoded = column.cast(pa.string()).dictionary_encode()
    indices = np.array([index(text) for text in encoded.dictionary.to_pylist()], dtype=np.int32)
    return indices[encoded.indices.to_numpy(zero_copy_only=False)] if len(indices) else indices


def _check_present(column: pa.Array, name: str, path: Path, line: int) -> None:
    missing = pc.fill_null(pc.equal(column.cast(pa.string()), ""), True).to_numpy(zero_copy_only=False)
    if missing.any():
        raise DataError(f"{Place(path, line + int(np.flatnonzero(missing)[0]))}: {name} is missing.")


def _check_scale(rating: NDArray[np.float32], scale: tuple[float, float], name: str, path: Path, line: int) -> None:
    outside = (rating < scale[0]) | (rating > scale[1])
    if outside.any():
        index = int(np.flatnonzero(outside)[0])
        raise DataError(
            f"{Place(path, line + index)}: {name} is {rating[index]:g}, outside "
            f"task.scale=[{scale[0]:g},{scale[1]:g}]. Correct the file or the scale."
        )
