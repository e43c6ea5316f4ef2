"""Tables for the terminal (rich), Markdown and HTML, each built from its columns.

A terminal shows the columns that fit and names the others; numbers never wrap. Markdown and HTML show every column.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.table import Table as RichTable
from rich.text import Text

from gcsl_cli.reports.estimates import number

# Characters that Markdown would interpret. An underscore inside a word is harmless, and paths have many.
MARKUP = re.compile(r"[\\`*<|~]|(?<![^\W_])_|_(?![^\W_])|(?<=\])\(|&(?=[#\w])")
STYLES = {"better": "bold green", "worse": "bold red", "differs": "bold", "failed": "bold red", "done": "green"}
PROSE_WIDTH = 19
"""A column of words wraps to no less than this width, in characters."""
BORDERS = 3
"""Width in characters of the frame and padding of a column."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A value, optionally with its change from another value and a verdict that colours it (`better`, `worse`, ...).

    The change is a second line; Markdown has no such lines and leaves it out.
    """

    value: str
    change: str = ""
    verdict: str = ""

    def markdown(self) -> str:
        """The value with its verdict in bold."""
        return escaped(self.value) + (f" **{self.verdict}**" if self.verdict and not self.change else "")

    def terminal(self) -> Text:
        """The value with the change on a second line; the verdict colours the change, or the value if there is none."""
        style = STYLES.get(self.verdict, "")
        if not self.change:
            return Text(self.value, style=style)
        return Text.assemble(self.value, "\n", (f"{self.change} {self.verdict}".rstrip(), style or "dim"))


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column of a table."""

    heading: str
    cells: Sequence[Cell]
    detail: bool = False
    """Dropped first on a narrow terminal."""
    prose: bool = False
    """Words instead of numbers: left-aligned, and may wrap."""

    @property
    def natural_width(self) -> int:
        """Width in characters if nothing wraps."""
        return max(cell_len(self.heading), self._cell_width)

    @property
    def least_width(self) -> int:
        """Width in characters if the heading, and cells of words, wrap."""
        if self.prose:
            return min(self.natural_width, PROSE_WIDTH)
        return max(self._cell_width, *(cell_len(word) for word in self.heading.split() or [""]))

    @property
    def _cell_width(self) -> int:
        return max((cell_len(line) for cell in self.cells for line in cell.terminal().plain.split("\n")), default=0)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns with a title and notes below; rich prints it."""

    columns: Sequence[Column]
    title: str = ""
    notes: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        header: Sequence[str],
        rows: Sequence[Sequence[Cell | str]],
        *,
        prose: Sequence[int] = (0,),
        detail: Sequence[int] = (),
        title: str = "",
        notes: Sequence[str] = (),
    ) -> "Table":
        """Build a table from rows; `prose` and `detail` are the indices of such columns."""
        columns = []
        for place, heading in enumerate(header):
            cells = [cell if isinstance(cell, Cell) else Cell(cell) for cell in (row[place] for row in rows)]
            columns.append(Column(heading, cells, detail=place in detail, prose=place in prose))
        return cls(columns, title, notes)

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """The cells, row by row."""
        return zip(*(column.cells for column in self.columns), strict=True)

    def markdown(self) -> str:
        """The table in Markdown, escaped."""
        alignment = ["---" if column.prose else "---:" for column in self.columns]
        header = [escaped(column.heading) for column in self.columns]
        rows = ([cell.markdown() for cell in row] for row in self.rows())
        return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, alignment, *rows))

    def fitting(self, width: int) -> "Table":
        """Return the table with only the columns that fit into `width` characters.

        Detail columns are dropped first, from the right. Then words wrap, then other columns are dropped. The first
        column stays.
        """
        shown = list(self.columns)
        while len(shown) > 1:
            detail = next((column for column in reversed(shown) if column.detail), None)
            widths = (c.natural_width if detail and c.prose else c.least_width for c in shown)
            if sum(each + BORDERS for each in widths) + 1 <= width:
                break
            shown.remove(detail or shown[-1])
        dropped = [column.heading for column in self.columns if column not in shown]
        more = [f"Columns that do not fit here: {', '.join(dropped)}."] if dropped else []
        return replace(self, columns=shown, notes=[*self.notes, *more])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RichTable]:
        fitted = self.fitting(options.max_width)
        natural = sum(column.natural_width + BORDERS for column in fitted.columns) + 1 <= options.max_width
        table = RichTable(
            title=Text(self.title) if self.title else None,
            caption=Text("\n".join(fitted.notes)) if fitted.notes else None,
            caption_justify="left",
            show_lines=any(cell.change for column in fitted.columns for cell in column.cells),
        )
        for column in fitted.columns:
            table.add_column(
                Text(column.heading),
                justify="left" if column.prose else "right",
                overflow="fold",
                width=None if column.prose or natural else column.least_width,
            )
        for row in fitted.rows():
            table.add_row(*(cell.terminal() for cell in row))
        yield table


def escaped(text: str) -> str:
    """Escape text for one line of Markdown, so that it reads as it was written."""
    return MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def sweep_table(outcomes: Sequence[Mapping[str, Any]]) -> Table:
    """One row per job of a multirun: the overrides that distinguish it, its status and its main values.

    An outcome: {"job": 0, "overrides": ["seed=1"], "status": "done", "message": "", "run": "runs/...",
    "columns": {"expected max toxicity": 0.31}}; values are numbers, texts or None.
    """
    every = [list(outcome["overrides"]) for outcome in outcomes]
    shared = [text for text in every[0] if all(text in other for other in every)] if len(every) > 1 else []
    labels = list(dict.fromkeys(label for outcome in outcomes for label in outcome["columns"]))
    rows: list[list[Cell | str]] = [
        [
            str(outcome["job"]),
            " ".join(text for text in overrides if text not in shared) or "-",
            Cell(str(outcome["status"]), verdict="failed" if outcome["status"] == "failed" else "done"),
            *(_value(outcome["columns"].get(label)) for label in labels),
            str(outcome["message"] if outcome["status"] == "failed" else outcome["run"]),
        ]
        for outcome, overrides in zip(outcomes, every, strict=True)
    ]
    header = ["job", "overrides", "status", *labels, "run or error"]
    notes = [f"All with {' '.join(shared)}."] if shared else []
    last = len(header) - 1
    # The column may go if it only holds folders, but an error has to be read.
    detail = () if any(outcome["status"] == "failed" for outcome in outcomes) else (last,)
    return Table.of(header, rows, prose=(0, 1, 2, last), detail=detail, title=f"{len(outcomes)} runs", notes=notes)


def _value(value: Any) -> str:
    if value is None:
        return "-"
    return number(value) if isinstance(value, float) else str(value)
