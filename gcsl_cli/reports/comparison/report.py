"""A comparison in the forms that people read: terminal, Markdown, HTML, LaTeX and CSV.

All but the CSV show the columns of `values_table` and `differences_table`; another column is another entry there.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from gcsl_cli.reports import plots
from gcsl_cli.reports.estimates import (
    ARROWS_EXPLAINED,
    Column,
    measures,
    number,
    verdict,
    with_half_width,
    with_interval,
)
from gcsl_cli.reports.sections import Picture, Section, markdown, page
from gcsl_cli.reports.tables import Cell, Table

Comparison = Mapping[str, Any]
Row = Mapping[str, Any]
COSTS = {
    "training_tokens": "training tokens",
    "training_seconds": "training seconds",
    "rollout_tokens": "rollout tokens",
}
"""Of a run in rounds, all rounds so far are counted."""
AUC, RANKS = "goal discrimination AUC", "rank correlation of levels"
CSV_HEADER = (
    "row",
    "seeds",
    "budget",
    "measure",
    "value",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "same_sign",
    "marks",
)
FRONTS = (
    "What each training can be asked for, in means over seeds, and the volume under its front, with every score on a "
    "scale from 0 (its worst grade) to 1 (its best). More goals cover more, also by chance."
)
TEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "±": r"$\pm$", "↓": "", "↑": "", "\\": ""}


def values_table(result: Comparison) -> Table:
    """One row per method: its measures over seeds, what it learned of its goals, and what training cost."""
    shown, costs = shown_measures(result), known_costs(result)
    header = ["", "seeds", *(measure.heading for measure in shown), AUC, RANKS, *costs.values()]
    rows = [
        [
            _label(row),
            str(len(row["seeds"])) if row["trained"] else "",
            *(with_half_width(row["metrics"].get(measure.name), measure.digits) for measure in shown),
            "" if row["discrimination"] is None else number(row["discrimination"]["value"]),
            _ranks(row["attainment"]),
            *(_cost(row["costs"].get(name)) for name in costs),
        ]
        for row in result["rows"]
    ]
    detail = range(2 + len(shown), len(header))
    return Table.of(header, rows, detail=detail, title=str(result["task"]), notes=list(notes(result)))


def differences_table(result: Comparison) -> Table | None:
    """One row per method: paired differences to the baseline; None if there are none.

    Only for the main measure, the independent ones, fluency and variety.
    """
    rows = [row for row in result["rows"] if row["difference"]]
    if not rows:
        return None
    main, *others = shown_measures(result)
    kept = [main, *(other for other in others if other.independent or other.name in ("perplexity", "distinct_2"))]
    return Table.of(
        ["", *(measure.heading for measure in kept)],
        [[_label(row), *(_difference(row, measure) for measure in kept)] for row in rows],
        title=f"paired difference to {result['baseline']}",
    )


def fronts_table(result: Comparison) -> Table | None:
    """One row per training: the hypervolume under what it can be asked for; None if there is one score."""
    found = result.get("fronts")
    if not found:
        return None
    return Table.of(
        ["", "goals asked for", "on the front", "hypervolume", f"difference to {result['baseline']}"],
        [
            [
                front["label"],
                str(len(front["points"])),
                str(sum(point["front"] for point in front["points"])),
                with_half_width(front["hypervolume"]),
                _volume_difference(front["difference"]),
            ]
            for front in found
        ],
        title=f"front of {' and '.join(found[0]['scores'])}",
    )


def _volume_difference(difference: Mapping[str, Any] | None) -> Cell:
    if difference is None:
        return Cell("")
    text = f"{with_interval(difference, sign=True)} {signs(difference)}"
    return Cell(text, verdict=verdict(difference, "higher"))


def notes(result: Comparison) -> Iterator[str]:
    """How to read the tables."""
    yield (
        f"Means over seeds with bootstrap 95 % intervals over seeds and prompts ({result['resamples']} resamples); "
        f"{ARROWS_EXPLAINED}."
    )
    if result["baseline"] is not None:
        yield (
            f"Differences to {result['baseline']} are paired by seed and prompt; 3/3 means that the difference has the "
            "same sign as the mean in three of three seeds. A difference is called better or worse only if its "
            "interval excludes 0."
        )
    budgets = sorted({row["budget"] for row in result["rows"] if row["budget"]})
    yield f"Budget per run: {'; '.join(budgets)}. Passes through a reference model take time, but count no tokens."
    if any(len(row["seeds"]) == 1 for row in result["rows"]):
        yield "With one seed, the interval is over prompts alone and does not cover variation between seeds."
    for letter, reason in result["marks"].items():
        yield f"[{letter}] {reason}."


def terminal_tables(result: Comparison) -> list[Table]:
    """The tables that the command prints."""
    found = [values_table(result), differences_table(result), fronts_table(result)]
    return [table for table in found if table is not None]


def comparison_markdown(result: Comparison) -> str:
    """comparison.md."""
    return markdown(f"Comparison: {result['task']}", result["command"], list(_sections(result)))


def comparison_html(result: Comparison) -> str:
    """report.html."""
    return page(f"Comparison: {result['task']}", result["command"], list(_sections(result)))


def comparison_latex(result: Comparison) -> str:
    """The values as a booktabs `tabular`."""
    table = values_table(result)
    texts = [[column.heading for column in table.columns], *([cell.value for cell in row] for row in table.rows())]
    header, *rows = (" & ".join(map(_tex, line)) + r" \\" for line in texts)
    lines = [
        f"% {' '.join(result['command'].split())}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        *(r"\toprule", header, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"),
        *(f"% {note}" for note in table.notes),
    ]
    return "\n".join(lines) + "\n"


def comparison_csv(result: Comparison) -> str:
    """One line per row and measure: value, interval, difference and its interval, whether all seeds share its sign."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for row in result["rows"]:
        differences = row["difference"] or {}
        scalars = {AUC: row["discrimination"], **{label: row["costs"].get(name) for name, label in COSTS.items()}}
        if row["attainment"]:
            scalars[RANKS] = {"value": row["attainment"]["spearman_levels"], "low": None, "high": None}
        for name, found in {**row["metrics"], **scalars}.items():
            if found is None:
                continue
            other = differences.get(name, {})
            writer.writerow(
                (
                    *(row["label"], " ".join(map(str, row["seeds"])), row["budget"], name),
                    *(found[key] for key in ("value", "low", "high")),
                    *(other.get(key) for key in ("value", "low", "high", "same_sign")),
                    " ".join(row["marks"]),
                )
            )
    return stream.getvalue()


