"""Tables over the rounds of a run: the curve, and plain sampling against guided sampling of the round before."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from gcsl_cli.reports import plots
from gcsl_cli.reports.estimates import Column, Result, measures, verdict, with_half_width, with_interval
from gcsl_cli.reports.sections import Picture, Section
from gcsl_cli.reports.tables import Cell, Table

SHOWN = ("above_first_round", "perplexity", "distinct_2", "tokens", "divergence")
"""Measures of the curve beside the main one and those that do not depend on the scorer of the training data."""


def rounds_table(result: Result) -> Table | None:
    """One row per round and way of sampling; `None` without rounds. Costs are those of all rounds so far."""
    points = result.get("rounds")
    if not points:
        return None
    shown = _shown(result)
    rows = [
        [
            _label(point),
            *(_value(point, measure) for measure in shown),
            f"{point['training_tokens']:,}",
            f"{point['rollout_tokens']:,}",
        ]
        for point in points
    ]
    return Table.of(
        ["", *(measure.heading for measure in shown), "training tokens", "rollout tokens"],
        rows,
        title="rounds",
        notes=["± is half the width of the 95 % interval over prompts. Tokens are sums over the rounds so far."],
    )


def distilled_table(result: Result) -> Table | None:
    """One row per round: plain sampling minus guided sampling of the round before; `None` where none was guided."""
    points = [point for point in result.get("rounds") or [] if point["against_guided"]]
    if not points:
        return None
    shown = [measure for measure in _shown(result) if measure.name in points[0]["against_guided"]]
    return Table.of(
        ["", *(measure.heading for measure in shown)],
        [
            [f"round {point['round']}, plain", *(_difference(point["against_guided"], measure) for measure in shown)]
            for point in points
        ],
        title="plain sampling minus guided sampling of the round before",
    )


def _shown(result: Result) -> list[Column]:
    main, *others = measures(result)
    return [main, *(other for other in others if other.independent or other.name in SHOWN)]


def _label(point: Mapping[str, Any]) -> str:
    if not point["round"]:
        return "base"
    return f"round {point['round']}" + (f", guidance {point['guidance']:g}" if point["guidance"] else "")


def _value(point: Mapping[str, Any], measure: Column) -> str:
    found = point["metrics"].get(measure.name)
    return "" if found is None else with_half_width(found, measure.digits)


def _difference(differences: Mapping[str, Any], measure: Column) -> Cell:
    found = differences.get(measure.name)
    return Cell(with_interval(found, measure.digits, sign=True), verdict=verdict(found, measure.better))


def round_sections(result: Result) -> Iterator[Section]:
    """Sections on the rounds of feedback so far."""
    if (table := rounds_table(result)) is not None:
        main = measures(result)[0]
        draw = partial(plots.rounds_figure, result, main)
        caption = f"{main.label} of each round with its 95 % interval."
        yield Section("Rounds", table=table, notes=table.notes, pictures=[Picture("rounds", draw, caption)])
    if (table := distilled_table(result)) is not None:
        text = "Plain sampling of a round minus guided sampling of the round before, paired by prompt."
        yield Section("Guidance distilled", text, table)
