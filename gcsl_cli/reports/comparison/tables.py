"""A comparison of runs as tables: for the terminal (rich), Markdown, LaTeX and CSV.

The comparison is the object in `comparison.json`:
    {"format_version": 1, "task": "toxicity", "baseline": "base", "columns": [COLUMN], "marks": {"a": "another budget
     than sft all"}, "left_out": ["runs/x: not evaluated yet ..."], "command": "gcsl compare ...", "commit": "1a2b3c4",
     "rows": [{"label": "threshold-language, guidance 2", "trained": true, "baseline": false, "seeds": [0, 1, 2],
               "runs": ["runs/..."], "commits": ["1a2b3c4"], "budget": "15,000 tokens", "marks": ["a"],
               "metrics": {"mean_toxicity": ESTIMATE}, "difference": {"mean_toxicity": ESTIMATE},
               "discrimination": SCALAR, "attainment": {"levels": [{"level": 0.9, "label": "0.9", "mean": 0.8,
               "per_seed": [0.8]}], "spearman_levels": 1.0, "per_seed": [1.0]}, "costs": {"training_seconds": SCALAR}}]}
with ESTIMATE and COLUMN as in `gcsl_cli.reports`, an ESTIMATE also has `per_seed`, in a difference `same_sign`;
SCALAR = {"value": mean, "low": least, "high": largest, "per_seed": [...]} over seeds.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from gcsl_cli.reports.content import ARROWS_EXPLAINED, Column, columns
from gcsl_cli.reports.estimates import number, verdict, with_half_width, with_interval
from gcsl_cli.reports.tables import STYLES, Markdown, pipe_table

Comparison = Mapping[str, Any]
Row = Mapping[str, Any]
COSTS = (("training_tokens", "training tokens"), ("training_seconds", "training seconds"))
CSV_HEADER = (
    *("row", "seeds", "budget", "measure", "value", "low", "high"),
    *("difference", "difference_low", "difference_high", "same_sign", "marks"),
)
AUC, RANKS = "goal discrimination AUC", "rank correlation of levels"


def shown_columns(result: Comparison) -> list[Column]:
    """The measures of the tables, the main one first; the JSON and the CSV have the others too."""
    return [column for column in columns(result) if not column.detail]


def values_header(result: Comparison) -> list[str]:
    """What stands above the columns of `values_rows`."""
    return [
        "",
        "seeds",
        *(column.heading for column in shown_columns(result)),
        AUC,
        RANKS,
        *(name for _, name in COSTS),
    ]


def values_rows(result: Comparison) -> Iterator[list[str]]:
    """Every row's measures over its seeds, with half the width of their 95 % intervals."""
    for row in result["rows"]:
        ranks = row["attainment"]
        yield [
            marked(row),
            str(len(row["seeds"])) if row["trained"] else "",
            *(with_half_width(row["metrics"].get(column.name), column.digits) for column in shown_columns(result)),
            "" if row["discrimination"] is None else number(row["discrimination"]["value"]),
            "" if ranks is None else f"{number(ranks['spearman_levels'], 2)} ({len(ranks['levels'])} levels)",
            *(_cost(row["costs"].get(name)) for name, _ in COSTS),
        ]


def difference_columns(result: Comparison) -> list[Column]:
    """The measures whose differences are shown: the main one, the independent ones, fluency and variety."""
    shown = shown_columns(result)
    return [
        column
        for column in shown
        if column is shown[0] or column.independent or column.name in ("perplexity", "distinct_2")
    ]


def differing(result: Comparison) -> list[Row]:
    """The rows that have a difference to the baseline."""
    return [row for row in result["rows"] if row["difference"]]


def signs(difference: Mapping[str, Any]) -> str:
    """In how many seeds the difference has the sign of its mean: `3/3`."""
    mean, each = difference["value"], [value for value in difference["per_seed"] if value is not None]
    same = sum(value * mean > 0 for value in each if mean is not None)
    return f"{same}/{len(each)}"


def marked(row: Row) -> str:
    """The label with the letters of what keeps it from being compared."""
    return f"{row['label']} [{', '.join(row['marks'])}]" if row["marks"] else str(row["label"])


