"""A small goal with two parts for tests to vary: helpfulness 1, 2, 3, and verbosity 4, 2, of which less is better."""

from dataclasses import fields
from typing import Any

from gcsl_cli.goals.joint import JointSpec
from gcsl_cli.goals.scale import Scale
from gcsl_cli.goals.spec import GoalSpec
from tests.unit.goals.toy import toy_spec

HELPFULNESS = toy_spec(
    levels=(1.0, 2.0, 3.0), texts=("helps", "helps more", "helps most"), scale=Scale("helpfulness", 1, 3)
)
VERBOSITY = toy_spec(levels=(-4.0, -2.0), texts=("is long", "is short"), scale=Scale("verbosity", 0, 4, True))


def joint_spec(**changes: Any) -> JointSpec:
    """Return the toy spec with some fields changed."""
    shared = {field.name: getattr(HELPFULNESS, field.name) for field in fields(GoalSpec)}
    own: dict[str, Any] = {
        "level_rule": "joint",
        "levels": (),
        "texts": HELPFULNESS.texts + VERBOSITY.texts,
        "scale": Scale("mean of the scores", 0, 1),
        "names": ("helpfulness", "verbosity"),
        "parts": (HELPFULNESS, VERBOSITY),
        "frame": "A text that {parts}.",
        "joins": (", ", " and "),
        "parts_dropout": 0.25,
        "combinations": ((2, 0), (0, 1), (1, -1)),
        "rows": (50, 30, 20),
    }
    return JointSpec(**shared | own | changes)
