"""A report as a list of sections, written as Markdown or as one self-contained HTML page (no scripts, no requests).

The layout of both is in `templates/`. Jinja escapes everything that goes into the page.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gcsl_cli.reports import plots
from gcsl_cli.reports.tables import Table, escaped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MASK = "•"


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of the page, drawn only when the page is written."""

    name: str
    draw: Callable[[], "Figure"]
    caption: str

    def svg(self) -> Markup:
        """The figure as an `<svg>` element; its ids begin with the name, so that they are unique on the page."""
        return Markup(plots.svg(self.draw(), self.name))


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and, in this order: text, pictures, a table, notes."""

    title: str
    text: str = ""
    table: Table | None = None
    notes: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    """Shown on the page only; Markdown leaves out sections that have nothing else."""
    markdown_only: bool = False


@dataclass(frozen=True, slots=True)
class Completions:
    """Examples by arm, which the page folds away: {"prompt": ..., "completion": ..., "score": "0.98" or None}."""

    note: str
    arms: Mapping[str, Sequence[Mapping[str, Any]]]


def page(title: str, command: str, sections: Sequence[Section], completions: Completions | None = None) -> str:
    """The sections as one HTML page, with completions at the end."""
    kept = [section for section in sections if not section.markdown_only]
    return render("page.html.j2", title=title, command=command, sections=kept, completions=completions)


def markdown(title: str, command: str, sections: Sequence[Section]) -> str:
    """The sections as Markdown, without pictures."""
    kept = [section for section in sections if section.text or section.table or section.notes]
    return render("report.md.j2", title=title, command=command, sections=kept)


def mask(text: str) -> str:
    """Hide all but the first letter of each word."""
    return re.sub(r"(?<=\S)\S", MASK, text)


def render(template: str, **values: Any) -> str:
    """Fill in one of the templates; `.html` ones escape the values."""
    environment = Environment(
        loader=PackageLoader("gcsl_cli.reports"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"md": escaped, "fenced": _fenced}
    return environment.get_template(template).render(**values)


def _fenced(text: str) -> str:
    """A code block with a fence longer than any run of backticks in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
