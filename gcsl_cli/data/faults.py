"""What is wrong with a file, collected: each kind of fault with its count and its first places."""

import json
from dataclasses import dataclass, field
from typing import Any

from gcsl_cli.data.jsonl import Place

SHOWN_PLACES = 3
SHOWN_VALUE = 40


class Fault(Exception):  # noqa: N818
    """One row that cannot be used: what kind of fault, in which column, with which value."""

    def __init__(self, kind: str, column: str = "", value: Any = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.column = column
        self.value = value


@dataclass
class Faults:
    """Counts and first places of each kind of fault."""

    counts: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, fault: Fault, place: object) -> None:
        """Count a fault and remember where it was, if it is one of the first of its kind."""
        self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1
        places = self.places.setdefault(fault.kind, [])
        if len(places) < SHOWN_PLACES:
            found = f" {fault.column}={shown(fault.value)}" if fault.column else ""
            places.append(f"{place}{found}")

    def extend(self, other: "Faults") -> None:
        """Count all of the other's."""
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
            places = self.places.setdefault(kind, [])
            places += other.places[kind][: SHOWN_PLACES - len(places)]

    @property
    def total(self) -> int:
        """Rows that cannot be used."""
        return sum(self.counts.values())

    def lines(self) -> list[str]:
        """One line a kind, the most frequent first."""
        kinds = sorted(self.counts, key=lambda kind: -self.counts[kind])
        return [f"{self.counts[kind]} x {kind}: {', '.join(self.places[kind])}" for kind in kinds]


def shown(value: Any) -> str:
    """A value as one short line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN_VALUE else f"{text[: SHOWN_VALUE - 3]}..."


def rejected_line(fault: Fault, place: Place, row: Any) -> str:
    """A row that was left out, as a JSON line: where it stood, why, and what it was."""
    entry = {
        "file": str(place.path),
        "line": place.line,
        "reason": fault.kind,
        "column": fault.column,
        "value": fault.value,
        "row": row,
    }
    # Escaped: what was rejected may hold halves of characters.
    return json.dumps(entry, default=str) + "\n"
