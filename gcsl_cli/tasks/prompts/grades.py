"""Whether the grades of sampled completions tell them apart."""

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.errors import DataError, listed
from gcsl_cli.scorers.base import Scorer


def check_grades(grades: Floats, sampled: int, scorer: Scorer) -> None:
    """Check the grades of those of `sampled` completions that are not blank, NaN for no grade.

    Raises:
        DataError: no completion has a grade, or all have the same.
    """
    graded = grades[np.isfinite(grades)]
    if not len(graded):
        reasons = listed(f"{count} x {reason}" for reason, count in scorer.ungraded.items())
        raise DataError(
            f"None of {sampled} completions has a grade: {sampled - len(grades)} are blank; {scorer.name} says of the "
            f"others: {reasons}."
        )
    if graded.min() == graded.max():
        raise DataError(
            f"All {len(graded)} grades of {scorer.name} are {graded[0]:g}: no completion is better than another, so "
            "there are no levels. Use a scorer or rubric that tells them apart, or sample others: more prompts, "
            "task.feedback.samples, task.feedback.temperature, task.feedback.max_new_tokens."
        )