def shown_measures(result: Comparison) -> list[Column]:
    """The measures of the tables, the main one first; the JSON and the CSV also have the detail measures."""
    return [measure for measure in measures(result) if not measure.detail]


def known_costs(result: Comparison) -> dict[str, str]:
    """The costs that any row has, with their labels."""
    return {name: label for name, label in COSTS.items() if any(row["costs"].get(name) for row in result["rows"])}


def signs(difference: Mapping[str, Any]) -> str:
    """In how many seeds the difference has the sign of its mean: `3/3`."""
    mean, each = difference["value"], [value for value in difference["per_seed"] if value is not None]
    same = sum(value * mean > 0 for value in each if mean is not None)
    return f"{same}/{len(each)}"


def _sections(result: Comparison) -> Iterator[Section]:
    values, differences, rows = values_table(result), differences_table(result), result["rows"]
    commits = sorted({commit for row in rows for commit in row["commits"]})
    seeds = sorted({seed for row in rows for seed in row["seeds"]})
    made = f"Evaluated at commit {', '.join(commits)}; seeds {', '.join(map(str, seeds))}."
    yield Section("Results", table=values, notes=[*values.notes, made])
    if differences is not None:
        yield Section(f"Paired differences to {result['baseline']}", table=differences)

    def trade(name: str, label: str, caption: str) -> Picture:
        return Picture(name, partial(plots.trade_figure, rows, shown_measures(result)[0], name, label), caption)

    if (table := fronts_table(result)) is not None:
        yield Section("Fronts", FRONTS, table, pictures=_front_pictures(result))
    fluency = trade("perplexity", "perplexity under base", "Means over seeds with 95 % intervals.")
    yield Section("Trade-off with perplexity", pictures=[fluency])
    if any(row["attainment"] for row in rows):
        caption = "Mean score at each level asked for, mean over seeds."
        yield Section("Goal attainment", pictures=[Picture("attainment", partial(plots.curves_figure, rows), caption)])
    ends = "Means over seeds with the 95 % interval of the measure and the range of the costs."
    yield Section(
        "What training costs", pictures=[trade(name, label, ends) for name, label in known_costs(result).items()]
    )
    if result["left_out"]:
        yield Section("Left out", notes=result["left_out"])


def _front_pictures(result: Comparison) -> list[Picture]:
    """The front of the first two scores."""
    names = list(result["fronts"][0]["scores"])
    if len(names) < 2:
        return []
    draw = partial(plots.fronts_figure, result["fronts"], *names[:2])
    return [
        Picture("fronts", draw, f"{names[0]} and {names[1]} of what each training can be asked for; lines: fronts.")
    ]


def _label(row: Row) -> str:
    """The label with the letters of the reasons why the row is not comparable with the baseline."""
    return f"{row['label']} [{', '.join(row['marks'])}]" if row["marks"] else str(row["label"])


def _difference(row: Row, measure: Column) -> Cell:
    difference = row["difference"].get(measure.name)
    if difference is None:
        return Cell("")
    text = f"{with_interval(difference, measure.digits, sign=True)} {signs(difference)}"
    return Cell(text, verdict=verdict(difference, measure.better))


def _ranks(attainment: Mapping[str, Any] | None) -> str:
    if attainment is None:
        return ""
    return f"{number(attainment['spearman_levels'], 2)} ({len(attainment['levels'])} levels)"


def _cost(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else f"{found['value']:,.0f}"


def _tex(text: str) -> str:
    return "".join(TEX.get(character, character) for character in text).strip()
