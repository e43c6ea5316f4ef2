"""Which rows plain fine-tuning selects, on rows counted by hand."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.configs import load, validate
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.methods.sft import SFT, Selection, good_in_all, select_rows
from gcsl_cli.stages.experiment import Experiment

SCORES = np.array([0.1, 0.9, 0.5, 0.9])
PROMPTS = np.array([0, 0, 1, 1])


def taken(select: str, scores: list[float] | None = None, **changes: float) -> list[int]:
    found = SCORES if scores is None else np.array(scores)
    settings: dict[str, Any] = {"top_fraction": 0.5, "min_score": None, **changes}
    return select_rows(found, PROMPTS[: len(found)], select=Selection(select), **settings).tolist()


def test_the_rows_of_the_docstring() -> None:
    assert taken("all") == [0, 1, 2, 3]
    assert taken("top_fraction") == [1, 3]
    assert taken("best_per_prompt") == [1, 3]


@pytest.mark.parametrize(("share", "rows"), [(0.01, [1, 3]), (0.25, [1, 3]), (0.75, [1, 2, 3]), (1.0, [0, 1, 2, 3])])
def test_the_best_share_with_the_ties_of_its_last_row(share: float, rows: list[int]) -> None:
    """A quarter of four is one row; the other row with its score comes along."""
    assert taken("top_fraction", top_fraction=share) == rows


def test_from_a_score_on() -> None:
    assert taken("min_score", min_score=0.5) == [1, 2, 3]
    assert taken("min_score", min_score=-1.0) == [0, 1, 2, 3]


def test_rows_that_are_good_in_all_scores() -> None:
    """The better half in the first score are rows 1 to 3, because two tie; in the second, of three known, 0 and 1."""
    scores = [np.array([1.0, 3.0, 2.0, 2.0]), np.array([5.0, 5.0, 4.0, np.nan])]

    assert good_in_all(scores, 0.5).tolist() == [1]
    assert good_in_all(scores, 1.0).tolist() == [0, 1, 2]


def test_no_row_may_be_good_in_all_scores() -> None:
    with pytest.raises(DataError, match=r"no row is among the best 0\.5 in every score"):
        good_in_all([np.array([1.0, 2.0]), np.array([2.0, 1.0])], 0.5)
    with pytest.raises(ConfigError, match="rows have one score"):
        good_in_all([], 0.5)


def test_of_equal_ones_the_first_is_a_prompts_best() -> None:
    assert taken("best_per_prompt", [0.5, 0.5, 0.1, 0.1]) == [0, 2]


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 4)), min_size=1, max_size=40),
)
def test_one_row_a_prompt_and_none_of_it_is_better(rows: list[tuple[float, int]]) -> None:
    scores, prompts = np.array([s for s, _ in rows]), np.array([p for _, p in rows])
    found = select_rows(scores, prompts, select=Selection.best_per_prompt, top_fraction=1.0, min_score=None)

    assert sorted(prompts[found].tolist()) == sorted(set(prompts.tolist()))
    assert all(scores[row] == scores[prompts == prompts[row]].max() for row in found)


def test_no_row_left_is_refused() -> None:
    with pytest.raises(DataError, match=r"No row has a score of 2 or more; the best is 0\.9"):
        taken("min_score", min_score=2.0)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"method\.select=some: expected one of: all, top_fraction"):
        load(["method=sft", "method.select=some"])


@pytest.mark.parametrize(
    ("lines", "label"),
    [
        (["method.select=top_fraction", "method.top_fraction=0.2"], "sft top_fraction 0.2"),
        (["method.select=min_score", "method.min_score=0"], "sft min_score 0"),
        ([], "sft all"),
    ],
)
def test_runs_are_named_by_the_selection(lines: list[str], label: str) -> None:
    config = load(["goal=none", *lines])

    assert config.method.label(config.goal.formulation, config.goal.wording) == label


def test_a_selection_set_from_python_is_checked() -> None:
    config = load(["method=sft"])
    config.method.select = "best"

    with pytest.raises(ConfigError, match=r"method\.select=best: expected one of: all, top_fraction"):
        validate(config)


@dataclass
class Derived(SFT):
    """A method of a user's own with one more setting."""

    extra: int = 0


def test_the_settings_and_the_class_of_a_derived_method_name_another_run(tiny_model: Path) -> None:
    def run(method: SFT) -> str:
        config = load(["method=sft", "model=local", f"model.uri={tiny_model}"])
        config.method = method
        return Experiment(config).training.identity

    assert len({run(SFT()), run(Derived()), run(Derived(extra=1))}) == 3
