"""The mix of a later round: its arms, and how many samples of each prompt come from each."""

import numpy as np
import pytest

from gcsl_cli.goals.spec import no_goal_spec
from gcsl_cli.stages.rounds.mix import allocation, mix_parts
from tests.unit.goals.toy import RAW, toy_spec

MIX = {"best": 0.5, "guided": 0.25, "lower": 0.25}


def test_lower_levels_share_their_part_best_first() -> None:
    found = mix_parts(toy_spec(), MIX, 2.0)

    assert [(part.arm.name, part.arm.goal, part.arm.guidance, part.share) for part in found] == [
        ("best", 0.9, 0.0, 0.5),
        ("best-w2", 0.9, 2.0, 0.25),
        ("0.5", 0.5, 0.0, 0.125),
        ("worst", 0.0, 0.0, 0.125),
    ]
    assert [(one.goal, one.weight) for one in found[1].arm.against] == [(0.0, 2.0)]


def test_a_part_without_a_share_is_left_out() -> None:
    assert [part.arm.name for part in mix_parts(toy_spec(), {"guided": 1.0}, 4.0)] == ["best-w4"]


def test_raw_scores_have_one_lower_goal() -> None:
    found = mix_parts(toy_spec(**RAW, training_range=(0.1, 0.8)), {"best": 0.5, "lower": 0.5}, 2.0)

    assert [part.arm.goal for part in found] == [0.8, 0.1]


def test_without_goals_the_model_is_sampled_as_it_is() -> None:
    (part,) = mix_parts(no_goal_spec("toy", "plain", "{prompt}"), MIX, 2.0)

    assert (part.arm.goal, part.arm.trained, part.share) == (None, True, 1.0)


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 25])
def test_every_prompt_has_its_samples_and_shares_are_exact_over_prompts(samples: int) -> None:
    """80 prompts: the shares of 80 * samples are whole, and a prompt is at most one sample off."""
    shares = np.array([0.5, 0.25, 0.125, 0.125])
    counts = allocation(80, samples, shares.tolist(), seed=3)

    assert counts.sum(axis=1).tolist() == [samples] * 80
    assert counts.sum(axis=0).tolist() == (shares * 80 * samples).tolist()
    assert (np.abs(counts - shares * samples) < 1).all()


def test_the_seed_decides_which_prompts_have_the_odd_samples() -> None:
    one, same, other = (allocation(40, 1, [0.5, 0.5], seed) for seed in (1, 1, 2))

    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
