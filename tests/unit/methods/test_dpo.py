"""Preference pairs: expected ones are written down by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.configs import load
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.methods.dpo import DPO, PairRule, preference_pairs

SCORES = np.array([0.1, 0.7, 0.9, 0.5, 0.7, 0.3, 0.2])
PROMPTS = np.array([0, 1, 0, 0, 1, 2, 0])
"""Prompt 0 has 0.1 (row 0), 0.9 (2), 0.5 (3), 0.2 (6); prompt 1 has 0.7 twice; prompt 2 has one row."""


def pairs(**changes: Any) -> list[tuple[int, int]]:
    settings: dict[str, Any] = {"pairs": "all", "margin": 0.0, "most": None, "seed": 0} | changes
    settings["pairs"] = PairRule(settings["pairs"])
    found = preference_pairs(SCORES, PROMPTS, **settings)
    return list(zip(found.chosen.tolist(), found.rejected.tolist(), strict=True))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pairs": "best_worst"}, {(2, 0)}),
        ({"pairs": "adjacent"}, {(2, 3), (3, 6), (6, 0)}),
        ({"pairs": "all"}, {(2, 0), (2, 3), (2, 6), (3, 0), (3, 6), (6, 0)}),
        ({"pairs": "all", "margin": 0.4}, {(2, 0), (2, 3), (2, 6), (3, 0)}),
        ({"pairs": "adjacent", "margin": 0.35}, {(2, 3)}),
        ({"pairs": "best_worst", "margin": 0.8}, {(2, 0)}),
    ],
)
def test_pairs_are_those_written_down(changes: dict[str, Any], expected: set[tuple[int, int]]) -> None:
    found = pairs(**changes)

    assert set(found) == expected
    assert len(found) == len(expected)


def test_a_margin_of_nothing_never_pairs_equal_grades() -> None:
    assert not {(1, 4), (4, 1)} & set(pairs(margin=0.0))


def test_of_many_pairs_of_a_prompt_a_few_are_drawn_from_the_seed() -> None:
    drawn = {tuple(pairs(most=2, seed=seed)) for seed in range(200)}

    assert all(len(found) == 2 for found in drawn)
    assert len(drawn) == 15  # all ways to take 2 of 6
    assert pairs(most=2, seed=3) == pairs(most=2, seed=3)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=40),
    st.sampled_from(PairRule),
    st.floats(0, 3),
)
def test_every_pair_is_of_one_prompt_and_in_the_right_order(
    rows: list[tuple[int, int]], rule: PairRule, margin: float
) -> None:
    prompts, scores = np.array(rows).T
    found = preference_pairs(scores.astype(float), prompts, pairs=rule, margin=margin, most=None, seed=0, at_least=0)
    difference = scores[found.chosen] - scores[found.rejected]

    assert (prompts[found.chosen] == prompts[found.rejected]).all()
    assert ((difference > 0) & (difference >= margin)).all()
    if rule is PairRule.best_worst:
        spread = [np.ptp(scores[prompts == prompt]) for prompt in np.unique(prompts)]
        assert len(found) == sum(value > 0 and value >= margin for value in spread)


def test_too_few_pairs_say_how_many_prompts_have_several_grades() -> None:
    """Prompt 1 has two rows and one grade."""
    with pytest.raises(DataError) as caught:
        pairs(margin=0.6, at_least=16)

    said = str(caught.value)
    assert "2 preference pairs, but one optimizer step takes 16: 1 of 3 prompts" in said
    assert "1 of 3 prompts have completions with different grades" in said
    assert "method.margin=0.6" in said
    assert "kto" in said


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"method\.pairs=some: expected one of: best_worst, all, adjacent"):
        load(["method=dpo", "method.pairs=some"])


def test_runs_are_named_by_what_decides_the_result() -> None:
    """The learning rate is a setting of training."""
    method = DPO(learning_rate=3e-5, pairs=PairRule.all)

    assert method.label("threshold", "language") == "dpo"
    assert method.keys() == {"name": "dpo", "pairs": "all", "margin": 0.0, "max_pairs": None, "beta": 0.1}
