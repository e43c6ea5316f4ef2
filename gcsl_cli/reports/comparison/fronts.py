"""The fronts of several methods over several scores: what one training makes available, and the volume under it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.metrics.front import hypervolume_draws, on_front
from gcsl_cli.metrics.seeds import estimated
from gcsl_cli.reports.comparison.rows import Row
from gcsl_cli.reports.comparison.runs import Evaluation

COLUMN = "score_"
"""Beginning of the names of the columns of single scores."""
Scales = Mapping[str, Mapping[str, Any]]
Arms = Sequence[Sequence[PerPrompt]]


def fronts(rows: Sequence[Row], baseline: Row | None, *, resamples: int, seed: int) -> list[dict[str, Any]]:
    """The front of each training that was evaluated in the same several scores; of one training, its first row.

    Trainings that differ only in the weights of the scores in their mean also have a front together: it is what one
    model for each weight makes available.

    Returns:
        Label, names of the scores, points (their means over seeds by arm, and whether they are on the front), the
        hypervolume, and its difference to that of the baseline, paired by seed and prompt.
    """
    chosen: dict[str, Row] = {}
    for row in rows:
        if row.trained and all(_scales(evaluation) for evaluation in row.evaluations):
            chosen.setdefault(_training(row), row)
    known = list(chosen.values())
    same = [row for row in known if _scales(row.evaluations[0]) == _scales(known[0].evaluations[0])]
    base = next((row for row in same if baseline is not None and _training(row) == _training(baseline)), None)
    found = [_front([row], row.label, base, resamples=resamples, seed=seed) for row in same]
    for together in _of_weights(same):
        label = f"{together[0].label.partition(' (')[0]}, {len(together)} weights together"
        found.append(_front(together, label, base, resamples=resamples, seed=seed))
    return found


def _training(row: Row) -> str:
    return repr((row.keys, row.compared_by.get("feedback")))


def _of_weights(rows: Sequence[Row]) -> list[list[Row]]:
    """The trainings that differ only in the weights of the scores, two or more in each list."""
    by_keys: dict[str, dict[str, Row]] = {}
    for row in rows:
        weights = repr(row.evaluations[0].result["several"].get("weights"))
        by_keys.setdefault(repr(row.keys), {}).setdefault(weights, row)
    return [list(found.values()) for found in by_keys.values() if len(found) > 1]


def _of_seed(rows: Sequence[Row], number: int) -> list[Evaluation]:
    return [row.evaluations[row.seeds.index(number)] for row in rows]


def _front(rows: Sequence[Row], label: str, base: Row | None, *, resamples: int, seed: int) -> dict[str, Any]:
    """The front of one training, or of several together, over the seeds that they have in common."""
    scales = _scales(rows[0].evaluations[0])
    seeds = [number for number in rows[0].seeds if all(number in row.seeds for row in rows)]
    of_seeds = [_of_seed(rows, number) for number in seeds]
    means = np.array([[_mean(*point, scales) for point in _points(evaluations)] for evaluations in of_seeds]).mean(
        axis=0
    )
    front = on_front(np.array([_better(point, scales) for point in means]))
    labels = [
        next(found["label"] for found in evaluation.result["arms"] if found["name"] == arm)
        for evaluation, arm in _points(of_seeds[0])
    ]
    values, draws, metrics = _draws(of_seeds, resamples=resamples, seed=seed)
    compared = base is not None and (len(rows) > 1 or rows[0] is not base)
    return {
        "label": label,
        "scores": {name: dict(scale) for name, scale in scales.items()},
        "points": [
            {"label": name, "means": dict(zip(scales, point.tolist(), strict=True)), "front": bool(here)}
            for name, point, here in zip(labels, means, front, strict=True)
        ],
        "hypervolume": estimated(draws, values, metrics, resamples, seed).as_dict(),
        "difference": _difference(rows, seeds, base, resamples=resamples, seed=seed) if base and compared else None,
    }


def _difference(
    rows: Sequence[Row], seeds: Sequence[int], base: Row, *, resamples: int, seed: int
) -> dict[str, Any] | None:
    common = [number for number in seeds if number in base.seeds]
    if not common or any(row.evaluations[0].pairing != base.evaluations[0].pairing for row in rows):
        return None
    (values, draws, metrics), (others, other_draws, _) = (
        _draws([_of_seed(part, number) for number in common], resamples=resamples, seed=seed) for part in (rows, [base])
    )
    difference = estimated(draws - other_draws, values - others, metrics, resamples, seed)
    return {**difference.as_dict(), "same_sign": len(set(np.sign(difference.per_seed))) == 1}


def _draws(
    of_seeds: Sequence[Sequence[Evaluation]], *, resamples: int, seed: int
) -> tuple[Floats, Floats, Sequence[PerPrompt]]:
    """The hypervolume of each seed `(seeds,)`, its draws `(resamples, seeds)`, and all metrics."""
    arms_of_seeds = [[arm for evaluation in of_seed for arm in _from_0_to_1(evaluation)] for of_seed in of_seeds]
    found = [hypervolume_draws(arms, resamples=resamples, seed=seed) for arms in arms_of_seeds]
    values = np.array([value for value, _ in found])
    metrics = [metric for arms in arms_of_seeds for scores in arms for metric in scores]
    return values, np.stack([draws for _, draws in found], axis=1), metrics


def _points(evaluations: Sequence[Evaluation]) -> list[tuple[Evaluation, str]]:
    """All arms of the trained models."""
    return [(evaluation, arm) for evaluation in evaluations for arm in _arms(evaluation)]


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
