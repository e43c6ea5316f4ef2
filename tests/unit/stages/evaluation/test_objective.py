"""The number that a sweep minimizes."""

from typing import Any

import pytest

from gcsl_cli.stages.evaluation.objective import evaluation_objective

ACCURACY = {"name": "accuracy", "better": "higher"}
TOXICITY = {"name": "toxicity", "better": "lower"}
PERPLEXITY = {"name": "perplexity", "better": "lower"}
SEPARATES = {"trained": {"pooled": {"value": 0.75}}}


def result(*columns: dict[str, str], discrimination: Any = None, **values: float | None) -> dict[str, Any]:
    """`metrics.json` with a base model, whose values are all 9, and the configured arm `best`."""
    arms = [
        {"name": "base", "metrics": {name: {"value": 9.0} for name in values}},
        {"name": "best", "metrics": {name: {"value": value} for name, value in values.items()}},
    ]
    return {"columns": list(columns), "arms": arms, "discrimination": discrimination}


@pytest.mark.parametrize(
    ("found", "objective"),
    [
        (result(TOXICITY, PERPLEXITY, toxicity=0.25, perplexity=3.0), 0.25),
        (result(ACCURACY, PERPLEXITY, accuracy=0.25, perplexity=3.0), -0.25),
        (result(PERPLEXITY, perplexity=3.0, discrimination=SEPARATES), -0.75),
        (result(TOXICITY, toxicity=float("nan"), discrimination=SEPARATES), None),
        (result(TOXICITY, toxicity=None), None),
        (result(PERPLEXITY, perplexity=3.0), None),
    ],
)
def test_the_main_metric_with_lower_as_better(found: dict[str, Any], objective: float | None) -> None:
    """Perplexity is no task's main metric: then it is the AUC, or nothing."""
    assert evaluation_objective(found, "best") == objective


def test_without_completions_it_is_the_discrimination() -> None:
    found = {"columns": [], "arms": [], "discrimination": SEPARATES}
    assert evaluation_objective(found, None) == -0.75