def notes(result: Comparison) -> Iterator[str]:
    """What has to be known to read the tables."""
    yield (
        f"Means over seeds with bootstrap 95 % intervals over seeds and prompts ({result['resamples']} resamples); "
        f"{ARROWS_EXPLAINED}."
    )
    if result["baseline"] is not None:
        yield (
            f"Differences are paired, seed by seed and prompt by prompt, to {result['baseline']}; 3/3 says that three "
            "of three seeds have the sign of the mean. Better and worse are said where the interval excludes 0."
        )
    budgets = sorted({row["budget"] for row in result["rows"] if row["budget"]})
    yield f"Budget of a run: {'; '.join(budgets)}. Passes through a reference model cost seconds, but no tokens."
    if any(len(row["seeds"]) == 1 for row in result["rows"]):
        yield "A row of one seed has an interval over prompts alone: it says nothing about another seed."
    for letter, reason in result["marks"].items():
        yield f"[{letter}] {reason}."


def rich_tables(result: Comparison) -> list[Table]:
    """The values and, where there is a baseline, the differences."""
    caption = Text("\n".join(notes(result)))
    values = Table(title=Text(str(result["task"])), caption=caption, caption_justify="left")
    for place, name in enumerate(values_header(result)):
        values.add_column(Text(name), justify="right" if place else "left", no_wrap=not place)
    for cells in values_rows(result):
        values.add_row(*(Text(cell) for cell in cells))
    rows = differing(result)
    if not rows:
        return [values]
    differences = Table(title=Text(f"paired difference to {result['baseline']}"))
    for place, name in enumerate(["", *(column.heading for column in difference_columns(result))]):
        differences.add_column(Text(name), justify="right" if place else "left")
    for row in rows:
        found = [_rich_difference(row, column) for column in difference_columns(result)]
        differences.add_row(Text(marked(row)), *found)
    return [values, differences]


def comparison_markdown(result: Comparison) -> str:
    """Both tables with their notes, and how they were made."""
    rows = [
        [marked(row), *(_markdown_difference(row, column) for column in difference_columns(result))]
        for row in differing(result)
    ]
    heading = ["", *(column.heading for column in difference_columns(result))]
    parts = [
        f"# Comparison: {result['task']}\n",
        f"```bash\n{result['command']}\n```\n",
        pipe_table(values_header(result), list(values_rows(result))),
        *([f"Paired differences to {result['baseline']}:\n", pipe_table(heading, rows)] if rows else []),
        "".join(f"- {note}\n" for note in [*notes(result), *_made(result)]),
    ]
    return "\n".join(parts)


def _made(result: Comparison) -> Iterator[str]:
    commits = sorted({commit for row in result["rows"] for commit in row["commits"]})
    seeds = sorted({seed for row in result["rows"] for seed in row["seeds"]})
    yield f"Evaluated at commit {', '.join(commits)}; seeds {', '.join(map(str, seeds))}."
    for line in result["left_out"]:
        yield f"Left out: {line}"


def comparison_latex(result: Comparison) -> str:
    """The values as a `tabular` for booktabs."""
    header = values_header(result)
    lines = [" & ".join(_tex(cell) for cell in cells) + r" \\" for cells in values_rows(result)]
    return "\n".join(
        [
            f"% {' '.join(result['command'].split())}",
            r"\begin{tabular}{l" + "r" * (len(header) - 1) + "}",
            r"\toprule",
            " & ".join(_tex(cell) for cell in header) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            *(f"% {note}" for note in notes(result)),
            "",
        ]
    )


def comparison_csv(result: Comparison) -> str:
    """One line a row and measure: value, interval, difference and its interval, whether all seeds share its sign."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for row in result["rows"]:
        differences = row["difference"] or {}
        scalars = {AUC: row["discrimination"], **{label: row["costs"].get(name) for name, label in COSTS}}
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


def _rich_difference(row: Row, column: Column) -> Text:
    difference = row["difference"].get(column.name)
    word = verdict(difference, column.better)
    return Text(_difference(difference, column), style=STYLES.get(word, ""))


def _markdown_difference(row: Row, column: Column) -> str:
    difference = row["difference"].get(column.name)
    word = verdict(difference, column.better)
    return Markdown(_difference(difference, column) + (f" **{word}**" if word else ""))


def _difference(difference: Mapping[str, Any] | None, column: Column) -> str:
    if difference is None:
        return ""
    return f"{with_interval(difference, column.digits, sign=True)} {signs(difference)}"


def _cost(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else f"{found['value']:,.0f}"


def _tex(text: str) -> str:
    special = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "±": r"$\pm$", "↓": "", "↑": "", "\\": ""}
    return "".join(special.get(character, character) for character in text).strip()
