"""The number that a sweep optimizes: lower is better for every task, as Hydra's sweepers assume by default."""

import math
from collections.abc import Mapping
from typing import Any

from gcsl_cli.stages.evaluation.answers import TEXT_COLUMNS


def evaluation_objective(result: Mapping[str, Any], asked: str | None) -> float | None:
    """Return the main metric of an evaluation, negated if higher is better; `None` if it is undefined.

    It is the first column of the results table; where the task grades no completions, the goal discrimination AUC.

    Args:
        result: the content of `metrics.json`.
        asked: name of the configured arm; `None` if nothing was sampled.
    """
    of_text = {column.name for column in TEXT_COLUMNS}
    main = next((column for column in result["columns"] if column["name"] not in of_text and column["better"]), None)
    none: dict[str, Any] = {}
    metrics = next((arm["metrics"] for arm in result["arms"] if arm["name"] == asked), none)
    if main is not None and main["name"] in metrics:
        return _signed(metrics[main["name"]]["value"], main["better"])
    if result["discrimination"]:
        return _signed(result["discrimination"]["trained"]["pooled"]["value"], "higher")
    return None


def _signed(value: float | None, better: str) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(value) if better == "lower" else -float(value)
