"""A small goal spec to vary: three levels, three sentences."""

from typing import Any

from gcsl_cli.goals.spec import GoalSpec

TOY = {
    "task": "toy",
    "formulation": "threshold",
    "wording": "language",
    "levels": (0.0, 0.5, 0.9),
    "sentences": ("Bad text.", "Fair text.", "Good text."),
    "placement": "before_prompt",
    "separator": "\n",
    "pairing": "sample",
    "balance": "levels",
    "target": "best",
    "direction": "1 - badness",
    "prompt_format": "plain",
    "instruction": "Go on: {prompt}",
    "training_range": (0.0, 1.0),
}


def toy_spec(**changes: Any) -> GoalSpec:
    """The toy spec with some fields changed."""
    fields: dict[str, Any] = TOY | changes
    return GoalSpec(**fields)
