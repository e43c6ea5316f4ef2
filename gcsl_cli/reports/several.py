"""The section on several scores: what each arm reaches in all of them, how the parts of a goal interact, the front."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

from gcsl_cli.reports import plots
from gcsl_cli.reports.estimates import Result, number, verdict, with_interval
from gcsl_cli.reports.sections import Picture, Section
from gcsl_cli.reports.tables import Cell, Table

NOT_ASKED = ""
"""Share that reaches a part that is left open."""
MOST_FRONTS = 3
"""Pairs of scores whose fronts are drawn."""


def several_tables(result: Result) -> list[Table]:
    """The tables for the terminal; none where rows have one score."""
    found = [reached_table(result), cross_talk_table(result), separation_table(result)]
    return [table for table in found if table is not None]


def reached_table(result: Result) -> Table | None:
    """One row per arm: the mean of each score, and the share of completions that reach what is asked for."""
    several = result.get("several")
    if not several:
        return None
    names = list(several["scores"])
    return Table.of(
        ["", *(_heading(name, scale) for name, scale in several["scores"].items()), *_share_headings(several), "front"],
        [
            [
                arm["label"],
                *(with_interval(arm["means"][name], _digits(several["scores"][name])) for name in names),
                *_shares(several, arm),
                "yes" if arm["name"] in several["front"] else "",
            ]
            for arm in several["arms"]
        ],
        title="several scores",
        prose=(0,),
    )


def cross_talk_table(result: Result) -> Table | None:
    """One row per part: how asking for its best instead of its lowest level moves every score, the others held."""
    parts = (result.get("several") or {}).get("parts") or []
    if not any(effect for part in parts for effect in part["moves"].values()):
        return None
    scales = result["several"]["scores"]
    names = [part["name"] for part in parts]
    return Table.of(
        ["asked for", *(f"moves {name}" for name in names), "rank correlation, others held"],
        [
            [part["name"], *(_moved(part["moves"][name], scales[name]) for name in names), _ranks(part["ranks"])]
            for part in parts
        ],
        title="asking for one part moves the others",
        prose=(0,),
    )


def separation_table(result: Result) -> Table | None:
    """One row per part asked for alone: the AUC with which it separates held-out completions by each score."""
    found = result.get("part_discrimination")
    if not found:
        return None
    return Table.of(
        ["asked for", *(f"by {name}" for name in found)],
        [[name, *(with_interval(auc) for auc in by.values())] for name, by in found.items()],
        title="goal discrimination AUC of single parts, held-out rows",
        notes=["0.5 is chance."],
        prose=(0,),
    )


def separation_section(result: Result) -> Iterator[Section]:
    """What the report says on held-out completions and single parts; nothing where rows have one score."""
    if (table := separation_table(result)) is not None:
        yield Section(
            "Goal discrimination of single parts",
            "How well log p(completion | best level of a part) − log p(completion | its lowest level), the other parts "
            "left open, separates held-out completions at or above the median of each score from the rest (AUC; 0.5 is "
            "chance). On the diagonal it should be high; elsewhere it shows what the model takes one score to say "
            "about another, which may be true of the data.",
            table,
        )


def several_sections(result: Result) -> Iterator[Section]:
    """What the report says on several scores; nothing where rows have one."""
    several = result.get("several")
    if not several:
        return
    notes = ["An arm is on the front if no other arm of the trained model is at least as good in every score."]
    if several["hypervolume"] is not None:
        notes.append(
            f"Hypervolume of the trained model's arms: {with_interval(several['hypervolume'])}, with every score on a "
            "scale from 0 (its worst grade) to 1 (its best). It grows with the number of arms, so compare it between "
            "methods that were asked for equally many goals."
        )
    yield Section(
        "Several scores",
        "Mean grades of the completions, and the shares that reach what the arm is asked for.",
        reached_table(result),
        notes,
        [
            Picture(
                f"front-{place}",
                partial(plots.front_figure, several, first, second),
                f"{first} and {second} of each arm; the line joins the front.",
            )
            for place, (first, second) in enumerate(list(combinations(several["scores"], 2))[:MOST_FRONTS])
        ],
    )
    if (table := cross_talk_table(result)) is not None:
        yield Section(
            "How the parts of the goal interact",
            "How far the mean of each score moves towards better grades if one part is asked for at its best instead "
            "of its lowest level and the other parts stay the same. On the diagonal a part moves its own score; "
            "elsewhere it moves another's, which is the trade-off between them.",
            table,
            ["The rank correlation of asked and achieved is given for each way to hold the other parts."],
        )


def _heading(name: str, scale: Mapping[str, Any]) -> str:
    return f"{name} {'↓' if scale['lower_is_better'] else '↑'}"


def _digits(scale: Mapping[str, Any]) -> int:
    """Digits of a mean grade: three on a scale up to 1, fewer on a longer one."""
    return 3 if scale["high"] - scale["low"] <= 1 else 2 if scale["high"] - scale["low"] <= 10 else 1


def _share_headings(several: Mapping[str, Any]) -> list[str]:
    if not any(arm["shares"] for arm in several["arms"]):
        return []
    return [*(f"reach {name}" for name in several["scores"]), "reach all"]


def _shares(several: Mapping[str, Any], arm: Mapping[str, Any]) -> list[str]:
    if not _share_headings(several):
        return []
    shares = [arm["shares"].get(name) for name in several["scores"]]
    return [NOT_ASKED if share is None else with_interval(share) for share in [*shares, arm["all"]]]


def _moved(effect: Mapping[str, Any] | None, scale: Mapping[str, Any]) -> Cell:
    if effect is None:
        return Cell("")
    return Cell(with_interval(effect, _digits(scale), sign=True), verdict=verdict(effect, "higher"))


def _ranks(ranks: Sequence[float | None]) -> str:
    return ", ".join(number(rank, 2) for rank in ranks)
