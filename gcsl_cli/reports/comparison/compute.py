"""The numbers of a comparison: what reports show and `--json` prints."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gcsl_cli.metrics.attainment import spearman
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.metrics.seeds import difference_over_seeds, over_seeds
from gcsl_cli.reports.comparison.fronts import fronts
from gcsl_cli.reports.comparison.rows import Row

LETTERS = "abcdefghijklmnopqrstuvwxyz"
COSTS = ("training_tokens", "supervised_tokens", "training_seconds", "rollout_tokens")
OF_ALL_ROUNDS = "{name}_of_all_rounds"
"""Fact of a run in rounds that adds up the cost of the rounds so far."""


def compare(rows: Sequence[Row], baseline: Row | None, *, resamples: int, seed: int) -> dict[str, Any]:
    """Compute every row's measures over its seeds and their paired differences to the baseline.

    A row with other prompts, samples or scorers than the baseline has no difference. Other reasons why the two are not
    comparable are marked with letters, each of which is explained once.
    """
    columns = list({column["name"]: column for row in rows for column in row.evaluations[0].result["columns"]}.values())
    marks: dict[str, str] = {}
    return {
        "format_version": 1,
        "task": rows[0].evaluations[0].result["task"],
        "baseline": None if baseline is None else baseline.label,
        "columns": columns,
        "rows": [
            {
                "label": row.label,
                "trained": row.trained,
                "baseline": row is baseline,
                "seeds": row.seeds,
                "runs": [str(run.path) for run in row.runs] if row.trained else [],
                "commits": sorted({str(evaluation.result["commit"]) for evaluation in row.evaluations}),
                "budget": row.compared_by.get("budget"),
                "marks": _marks(row, baseline, marks),
                "metrics": _metrics(row, columns, resamples, seed),
                "difference": _differences(row, baseline, columns, resamples, seed),
                "discrimination": _scalar(_auc(row) if row.trained else []),
                "attainment": _attainment(row),
                "costs": {name: _scalar(_facts(row, name)) for name in COSTS} if row.trained else {},
            }
            for row in rows
        ],
        **({"fronts": found} if (found := fronts(rows, baseline, resamples=resamples, seed=seed)) else {}),
        "marks": {letter: reason for reason, letter in marks.items()},
        "resamples": resamples,
    }


def _marks(row: Row, baseline: Row | None, marks: dict[str, str]) -> list[str]:
    """Letters of the reasons why a row is not comparable; new reasons are added to `marks` (reason to letter)."""
    if baseline is None or row is baseline:
        return []
    reasons = [f"{reason} than {baseline.label}" for reason in row.reasons_against(baseline)]
    if row.trained and baseline.trained and set(row.seeds) != set(baseline.seeds):
        reasons.append(f"different seeds than {baseline.label}: differences are over the seeds that both have")
    return [marks.setdefault(reason, LETTERS[len(marks) % len(LETTERS)]) for reason in reasons]


def _metrics(row: Row, columns: Sequence[Mapping[str, Any]], resamples: int, seed: int) -> dict[str, Any]:
    return {
        name: over_seeds([values[name] for values in row.values], resamples=resamples, seed=seed).as_dict()
        for name in (column["name"] for column in columns)
        if all(name in values for values in row.values)
    }


def _differences(
    row: Row, baseline: Row | None, columns: Sequence[Mapping[str, Any]], resamples: int, seed: int
) -> dict[str, Any] | None:
    """Paired differences by measure; None for the baseline and for rows with other prompts or samples."""
    if baseline is None or row is baseline or row.evaluations[0].pairing != baseline.evaluations[0].pairing:
        return None
    pairs = _paired(row, baseline)
    if pairs is None:
        return None
    found: dict[str, Any] = {}
    for name in (column["name"] for column in columns):
        first, second = ([values[name] for values in part if name in values] for part in pairs)
        if len(first) == len(pairs[0]) and len(second) == len(pairs[1]):
            difference = difference_over_seeds(first, second, resamples=resamples, seed=seed)
            signs = {math.copysign(1, value) for value in difference.per_seed}
            found[name] = {**difference.as_dict(), "same_sign": len(signs) == 1}
    return found


Values = Sequence[Mapping[str, PerPrompt]]


def _paired(row: Row, baseline: Row) -> tuple[Values, Values] | None:
    """Values of both for the seeds that both have; the base model has no seed and is paired with every one."""
    if not row.trained or not baseline.trained:
        first, second = row.values, baseline.values
        return (first, second) if len(second) in (1, len(first)) else None
    common = [seed for seed in row.seeds if seed in baseline.seeds]
    if not common:
        return None
    first, second = ([part.values[part.seeds.index(seed)] for seed in common] for part in (row, baseline))
    return first, second


def _scalar(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Mean and range over seeds of a number that has no interval; None if no run has it."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"value": float(np.mean(known)), "low": min(known), "high": max(known), "per_seed": list(values)}


def _auc(row: Row) -> list[float | None]:
    return [None if part is None else part["trained"]["pooled"]["value"] for part in _of_runs(row, "discrimination")]


def _of_runs(row: Row, name: str) -> list[Mapping[str, Any] | None]:
    """A part of the result that belongs to a whole run and not to an arm, for each run of a row.

    It comes from the evaluation with the most levels among those with the row's protocol, then from the newest.
    """
    chosen = []
    for run, evaluation in zip(row.runs, row.evaluations, strict=True):
        parts = [other.result.get(name) for other in run.evaluations if other.protocol == evaluation.protocol]
        chosen.append(max(filter(None, parts), key=lambda part: len(part.get("levels", ())), default=None))
    return chosen


def _facts(row: Row, name: str) -> list[float | None]:
    facts = [evaluation.result["facts"] for evaluation in row.evaluations]
    return [found.get(OF_ALL_ROUNDS.format(name=name), found.get(name)) for found in facts]


def _attainment(row: Row) -> dict[str, Any] | None:
    """Mean score over seeds at each level asked for, and Spearman's correlation of asked and achieved over levels.

    None if fewer than two levels were asked for, or if seeds differ in them.
    """
    found = _of_runs(row, "attainment") if row.trained else []
    parts = [part for part in found if part is not None and len(part["levels"]) > 1]
    asked = [tuple(level["level"] for level in part["levels"]) for part in parts]
    if len(set(asked)) != 1:
        return None
    table = np.array([[level["mean"]["value"] for level in part["levels"]] for part in parts], dtype=np.float64)
    correlation = spearman(asked[0], table.mean(axis=0))
    return {
        "levels": [
            {"level": level["level"], "label": level["label"], "mean": float(mean), "per_seed": column.tolist()}
            for level, mean, column in zip(parts[0]["levels"], table.mean(axis=0), table.T, strict=True)
        ],
        "spearman_levels": None if math.isnan(correlation) else correlation,
        "per_seed": [part["spearman_levels"] for part in parts],
    }
