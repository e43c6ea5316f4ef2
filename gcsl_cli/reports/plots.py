"""The figures of reports, drawn with matplotlib's object interface: no display, no global state.

Each is narrow enough for a phone; the page puts them side by side where there is room. Text takes the colour of the
page, so figures read in light and in dark mode. The colours are those of Okabe and Ito (2008), which people with
colour-blindness tell apart; lines differ in dash pattern and points in shape as well.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from itertools import cycle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gcsl_cli.reports.estimates import Column

INK = "#1f2329"
GRID = "#808890"
IMAGE_STYLE = "<style>svg { color: #1f2329 } @media (prefers-color-scheme: dark) { svg { color: #e6e8eb } }</style>"
COLOURS = ("#78828f", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
MARKERS = "os^Dv<>Ph*"
REFERENCE = (0, (4, 3))
WIDTH = 4.8
"""Inches of a figure with one panel."""
UNKNOWN = {"value": None, "low": None, "high": None}
Estimate = Mapping[str, Any]


def arms_figure(result: Mapping[str, Any], shown: Sequence["Column"], base: Mapping[str, Any] | None) -> "Figure":
    """Each arm's value with its interval, one panel per measure; a dashed line marks the value of `base`."""
    arms = result["arms"]
    figure = _figure(2.0 + (WIDTH - 2.0) * len(shown), 1.1 + 0.45 * len(arms))
    for axes, measure in zip(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True):
        if base is not None and (reference := base["metrics"].get(measure.name)) and reference["value"] is not None:
            axes.axvline(reference["value"], color=GRID, linewidth=1, linestyle=REFERENCE)
        for place, (arm, colour) in enumerate(zip(arms, cycle(COLOURS), strict=False)):
            estimate = arm["metrics"].get(measure.name)
            if estimate is None or estimate["value"] is None:
                continue
            _point(axes, estimate, {**UNKNOWN, "value": place}, "o", colour, linewidth=2)
            text = f"{estimate['value']:.{measure.digits}f}"
            _annotate(axes, text, (estimate["value"], place), offset=(0, 6), ha="center")
        axes.set_yticks(range(len(arms)), [_literal(arm["label"]) for arm in arms])
        axes.set_ylim(len(arms) - 0.5, -0.6)
        axes.set_xlabel(_axis(measure))
        axes.margins(x=0.12)
        _clean(axes, grid="x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    return figure


def mean_figure(result: Mapping[str, Any]) -> "Figure":
    """The mean score at each level asked for, with intervals and the line on which both are equal."""
    figure, axes, levels = _levels_figure(result)
    ends = [min(levels), max(levels)]
    axes.plot(ends, ends, color=GRID, linestyle=REFERENCE, linewidth=1)
    _annotate(axes, "achieved = asked", (ends[1], ends[1]), offset=(-4, 4), ha="right")
    _line(axes, levels, [part["mean"] for part in result["attainment"]["levels"]], COLOURS[1])
    axes.set_ylabel("mean score achieved (higher is better)")
    return figure


def share_figure(result: Mapping[str, Any]) -> "Figure":
    """The share of completions that reach each level asked for, with intervals."""
    figure, axes, levels = _levels_figure(result)
    _line(axes, levels, [part["share"] or UNKNOWN for part in result["attainment"]["levels"]], COLOURS[2])
    axes.set_ylabel("share of completions reaching it")
    axes.set_ylim(-0.03, 1.06)
    return figure


def rounds_figure(result: Mapping[str, Any], measure: "Column") -> "Figure":
    """A measure over the rounds with intervals; rounds sampled with guidance are a line of their own."""
    figure = _figure(WIDTH, 3.2)
    axes = figure.subplots()
    points = [point for point in result["rounds"] if measure.name in point["metrics"]]
    for guidance, colour in zip(sorted({point["guidance"] for point in points}), cycle(COLOURS), strict=False):
        line = [point for point in points if point["guidance"] == guidance]
        _line(axes, [point["round"] for point in line], [point["metrics"][measure.name] for point in line], colour)
        at = (line[-1]["round"], line[-1]["metrics"][measure.name]["value"])
        if guidance and at[1] is not None:
            _annotate(axes, f"guidance {guidance:g}", at, offset=(-6, 6), ha="right")
    axes.set_xticks(sorted({point["round"] for point in points}))
    axes.set_xlabel("round (0: base)")
    axes.set_ylabel(_axis(measure))
    _clean(axes)
    return figure


def distribution_figure(result: Mapping[str, Any]) -> "Figure":
    """For each arm the share of completions that score at most x; lower curves are better."""
    figure = _figure(WIDTH, 4.2)
    axes = figure.subplots()
    for arm, colour, dash in zip(result["arms"], cycle(COLOURS), cycle(DASHES), strict=False):
        found = result["distributions"].get(arm["name"]) or []
        scores = [score for score in found if score is not None and math.isfinite(score)]
        if scores:
            axes.ecdf(scores, label=_literal(arm["label"]), color=colour, linestyle=dash, linewidth=1.8)
    axes.set_xlabel("score (higher is better)")
    axes.set_ylabel("share of completions at or below")
    axes.set_ylim(0, 1.02)
    _legend(axes)
    return figure


def front_figure(several: Mapping[str, Any], first: str, second: str) -> "Figure":
    """Two scores of each arm with their intervals; a line joins the arms on the front, better grades are up and right.

    `several` is that of a result.
    """
    figure = _figure(WIDTH, 4.4)
    axes = figure.subplots()
    front = [arm["means"] for arm in several["arms"] if arm["name"] in several["front"]]
    points = sorted((means[first]["value"], means[second]["value"]) for means in front)
    axes.plot([x for x, _ in points], [y for _, y in points], color=GRID, linewidth=1, linestyle=REFERENCE)
    for arm, colour, marker in _styled(several["arms"]):
        x, y = arm["means"][first], arm["means"][second]
        if x["value"] is not None and y["value"] is not None:
            _point(axes, x, y, marker, colour, label=_literal(arm["label"]), linewidth=1.2)
    _score_axes(axes, several["scores"], first, second)
    _legend(axes)
    return figure


def fronts_figure(fronts: Sequence[Mapping[str, Any]], first: str, second: str) -> "Figure":
    """Two scores of what each training can be asked for; a line joins its front. `fronts` are those of a comparison."""
    figure = _figure(WIDTH, 4.4)
    axes = figure.subplots()
    for front, colour, marker in _styled(fronts):
        points = [(point["means"][first], point["means"][second], point["front"]) for point in front["points"]]
        joined = sorted((x, y) for x, y, here in points if here)
        axes.plot([x for x, _ in joined], [y for _, y in joined], color=colour, linewidth=1)
        xs, ys = [x for x, _, _ in points], [y for _, y, _ in points]
        axes.plot(xs, ys, marker, color=colour, markersize=6, label=_literal(front["label"]))
    _score_axes(axes, fronts[0]["scores"], first, second)
    _legend(axes)
    return figure


def _score_axes(axes: "Axes", scores: Mapping[str, Any], first: str, second: str) -> None:
    """Name the axes of two scores, with better grades up and right."""
    for name, axis, set_label in ((first, axes.xaxis, axes.set_xlabel), (second, axes.yaxis, axes.set_ylabel)):
        lower = scores[name]["lower_is_better"]
        set_label(_literal(name) + f"\n({'lower' if lower else 'higher'} is better)")
        axis.set_inverted(lower)


def trade_figure(rows: Sequence[Mapping[str, Any]], main: "Column", other: str, label: str) -> "Figure":
    """The main measure of each row of a comparison over another measure or over a cost."""
    figure = _figure(WIDTH, 4.4)
    axes = figure.subplots()
    for row, colour, marker in _styled(rows):
        x, y = (row["metrics"] | row["costs"]).get(other), row["metrics"].get(main.name)
        if x is not None and y is not None and x["value"] is not None and y["value"] is not None:
            _point(axes, x, y, marker, colour, label=_literal(row["label"]), linewidth=1.2)
    axes.set_xlabel(_literal(label))
    axes.set_ylabel(_axis(main))
    _legend(axes)
    return figure


def curves_figure(rows: Sequence[Mapping[str, Any]]) -> "Figure":
    """The mean score at each level asked for, one line per training: arms of one method have the same curve."""
    figure = _figure(WIDTH, 4.2)
    axes = figure.subplots()
    drawn = []
    for row, colour, marker in _styled(rows):
        if row["attainment"] is None or row["attainment"] in drawn:
            continue
        drawn.append(row["attainment"])
        levels = row["attainment"]["levels"]
        asked, means = ([level[key] for level in levels] for key in ("level", "mean"))
        axes.plot(asked, means, color=colour, marker=marker, label=_literal(row["label"]))
    axes.set_xlabel("level asked for")
    axes.set_ylabel("mean score achieved (higher is better)")
    _legend(axes)
    return figure


def svg(figure: "Figure", prefix: str = "figure") -> str:
    """The figure as an `<svg>` element without a background, the same bytes for the same figure.

    `prefix` begins its ids, so that one page can hold several figures.
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


def image(figure: "Figure", prefix: str = "figure") -> str:
    """Render like `svg`, for a file: an image does not take the text colour of the page that shows it."""
    return svg(figure, prefix).replace("<defs>", f"<defs>\n  {IMAGE_STYLE}", 1)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _levels_figure(result: Mapping[str, Any]) -> tuple["Figure", "Axes", list[float]]:
    """A figure over the levels asked for."""
    levels = result["attainment"]["levels"]
    asked = [part["level"] for part in levels]
    figure = _figure(WIDTH, 3.2)
    axes = figure.subplots()
    axes.set_xlabel("level asked for")
    axes.set_xticks(asked, [_literal(part["label"]) for part in levels])
    axes.margins(x=0.08, y=0.12)
    _clean(axes)
    return figure, axes, asked


def _styled(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str, str]]:
    return zip(rows, cycle(COLOURS), cycle(MARKERS), strict=False)


def _legend(axes: "Axes") -> None:
    """Add a legend below the axes."""
    figure = axes.get_figure(root=True)
    if figure is not None and axes.get_legend_handles_labels()[0]:
        figure.legend(frameon=False, fontsize=8.5, loc="outside lower left", ncols=1, labelcolor=INK)
    _clean(axes)


def _clean(axes: "Axes", *, grid: str = "y") -> None:
    """Keep only the lower and left spines, with grid lines across."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(colors=INK, labelsize=9)
    axes.xaxis.label.set(color=INK, fontsize=9)
    axes.yaxis.label.set(color=INK, fontsize=9)
    (axes.xaxis if grid == "x" else axes.yaxis).grid(visible=True, color=GRID, alpha=0.25, linewidth=0.8)
    axes.set_axisbelow(True)


def _axis(measure: "Column") -> str:
    return _literal(measure.label) + (f"\n({measure.better} is better)" if measure.better else "")


def _literal(text: str) -> str:
    """The text with dollars escaped: matplotlib parses what is between two of them as a formula."""
    return text.replace("$", r"\$")


def _errors(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Distances from the values down and up to the ends of their intervals; 0 where there is no interval."""
    return [
        [0.0 if part[end] is None else max(direction * (part[end] - part["value"]), 0.0) for part in estimates]
        for end, direction in (("low", -1), ("high", 1))
    ]


def _point(axes: "Axes", x: Estimate, y: Estimate, marker: str, colour: str, **style: Any) -> None:
    vertical = None if y["low"] is None else _errors([y])
    axes.errorbar(
        x["value"], y["value"], xerr=_errors([x]), yerr=vertical, fmt=marker, color=colour, markersize=6, **style
    )


def _line(axes: "Axes", asked: Sequence[float], estimates: Sequence[Estimate], colour: str) -> None:
    kept = [(level, part) for level, part in zip(asked, estimates, strict=True) if part["value"] is not None]
    levels, parts = [level for level, _ in kept], [part for _, part in kept]
    values = [part["value"] for part in parts]
    axes.errorbar(levels, values, yerr=_errors(parts), fmt="o-", color=colour, markersize=6, linewidth=2)


def _annotate(axes: "Axes", text: str, at: tuple[float, float], *, offset: tuple[int, int], ha: str) -> None:
    axes.annotate(text, at, xytext=offset, textcoords="offset points", ha=ha, fontsize=8, color=INK)
