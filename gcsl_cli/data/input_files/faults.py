"""Rows with their places in a file, and what is wrong with rows that cannot be used."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOCATIONS_SHOWN = 3
VALUE_WIDTH = 40
NOT_UTF8 = "not UTF-8 text"


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, printed as `file:line`."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class Fault(Exception):  # noqa: N818
    """Why a row cannot be used: the kind of fault, the column, the value, and where in the line it is."""

    def __init__(self, kind: str, column: str = "", value: Any = None, position: str = "") -> None:
        super().__init__(kind)
        self.kind, self.column, self.value, self.position = kind, column, value, position


Row = dict[str, Any]
NumberedRow = tuple[int, Row | Fault]
"""A line number (in Parquet: a row number) and its row, or the reason why there is none."""


@dataclass
class Faults:
    """Faults grouped by kind, each with its count and first few locations."""

    counts: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, fault: Fault, place: object) -> None:
        """Count a fault and, if it is among the first of its kind, record its location."""
        self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1
        places = self.places.setdefault(fault.kind, [])
        if len(places) < LOCATIONS_SHOWN:
            places.append(f"{place} {fault.column}={shown(fault.value)}" if fault.column else str(place))

    def extend(self, other: "Faults") -> None:
        """Merge the faults collected in `other`."""
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
            places = self.places.setdefault(kind, [])
            places += other.places[kind][: LOCATIONS_SHOWN - len(places)]

    @property
    def total(self) -> int:
        """Number of rows that cannot be used."""
        return sum(self.counts.values())

    def lines(self) -> list[str]:
        """One line of text per kind, the most frequent first."""
        kinds = sorted(self.counts, key=lambda kind: -self.counts[kind])
        return [f"{self.counts[kind]} x {kind}: {', '.join(self.places[kind])}" for kind in kinds]


def shown(value: Any) -> str:
    """Format a value as JSON on one short line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= VALUE_WIDTH else f"{text[: VALUE_WIDTH - 3]}..."
