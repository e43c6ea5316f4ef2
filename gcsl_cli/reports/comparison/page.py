"""report.html of a comparison: its tables, and figures of what each method reaches at what price."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import cycle
from typing import TYPE_CHECKING, Any

from gcsl_cli.reports import plots
from gcsl_cli.reports.comparison.tables import (
    Comparison,
    difference_columns,
    differing,
    marked,
    notes,
    shown_columns,
    signs,
    values_header,
    values_rows,
)
from gcsl_cli.reports.content import Column
from gcsl_cli.reports.estimates import verdict, with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^Dv<>Ph*"


def comparison_html(result: Comparison) -> str:
    """The whole page."""
    style = files("gcsl_cli.reports").joinpath("page.css").read_text(encoding="utf-8")
    title = escape(f"Comparison: {result['task']}")
    main = shown_columns(result)[0]
    sections = [
        f"<h1>{title}</h1>\n<pre><code>{escape(result['command'])}</code></pre>",
        "<h2>Results</h2>\n" + _table(values_header(result), [list(cells) for cells in values_rows(result)]),
        "".join(f'<p class="note">{escape(note)}</p>\n' for note in notes(result)),
        _differences(result),
        f"<h2>{escape(main.label)} against perplexity</h2>\n",
        plots.html_figure(trade_figure(result), "trade", f"Lower left is better where {main.label} is to be low."),
        _attainment(result),
        "<h2>What training costs</h2>\n",
        plots.html_figure(cost_figure(result), "cost", "Each method's mean over seeds with its 95 % interval."),
        _left_out(result),
    ]
    body = "\n".join(section for section in sections if section)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def trade_figure(result: Comparison) -> "Figure":
    """The main measure over perplexity, a point a row."""
    figure = plots.empty_figure(8.2, 4.2)
    axes = figure.subplots()
    main = shown_columns(result)[0]
    for row, colour, marker in _styled(result["rows"]):
        _point(axes, row["metrics"].get("perplexity"), row["metrics"].get(main.name), row["label"], colour, marker)
    _finish(axes, "perplexity under base", main)
    return figure


def attainment_figure(result: Comparison) -> "Figure":
    """The mean score at each asked level, a line a row; a goal asked for twice, with guidance, is left out."""
    figure = plots.empty_figure(8.2, 3.6)
    axes = figure.subplots()
    rows = _curves(result)
    for row, colour, marker in _styled(rows):
        levels = row["attainment"]["levels"]
        axes.plot(
            [level["level"] for level in levels],
            [level["mean"] for level in levels],
            color=colour,
            marker=marker,
            label=plots.literal(row["label"]),
        )
    axes.set_xlabel("level asked for")
    axes.set_ylabel("mean score achieved (higher is better)")
    plots.legend_beside(axes)
    return figure


def cost_figure(result: Comparison) -> "Figure":
    """The main measure over training tokens and over training seconds."""
    figure = plots.empty_figure(8.2, 3.8)
    main = shown_columns(result)[0]
    trained = [row for row in result["rows"] if row["trained"]]
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, label) in zip(
        panels, (("training_tokens", "training tokens"), ("training_seconds", "training seconds")), strict=True
    ):
        for row, colour, marker in _styled(trained):
            _point(axes, row["costs"].get(name), row["metrics"].get(main.name), row["label"], colour, marker)
        axes.set_xlabel(label)
        plots.clean(axes)
    panels[0].set_ylabel(_axis(main))
    plots.legend_beside(panels[1])
    return figure


def _styled(rows: Sequence[Mapping[str, Any]]) -> Any:
    return zip(rows, cycle(plots.COLOURS), cycle(MARKERS), strict=False)


def _curves(result: Comparison) -> list[Mapping[str, Any]]:
    """Rows with a curve of their own: the arms of one method share one."""
    curves: dict[str, Mapping[str, Any]] = {}
    for row in result["rows"]:
        if row["attainment"]:
            curves.setdefault(repr(row["attainment"]), row)
    return list(curves.values())


def _point(
    axes: "Axes",
    x: Mapping[str, Any] | None,
    y: Mapping[str, Any] | None,
    label: str,
    colour: str,
    marker: str,
) -> None:
    if x is None or y is None or x["value"] is None or y["value"] is None:
        return
    axes.errorbar(
        x["value"],
        y["value"],
        xerr=plots.errors([x]),
        yerr=plots.errors([y]),
        fmt=marker,
        color=colour,
        markersize=7,
        linewidth=1.2,
        label=plots.literal(label),
    )


def _finish(axes: "Axes", x: str, y: Column) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(_axis(y))
    plots.legend_beside(axes)


def _axis(column: Column) -> str:
    return plots.literal(column.label) + (f"\n({column.better} is better)" if column.better else "")


def _differences(result: Comparison) -> str:
    shown = difference_columns(result)
    rows = [[marked(row), *(_difference(row, column) for column in shown)] for row in differing(result)]
    if not rows:
        return ""
    header = ["", *(column.heading for column in shown)]
    return f"<h2>Paired differences to {escape(result['baseline'])}</h2>\n" + _table(header, rows)


def _difference(row: Mapping[str, Any], column: Column) -> str:
    difference = row["difference"].get(column.name)
    if difference is None:
        return ""
    word = verdict(difference, column.better)
    return f"{with_interval(difference, column.digits, sign=True)} {signs(difference)} {word}".rstrip()


def _attainment(result: Comparison) -> str:
    if not _curves(result):
        return ""
    return "<h2>Goal attainment</h2>\n" + plots.html_figure(
        attainment_figure(result), "attainment", "What is achieved when a level is asked for, mean over seeds."
    )


def _left_out(result: Comparison) -> str:
    if not result["left_out"]:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in result["left_out"])
    return f"<h2>Left out</h2>\n<ul>{items}</ul>"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "\n".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>\n'
