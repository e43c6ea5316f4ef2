"""Scores and metrics, derived by hand from verdicts and speed percentiles."""

import numpy as np
import pytest

from gcsl_cli.tasks.code.grades import Grades
from gcsl_cli.tasks.code.sandbox.grader import Verdict


def verdict(passed: int, error: str = "", *, tests: int = 4, together: bool = False) -> Verdict:
    return Verdict(passed, tests, error, "", 0, 0.1, 0.1, together)


VERDICTS = [
    *(verdict(4), verdict(3, "wrong answer"), verdict(4, together=True)),
    *(verdict(0, "syntax"), verdict(0, "no tests", tests=0), verdict(2, "KeyError")),
]


def test_without_times_the_score_is_the_share_of_tests() -> None:
    grades = Grades.of(VERDICTS)

    assert grades.scores.tolist() == [1, 0.75, 1, 0, 0, 0.5]
    assert grades.solved.tolist() == [True, False, True, False, False, False]
    assert grades.together.tolist() == [False, False, True, False, False, False]
    assert grades.errors.tolist() == ["none", "wrong", "none", "syntax", "raised", "raised"]


def test_speed_is_added_once_all_tests_pass() -> None:
    """The third passes too, but its problem is not timed: nothing is added."""
    grades = Grades.of(VERDICTS, np.array([0.8] + [np.nan] * 5))

    assert grades.scores.tolist() == [1.8, 0.75, 1, 0, 0, 0.5]


def test_metrics_are_by_problem() -> None:
    """Two problems, three programs each: pass@1 is 2/3 and 0; the second problem has no speed."""
    found = Grades.of(VERDICTS, np.array([0.8, np.nan, 0.5, np.nan, np.nan, np.nan])).metrics(2)

    assert found["pass_1"].numerator == pytest.approx([2 / 3, 0])
    assert np.isnan(found["pass_5"].numerator).all()
    assert found["tests_passed"].numerator == pytest.approx([2.75 / 3, 0.5 / 3])
    assert found["faster"].numerator == pytest.approx([0.65, np.nan], nan_ok=True)
    assert found["faster"].defined().tolist() == [True, False]
    assert found["error_wrong"].numerator == pytest.approx([1 / 3, 0])
    assert found["error_raised"].numerator == pytest.approx([0, 2 / 3])
    assert found["error_syntax"].numerator == pytest.approx([0, 1 / 3])
    assert found["error_timeout"].numerator.tolist() == [0, 0]
