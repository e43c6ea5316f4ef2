"""What verdicts and times of programs come to.

The score of a program is the share of its problem's tests that pass while some fail. Once all pass, it is 1, and where
programs are timed 1 + the share of known correct solutions that it is faster than.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.metrics.bootstrap import PerPrompt, mean_over_prompts
from gcsl_cli.metrics.pass_at_k import pass_at_k
from gcsl_cli.tasks.code.sandbox.grader import Verdict

TRIES = (1, 5, 10)
ERRORS = {"wrong answer": "wrong", "syntax": "syntax", "timeout": "timeout", "": "none"}
"""What is counted apart; every other error is one that the program raised, or another limit."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Grades:
    """Programs by what they are worth; all arrays are `(programs,)`."""

    shares: Floats
    """Of tests passed."""
    solved: NDArray[np.bool_]
    errors: NDArray[np.str_]
    """Kinds of the first error."""
    together: NDArray[np.bool_]
    """Which were graded in one process with their tests."""
    faster: Floats
    """Than this share of known correct solutions; NaN where a test fails or nothing was timed."""

    @staticmethod
    def of(verdicts: Sequence[Verdict], faster: Floats | None = None) -> "Grades":
        """From verdicts, and from speed percentiles where there are some."""
        return Grades(
            np.array([verdict.passed / max(verdict.tests, 1) for verdict in verdicts], dtype=np.float64),
            np.array([verdict.solved for verdict in verdicts], dtype=np.bool_),
            np.array([ERRORS.get(verdict.error, "raised") for verdict in verdicts], dtype=np.str_),
            np.array([verdict.together for verdict in verdicts], dtype=np.bool_),
            np.full(len(verdicts), np.nan) if faster is None else faster,
        )

    @property
    def scores(self) -> Floats:
        """From 0 to 1, or to 2 where programs are timed; where a problem cannot be, nothing is added."""
        return self.shares + np.nan_to_num(self.faster)

    def metrics(self, problems: int) -> dict[str, PerPrompt]:
        """pass@k, tests passed, kinds of errors and speed, of as many programs for each of the problems in turn."""
        shape = (problems, -1)
        found = {f"pass_{k}": pass_at_k(self.solved.reshape(shape), k) for k in TRIES}
        found["tests_passed"] = mean_over_prompts(self.shares.reshape(shape).mean(axis=1))
        found["faster"] = mean_over_prompts(_mean_of_known(self.faster.reshape(shape)))
        for error in ("wrong", "raised", "syntax", "timeout"):
            found[f"error_{error}"] = mean_over_prompts((self.errors == error).reshape(shape).mean(axis=1))
        return found


def _mean_of_known(values: Floats) -> Floats:
    """The mean of each row without its NaN; NaN where there is nothing else."""
    counts = (~np.isnan(values)).sum(axis=1)
    return np.where(counts > 0, np.nansum(values, axis=1) / np.maximum(counts, 1), np.nan)
