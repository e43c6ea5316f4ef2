"""The fronts of several methods over several scores: what one training makes available, and the volume under it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.metrics.front import hypervolume_draws, on_front
from gcsl_cli.metrics.seeds import OverSeeds, estimated
from gcsl_cli.reports.comparison.rows import Row
from gcsl_cli.reports.comparison.runs import Evaluation

COLUMN = "score_"
"""Beginning of the names of the columns of single scores."""
Scales = Mapping[str, Mapping[str, Any]]
Arms = Sequence[Sequence[PerPrompt]]


def fronts(rows: Sequence[Row], baseline: Row | None, *, resamples: int, seed: int) -> list[dict[str, Any]]:
    """The front of each training that was evaluated in the same several scores; of one training, its first row.

    Returns:
        Label, names of the scores, points (their means over seeds by arm, and whether they are on the front), the
        hypervolume, and its difference to that of the baseline, paired by seed and prompt.
    """
    chosen: dict[str, Row] = {}
    for row in rows:
        if row.trained and all(_scales(evaluation) for evaluation in row.evaluations):
            chosen.setdefault(repr(row.keys), row)
    known = list(chosen.values())
    same = [row for row in known if _scales(row.evaluations[0]) == _scales(known[0].evaluations[0])]
    base = next((row for row in same if baseline is not None and repr(row.keys) == repr(baseline.keys)), None)
    return [_front(row, base, resamples=resamples, seed=seed) for row in same]


def _front(row: Row, base: Row | None, *, resamples: int, seed: int) -> dict[str, Any]:
    scales = _scales(row.evaluations[0])
    arms = _arms(row.evaluations[0])
    means = np.array([[_mean(evaluation, arm, scales) for arm in arms] for evaluation in row.evaluations]).mean(axis=0)
    front = on_front(np.array([_better(point, scales) for point in means]))
    labels = {arm["name"]: arm["label"] for arm in row.evaluations[0].result["arms"]}
    volume = _volume(row, resamples=resamples, seed=seed)
    return {
        "label": row.label,
        "scores": {name: dict(scale) for name, scale in scales.items()},
        "points": [
            {"label": labels[arm], "means": dict(zip(scales, point.tolist(), strict=True)), "front": bool(here)}
            for arm, point, here in zip(arms, means, front, strict=True)
        ],
        "hypervolume": volume.as_dict(),
        "difference": None if base is None or base is row else _difference(row, base, resamples=resamples, seed=seed),
    }


def _volume(row: Row, *, resamples: int, seed: int) -> OverSeeds:
    values, draws, metrics = _draws(row.evaluations, resamples=resamples, seed=seed)
    return estimated(draws, values, metrics, resamples, seed)


def _difference(row: Row, base: Row, *, resamples: int, seed: int) -> dict[str, Any] | None:
    common = [number for number in row.seeds if number in base.seeds]
    if not common or row.evaluations[0].pairing != base.evaluations[0].pairing:
        return None
    of_both = [[part.evaluations[part.seeds.index(number)] for number in common] for part in (row, base)]
    (values, draws, metrics), (others, other_draws, _) = (
        _draws(evaluations, resamples=resamples, seed=seed) for evaluations in of_both
    )
    difference = estimated(draws - other_draws, values - others, metrics, resamples, seed)
    return {**difference.as_dict(), "same_sign": len(set(np.sign(difference.per_seed))) == 1}


def _draws(
    evaluations: Sequence[Evaluation], *, resamples: int, seed: int
) -> tuple[Floats, Floats, Sequence[PerPrompt]]:
    """The hypervolume of each seed `(seeds,)`, its draws `(resamples, seeds)`, and all metrics."""
    of_seeds = [_from_0_to_1(evaluation) for evaluation in evaluations]
    found = [hypervolume_draws(arms, resamples=resamples, seed=seed) for arms in of_seeds]
    values = np.array([value for value, _ in found])
    metrics = [metric for arms in of_seeds for scores in arms for metric in scores]
    return values, np.stack([draws for _, draws in found], axis=1), metrics


def _from_0_to_1(evaluation: Evaluation) -> Arms:
    """The scores of each arm on scales from 0, the worst grade, to 1, the best one."""
    values, scales = evaluation.values(), _scales(evaluation)
    return [
        [_scaled(values[arm][f"{COLUMN}{name}"], scale) for name, scale in scales.items()] for arm in _arms(evaluation)
    ]


def _scaled(metric: PerPrompt, scale: Mapping[str, Any]) -> PerPrompt:
    worst, best = (scale["high"], scale["low"]) if scale["lower_is_better"] else (scale["low"], scale["high"])
    return PerPrompt((metric.numerator - worst * metric.denominator) / (best - worst), metric.denominator)


def _scales(evaluation: Evaluation) -> Scales:
    several: Mapping[str, Any] = evaluation.result.get("several") or {}
    scales: Scales = several.get("scores") or {}
    columns = {column["name"] for column in evaluation.result["columns"]}
    measured = several.get("hypervolume") and columns.issuperset(f"{COLUMN}{name}" for name in scales)
    return scales if measured else {}


def _arms(evaluation: Evaluation) -> list[str]:
    return [arm["name"] for arm in evaluation.result["several"]["arms"] if arm["trained"]]


def _mean(evaluation: Evaluation, arm: str, scales: Scales) -> list[float]:
    means = next(found["means"] for found in evaluation.result["several"]["arms"] if found["name"] == arm)
    return [np.nan if means[name]["value"] is None else means[name]["value"] for name in scales]


def _better(point: Floats, scales: Scales) -> list[float]:
    """The means with their sign turned where lower is better."""
    signs = [-1.0 if scale["lower_is_better"] else 1.0 for scale in scales.values()]
    return [sign * value for sign, value in zip(signs, point.tolist(), strict=True)]
