"""The figures of a report, drawn with matplotlib's object interface: no display, no global state.

Ink takes the text colour of the page that an SVG stands in, so figures read in light and in dark. The colours are those
of Okabe and Ito (2008), which people with colour-blindness tell apart; lines differ in dash pattern too.
"""

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from io import StringIO
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcsl_cli.reports.content import Column, Result, base_arm, columns
from gcsl_cli.runs.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2329"
GRID = "#808890"
COLOURS = ("#78828f", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
PANELS = 3
UNKNOWN = {"value": None, "low": None, "high": None}


def arms_figure(result: Result) -> "Figure":
    """The main measure of each arm with its interval, and beside it the measures that another judge gave."""
    measures = columns(result)
    shown = [measures[0], *(column for column in measures[1:] if column.independent)][:PANELS]
    arms = result["arms"]
    figure = empty_figure(2.6 + 3.2 * len(shown), 1.1 + 0.45 * len(arms))
    base = base_arm(result)
    for axes, column in zip(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True):
        if base is not None and (reference := base["metrics"].get(column.name)) and reference["value"] is not None:
            axes.axvline(reference["value"], color=GRID, linewidth=1, linestyle=(0, (4, 3)))
        for place, arm in enumerate(arms):
            _dot(axes, place, arm["metrics"].get(column.name), column, COLOURS[place % len(COLOURS)])
        axes.set_yticks(range(len(arms)), [literal(arm["label"]) for arm in arms])
        axes.set_ylim(len(arms) - 0.5, -0.6)
        direction = f"\n({column.better} is better)" if column.better else ""
        axes.set_xlabel(literal(column.label) + direction)
        axes.margins(x=0.12)
        clean(axes, grid="x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    return figure


def attainment_figure(result: Result) -> "Figure":
    """For each asked level the mean score and the share of completions that reach it, with intervals."""
    levels = result["attainment"]["levels"]
    asked = [part["level"] for part in levels]
    figure = empty_figure(8.2, 3.1)
    mean_axes, share_axes = figure.subplots(1, 2)
    mean_axes.plot([min(asked), max(asked)], [min(asked), max(asked)], color=GRID, linestyle=(0, (4, 3)), linewidth=1)
    mean_axes.annotate(
        "achieved = asked",
        (max(asked), max(asked)),
        xytext=(-4, 4),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=INK,
    )
    _line(mean_axes, asked, [part["mean"] for part in levels], COLOURS[1])
    _line(share_axes, asked, [part["share"] or UNKNOWN for part in levels], COLOURS[2])
    mean_axes.set_ylabel("mean score achieved (higher is better)")
    share_axes.set_ylabel("share of completions reaching it")
    share_axes.set_ylim(-0.03, 1.06)
    for axes in (mean_axes, share_axes):
        axes.set_xlabel("level asked for")
        axes.set_xticks(asked, [literal(part["label"]) for part in levels])
        axes.margins(x=0.08, y=0.12)
        clean(axes)
    return figure


def distribution_figure(result: Result) -> "Figure":
    """For each arm the share of completions that score at most x; a lower curve is a better arm."""
    figure = empty_figure(8.2, 3.4)
    axes = figure.subplots()
    for arm, colour, dash in zip(result["arms"], cycle(COLOURS), cycle(DASHES), strict=False):
        found = result["distributions"].get(arm["name"]) or []
        scores = [score for score in found if score is not None and math.isfinite(score)]
        if scores:
            axes.ecdf(scores, label=literal(arm["label"]), color=colour, linestyle=dash, linewidth=1.8)
    axes.set_xlabel("score (higher is better)")
    axes.set_ylabel("share of completions at or below")
    axes.set_ylim(0, 1.02)
    legend_beside(axes)
    return figure


def legend_beside(axes: "Axes") -> None:
    """Names at the right of the axes, which get the look of the others."""
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5), labelcolor=INK)
    clean(axes)


def svg(figure: "Figure", prefix: str = "figure") -> str:
    """The figure as an `<svg>` element without a background, the same bytes for the same figure.

    `prefix` begins its ids, so that several figures can stand in one page.
    """
    import matplotlib as mpl

    buffer = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", text)


def html_figure(figure: "Figure", prefix: str, caption: str) -> str:
    """The figure with its caption as an element of a page."""
    image = svg(figure, prefix).replace("<svg ", f'<svg role="img" aria-label="{escape(caption)}" ', 1)
    return f'<figure class="scroll">{image}<figcaption>{escape(caption)}</figcaption></figure>\n'


def save_png(figure: "Figure", path: Path) -> None:
    """Write the figure as a PNG on white, whole or not at all.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=160, facecolor="white")


def empty_figure(width: float, height: float) -> "Figure":
    """A figure of so many inches without a display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def literal(text: str) -> str:
    """The text as it is: between two dollars matplotlib would read formulas, and fail where there is none."""
    return text.replace("$", r"\$")


def clean(axes: "Axes", *, grid: str = "y") -> None:
    """Quiet axes with lines across them."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(colors=INK, labelsize=9)
    axes.xaxis.label.set(color=INK, fontsize=9)
    axes.yaxis.label.set(color=INK, fontsize=9)
    (axes.xaxis if grid == "x" else axes.yaxis).grid(visible=True, color=GRID, alpha=0.25, linewidth=0.8)
    axes.set_axisbelow(True)


def errors(estimates: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Distances from the values down and up to the interval's ends; none where there is no interval."""
    return [
        [0.0 if part[end] is None else max(direction * (part[end] - part["value"]), 0.0) for part in estimates]
        for end, direction in (("low", -1), ("high", 1))
    ]


def _dot(axes: "Axes", place: int, estimate: Mapping[str, Any] | None, column: Column, colour: str) -> None:
    if estimate is None or estimate["value"] is None:
        return
    axes.errorbar(estimate["value"], place, xerr=errors([estimate]), fmt="o", color=colour, markersize=6, linewidth=2)
    axes.annotate(
        f"{estimate['value']:.{column.digits}f}",
        (estimate["value"], place),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        fontsize=8,
        color=INK,
    )


def _line(axes: "Axes", asked: Sequence[float], estimates: Sequence[Mapping[str, Any]], colour: str) -> None:
    kept = [(level, part) for level, part in zip(asked, estimates, strict=True) if part["value"] is not None]
    axes.errorbar(
        [level for level, _ in kept],
        [part["value"] for _, part in kept],
        yerr=errors([part for _, part in kept]),
        fmt="o-",
        color=colour,
        markersize=6,
        linewidth=2,
    )
