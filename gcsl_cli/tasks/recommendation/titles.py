"""What items are called: the same title is the same item, since a model reads titles only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from gcsl_cli.errors import DataError
from gcsl_cli.tasks.recommendation.columns import read_blocks


@dataclass
class Titles:
    """Distinct titles in the order of the file, and which one an item has."""

    texts: list[str] = field(default_factory=list)
    of_item: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    collided: int = 0
    """Items whose title another item has."""

    def add(self, item: str, title: str) -> None:
        """An item with its title; without one it is not known."""
        text = " ".join(title.split())
        if not text:
            return
        place = self.known.setdefault(text.casefold(), len(self.texts))
        if place == len(self.texts):
            self.texts.append(text)
        elif self.of_item.get(item) != place:
            self.collided += 1
        self.of_item[item] = place


def read_titles(path: Path, item: str, title: str, year: str | None, given: Mapping[str, str | None]) -> Titles:
    """The titles of a file of items.

    Args:
        path: CSV, tab-separated or Parquet.
        item: column of the item's identity.
        title: column of its title.
        year: column of its year, which is put behind the title ("Fargo (1996)") where it is four digits.
        given: what counts in place of a title of the file; `None`: the item has none.

    Raises:
        ConfigError: a column is not there.
        DataError: the file cannot be read, or names no item.
    """
    titles = Titles()
    wanted = [item, title, *([] if year is None else [year])]
    for _, columns in read_blocks(path, wanted, "task.item_columns"):
        ids, texts, *years = (column.cast(pa.string()).to_pylist() for column in columns)
        for place, (id_, text) in enumerate(zip(ids, texts, strict=True)):
            released = (years[0][place] or "") if years else ""
            whole = f"{text} ({released})" if text and _is_year(released) else text or ""
            titles.add(id_, given.get(whole, whole) or "")
    if not titles.texts:
        raise DataError(f"{path}: no item with a title in it.")
    return titles


def _is_year(text: str) -> bool:
    return len(text) == 4 and text.isdigit()
