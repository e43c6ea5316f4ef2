"""Several scores of a program: the share of tests that it passes, and of known correct solutions that it outruns.

{"tests": 1.0, "speed": 0.7} for a program that passes all tests; one that fails any has no speed, {"tests": 0.5}.
"""

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.parts import Part, check_names, known_name
from gcsl_cli.goals.scale import Scale
from gcsl_cli.tasks.code.grading import Grades
from gcsl_cli.tasks.code.speed import SpeedConfig
from gcsl_cli.tasks.named_scores import NamedScores

KEY = "task.scores"
PASSES = ("may fail all of its tests", "passes at least half of its tests", "passes all of its tests")
RUNS = {
    "threshold": "runs faster than at least a share of {level} of known correct solutions",
    "exact": "runs faster than a share of {level} of known correct solutions",
}


class ProgramScores(NamedScores):
    """A task whose rows have the scores that `scores` names; if empty, a single one."""

    levels: list[float]
    speed: SpeedConfig

    def score_names(self) -> list[str]:
        """The scores in `task.scores`: tests, speed, or both.

        Raises:
            ConfigError: there is no such score, or programs are not timed.
        """
        if self.scores:
            check_names(KEY, self.scores)
        if "speed" in self.scores and self.speed.inputs is None:
            raise ConfigError(
                f"{KEY}: speed needs inputs of growing size to time programs on. Give task.speed.inputs=FILE."
            )
        return [known_name(KEY, name, ["tests", "speed"]) for name in self.scores]

    def parts(self, feedback: FeedbackRows) -> dict[str, Part]:  # noqa: ARG002
        """The share of tests passed with the levels up to 1, and the share of solutions outrun."""
        known = {
            "tests": Part(
                Scale("share of tests passed", 0.0, 1.0, closed=True),
                levels=[level for level in self.levels if level <= 1],
                sentences=PASSES,
            ),
            "speed": Part(Scale("share of solutions outrun", 0.0, 1.0, closed=True), templates=RUNS),
        }
        return {name: known[name] for name in self.score_names()}

    def goal_frame(self) -> str:
        """A comment."""
        return "# This program {parts}."

    def graded_scores(self) -> list[str]:
        """All that rows have."""
        return self.score_names()

    def scores_of(self, grades: Grades) -> dict[str, Floats]:
        """The scores of graded programs by name, `(programs,)` each; NaN for the speed of those that fail a test."""
        known = {"tests": grades.shares, "speed": grades.faster}
        return {name: known[name] for name in self.score_names()}
