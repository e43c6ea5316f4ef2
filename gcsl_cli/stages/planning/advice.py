"""Advice for the dry run: which levels the scores of the training rows can teach."""

from collections.abc import Iterator, Sequence

import numpy as np

from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.goals.levels import Levels
from gcsl_cli.goals.scale import short_numbers
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.training.plan import Plan

BARS = "▁▂▃▄▅▆▇█"
BINS = 20
RARE = 0.02
COMMON = 0.9
REPEATS = 20


def histogram(grades: Sequence[float]) -> str:
    """Grades as a row of bars between the smallest and the largest, or as counts if there are few distinct values."""
    values = np.asarray(grades, dtype=np.float64)
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= 8:
        return ", ".join(
            f"{name}: {count}" for name, count in zip(short_numbers(distinct.tolist()), counts, strict=True)
        )
    counts, edges = np.histogram(values, bins=BINS)
    heights = np.ceil(counts / counts.max() * len(BARS)).astype(int)
    bars = "".join(BARS[height - 1] if height else " " for height in heights)
    low, high = short_numbers([float(edges[0]), float(edges[-1])])
    return f"{low} |{bars}| {high}, {len(distinct)} distinct"


def advice(train: FeedbackRows, spec: GoalSpec, levels: Levels, plan: Plan) -> Iterator[str]:
    """Yield suggestions that would make the goal easier to learn, most important first."""
    highest = levels.reached_by(train)
    rows = len(train)
    if spec.level_rule == "quantile" and spec.per == "dataset" and len(set(train.scores.tolist())) < 5:
        yield "There are few distinct scores: goal.levels.by=distinct names each of them."
    if spec.per == "prompt":
        alone = int((np.bincount(train.prompts)[train.prompts] == 1).sum())
        if alone:
            yield (
                f"{alone} of {rows} rows have a prompt to themselves and therefore reach only the lowest level. "
                "goal.levels.per=dataset compares them with all rows."
            )
    for index, label in enumerate(map(spec.display, spec.levels)):
        reach = int((highest >= index).sum())
        if index and levels.values[index] > train.scores.max():
            yield f"Level {label} is above every training score: it can be requested but was never taught."
        elif index and not reach:
            yield f"No row reaches level {label}; leave it out."
        elif index and reach < RARE * rows:
            yield f"Level {label} is reached by {reach} of {rows} rows, too few to learn it from. Try a lower one."
        elif index and reach > COMMON * rows:
            yield f"Level {label} is reached by {reach} of {rows} rows, so it hardly differs from the lowest."
    if spec.levels and not spec.weights_of(np.array([spec.goal()])).any():
        yield (
            f"The goal {spec.display(spec.goal())}, which generation asks for, has a loss weight of 0 and is never "
            "learned: change goal.weights or goal.target."
        )
    repeats = np.bincount(plan.row).max() if len(plan.row) else 0
    if spec.balance == "levels" and repeats > REPEATS:
        yield (
            f"Balancing the levels repeats some rows {repeats} times, and the model will memorise them. "
            "goal.balance=none does not balance."
        )
