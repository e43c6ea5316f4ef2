"""Names of scores, and their weighted mean."""

import numpy as np
import pytest

from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.parts import Part, check_names, known_name, weighted_mean
from gcsl_cli.goals.scale import Scale

PARTS = {
    "helpfulness": Part(Scale("helpfulness", 0, 4)),
    "verbosity": Part(Scale("verbosity", 0, 4, lower_is_better=True), weight=3.0),
}


def test_the_weighted_mean_takes_all_scores_on_a_scale_from_0_to_1() -> None:
    """4 of 4 is 1; verbosity 3 of 4, less being better, is 0.25: (1 + 3 * 0.25) / 4 = 0.4375. A score that is not known
    does not count: 0.25. Nothing known is NaN.
    """
    scores = {"helpfulness": np.array([4.0, np.nan, np.nan]), "verbosity": np.array([-3.0, -3.0, np.nan])}

    np.testing.assert_array_equal(weighted_mean(scores, PARTS), [0.4375, 0.25, np.nan])


def test_a_score_that_is_always_the_same_counts_as_0() -> None:
    parts = {"a": Part(Scale("a", 2, 2)), "b": Part(Scale("b", 0, 1))}

    assert weighted_mean({"a": np.array([2.0]), "b": np.array([1.0])}, parts).tolist() == [0.5]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "scores: no score is named"),
        (["a", "b", "a"], "a is named twice. Each score needs a name and a column of its own"),
        ([f"s{number}" for number in range(9)], "9 scores; a goal has at most 8 parts, because each multiplies"),
        (["my score"], "'my score' cannot be asked for on a command line"),
        (["2nd"], "'2nd' cannot be asked for"),
    ],
)
def test_names_that_cannot_be_used(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_names("scores", names)


def test_an_unknown_name_is_answered_with_a_similar_one() -> None:
    assert known_name("target", "verbosity", [*PARTS]) == "verbosity"
    with pytest.raises(ConfigError, match=r"there is no score 'verbose'\..*Scores: helpfulness, verbosity\."):
        known_name("target", "verbose", [*PARTS])
