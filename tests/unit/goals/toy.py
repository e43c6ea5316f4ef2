"""A small goal spec with three levels and three sentences, for tests to vary."""

from typing import Any

from gcsl_cli.goals.scale import Scale
from gcsl_cli.goals.spec import GoalSpec

TOY = {
    "task": "toy",
    "formulation": "threshold",
    "wording": "language",
    "level_rule": "fixed",
    "per": "dataset",
    "levels": (0.0, 0.5, 0.9),
    "texts": ("Bad text.", "Fair text.", "Good text."),
    "template": "",
    "words": (),
    "weights": (),
    "placement": "before_prompt",
    "separator": "\n",
    "pairing": "sample",
    "balance": "levels",
    "dropout": 0.0,
    "target": "best",
    "scale": Scale("goodness", 0.0, 1.0),
    "prompt_format": "plain",
    "instruction": "Go on: {prompt}",
    "training_range": (0.0, 1.0),
}
RAW: dict[str, Any] = {
    "wording": "number",
    "level_rule": "raw",
    "levels": (),
    "texts": (),
    "template": "<rm_score>: {level:.2f}",
}


def toy_spec(**changes: Any) -> GoalSpec:
    """Return the toy spec with some fields changed."""
    fields: dict[str, Any] = TOY | changes
    return GoalSpec(**fields)
