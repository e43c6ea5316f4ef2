"""The report of an evaluation: report.md, report.html and the tables on the terminal.

Every table is a function that returns a `Table`, and `_sections` puts them in order. A measure that a task returns in
`metrics` and names in `result_columns` appears in all of them without a change here.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from gcsl_cli.reports import plots
from gcsl_cli.reports.estimates import (
    ARROWS_EXPLAINED,
    Column,
    Result,
    measures,
    number,
    verdict,
    with_half_width,
    with_interval,
)
from gcsl_cli.reports.held_out import discrimination_table, held_out_sections, likelihood_table
from gcsl_cli.reports.rounds import distilled_table, round_sections, rounds_table
from gcsl_cli.reports.sections import Completions, Picture, Section, markdown, mask, page
from gcsl_cli.reports.several import several_sections, several_tables
from gcsl_cli.reports.tables import Cell, Table


def base_arm(result: Result) -> Mapping[str, Any] | None:
    """The arm that the others are compared with, None if no arm is compared."""
    if not any(arm.get("difference") for arm in result["arms"]):
        return None
    return next((arm for arm in result["arms"] if not arm.get("difference")), None)


def report_markdown(result: Result) -> str:
    """report.md. It contains no completions; report.html does, masked."""
    return markdown(f"Evaluation: {result['task']}", result["command"], list(_sections(result)))


def report_html(result: Result) -> str:
    """report.html."""
    return page(f"Evaluation: {result['task']}", result["command"], list(_sections(result)), _completions(result))


def terminal_tables(result: Result) -> list[Table]:
    """The tables that the command prints."""
    found = [
        results_table(result) if result["arms"] else None,
        rounds_table(result),
        distilled_table(result),
        *several_tables(result),
        discrimination_table(result),
        likelihood_table(result),
    ]
    return [table for table in found if table is not None]


def results_table(result: Result) -> Table:
    """One row per arm for the terminal: values and, on a second line, paired differences to the base arm."""
    found = measures(result)
    notes = f"{ARROWS_EXPLAINED}; ± is half the width of the 95 % interval over prompts."
    if (base := base_arm(result)) is not None:
        notes += (
            f" Second line: paired difference to {base['label']}, called better or worse where its 95 % interval "
            "excludes 0."
        )
    return Table.of(
        ["", *(measure.heading for measure in found)],
        [[arm["label"], *(_cell(arm, measure, with_half_width) for measure in found)] for arm in result["arms"]],
        detail=[place for place, measure in enumerate(found, 1) if measure.detail],
        title=str(result["task"]),
        notes=[notes],
    )


def values_table(result: Result) -> Table:
    """One row per measure: values with their intervals and, on the page, paired differences to the base arm."""
    arms = result["arms"]
    return Table.of(
        ["", *(arm["label"] for arm in arms)],
        [[measure.heading, *(_cell(arm, measure, with_interval) for arm in arms)] for measure in measures(result)],
    )


def differences_table(result: Result) -> Table | None:
    """One row per measure: paired differences to the base arm with their intervals; None if no arm is compared."""
    arms = [arm for arm in result["arms"] if arm.get("difference")]
    if not arms:
        return None
    return Table.of(
        ["", *(arm["label"] for arm in arms)],
        [[measure.label, *(_difference(arm, measure) for arm in arms)] for measure in measures(result)],
    )


def attainment_table(result: Result) -> Table:
    """One row per level asked for: the share of completions that reach it, and their mean score."""
    return Table.of(
        ["level", "in words", "share reaching it", "mean score"],
        [
            [part["label"], part["asked"] or "", with_interval(part["share"]), with_interval(part["mean"])]
            for part in result["attainment"]["levels"]
        ],
        prose=(0, 1),
    )


def _sections(result: Result) -> Iterator[Section]:
    base = base_arm(result)
    if result["arms"]:
        signed = "" if base is None else f"signed numbers are paired differences to {base['label']}; "
        dashed = "" if base is None else f"; dashed: {base['label']}"
        yield Section(
            "Results",
            table=values_table(result),
            notes=[f"Brackets are 95 % intervals; {signed}{ARROWS_EXPLAINED}.", *_left_out(result)],
            pictures=[
                Picture(
                    f"arms-{place}",
                    partial(plots.arms_figure, result, [measure], base),
                    f"{measure.label}: each arm with its 95 % interval{dashed}.",
                )
                for place, measure in enumerate(plotted(measures(result)))
            ],
        )
    if base is not None:
        title = f"Paired differences to {base['label']}"
        yield Section(title, table=differences_table(result), markdown_only=True)
    yield from round_sections(result)
    yield Section("How to read this", how_to_read(result))
    if asked := _asked(result):
        yield Section("What the models were asked for", table=Table.of(["goal", "arms"], asked, prose=(0, 1)))
    if any((result.get("distributions") or {}).values()):
        caption = "Share of completions that score at most x. Lower curves are better."
        draw = partial(plots.distribution_figure, result)
        yield Section("Score distributions", pictures=[Picture("distributions", draw, caption)])
    yield from _goal_sections(result)
    yield Section("What was run", table=Table.of(["", "value"], fact_rows(result), prose=(0, 1)))


def _goal_sections(result: Result) -> Iterator[Section]:
    """Sections on what the model has learned about its goals."""
    yield from several_sections(result)
    if attainment := result.get("attainment"):
        levels, completions = (number(attainment[f"spearman_{name}"], 2) for name in ("levels", "completions"))
        ranks = f"Rank correlation of asked and achieved: {levels} over level means, {completions} over completions."
        if len(attainment["levels"]) == 2:
            ranks += " With two levels, the correlation over means can only be 1, -1 or undefined."
        yield Section(
            "Goal attainment",
            "Scores of the completions at each level asked for; higher is better.",
            attainment_table(result),
            [ranks],
            [
                Picture("attained-mean", partial(plots.mean_figure, result), "Mean score at each level asked for."),
                Picture("attained-share", partial(plots.share_figure, result), "Share of completions that reach it."),
            ],
        )
    yield from held_out_sections(result)


def how_to_read(result: Result) -> str:
    """Explain what the numbers mean, and what they do not."""
    if not result["arms"]:
        return "Nothing was sampled: everything here comes from held-out graded completions."
    text = (
        "Values are averages over prompts, with 95 % bootstrap intervals over those prompts. The intervals do not "
        "cover how results vary between training seeds."
    )
    if (base := base_arm(result)) is not None:
        text += (
            f" Differences are paired: the same prompts, minus {base['label']}. A difference is called better or worse "
            "only if its interval excludes 0; among many measures, some do so by chance."
        )
    return text + (_judge(measures(result)) if result.get("graded", True) else "")


def _judge(found: Sequence[Column]) -> str:
    """A warning if the main measure comes from the scorer that the model was trained to please."""
    if found[0].independent:
        return ""
    text = (
        f" The first measure, {found[0].label}, uses the scorer that graded the training data, so a model can please "
        "that scorer without being better."
    )
    others = [measure.label for measure in found if measure.independent]
    if not others:
        return f"{text} Always read it together with the measures that do not use that scorer."
    return f"{text} Compare it with the measures that do not use that scorer: {', '.join(others)}."


def plotted(found: Sequence[Column]) -> list[Column]:
    """The main measure and up to two that do not depend on the scorer of the training data."""
    return [found[0], *(measure for measure in found[1:] if measure.independent)][:3]


def fact_rows(result: Result) -> list[list[str]]:
    """Names and values of what was run, except the command."""
    rows = [["task", str(result["task"])], ["run", str(result["run"])], ["commit", str(result["commit"] or "unknown")]]
    rows += [[name.replace("_", " "), _fact(value)] for name, value in result["facts"].items()]
    return [*rows, ["evaluation seconds", _fact(result["seconds"])]]


def _fact(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "none" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"


def _asked(result: Result) -> list[list[str]]:
    """Each goal in words, with the arms that were asked for it."""
    arms: dict[str, list[str]] = {}
    for arm in result["arms"]:
        if arm["asked"]:
            arms.setdefault(str(arm["asked"]), []).append(arm["label"])
    return [[text, "; ".join(labels)] for text, labels in arms.items()]


def _left_out(result: Result) -> list[str]:
    """One sentence per estimate with missing prompts."""
    return [
        f"{arm['label']}, {measure.label}: {estimate['left_out']} of {estimate['n'] + estimate['left_out']} prompts "
        "had no value and are left out."
        for arm in result["arms"]
        for measure in measures(result)
        if (estimate := arm["metrics"].get(measure.name)) and estimate["left_out"]
    ]


def _cell(arm: Mapping[str, Any], measure: Column, written: Any) -> Cell:
    value = written(arm["metrics"].get(measure.name), measure.digits)
    difference = (arm.get("difference") or {}).get(measure.name)
    if difference is None:
        return Cell(value)
    return Cell(value, number(difference["value"], measure.digits, sign=True), verdict(difference, measure.better))


def _difference(arm: Mapping[str, Any], measure: Column) -> Cell:
    difference = arm["difference"].get(measure.name)
    return Cell(with_interval(difference, measure.digits, sign=True), verdict=verdict(difference, measure.better))


def _completions(result: Result) -> Completions:
    """Completions by arm, masked unless the result has `unmask`: the source of the page does not contain them."""
    unmask = result.get("unmask", False)
    rows = [
        {
            "arm": example["arm"],
            "prompt": example["prompt"],
            "completion": example["completion"] if unmask else mask(example["completion"]),
            "score": None if example["score"] is None else number(example["score"]),
        }
        for example in result.get("examples") or []
    ]
    groups = {arm["label"]: [row for row in rows if row["arm"] == arm["name"]] for arm in result["arms"]}
    return Completions(
        "Model output, which may be offensive. So may the prompts, which are not masked. Completions are "
        + ("not masked either." if unmask else "masked; evaluation.unmask=true shows them."),
        {label: found for label, found in groups.items() if found},
    )
