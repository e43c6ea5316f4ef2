"""The batch plan: rows and goals drawn from the seed within the budget."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.data.records import PLAN, write_table
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.training.batching import Batching, Measured
from gcsl_cli.training.drawing import Drawing, LevelGoals, draw_pairs, passed_pairs
from gcsl_cli.training.plan import WINDOW, Budget, Plan, draw_plan, load_plan

HIGHEST = np.array([2, 0, 1, 2, 0, 0])
"""Six rows: two reach all three levels, one reaches two, three reach only the lowest; ten pairs in total."""
PAIRS = [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 0), (5, 0)]

LEVELS = np.arange(5.0)
"""Level k has the value k."""

many_rows = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)
seeds = st.integers(0, 2**32)


def toy_lengths(rows: Ints, goals: Floats) -> Ints:
    """5 to 11 tokens depending on the row, plus 3 per level."""
    return 5 + rows % 7 + 3 * np.nan_to_num(goals).astype(np.int64)


def toy_measure(rows: Ints, goals: Floats, missed: Floats, sequence: Ints) -> Measured:
    """Three supervised tokens a row; rows of a sequence share their first four tokens, and so do a row and its copy."""
    copies = ~np.isnan(missed)
    pair = np.repeat(np.arange(len(rows)), 1 + copies)
    copy = np.diff(pair, prepend=-1) == 0
    tokens = toy_lengths(rows[pair], np.where(copy, missed[pair], goals[pair]))
    shared = np.where(np.diff(sequence[pair], prepend=-1) == 0, 4, 0)
    return Measured(np.full(len(rows), 3), pair, copy, tokens, shared, apart=False)


def plan(highest: Ints = HIGHEST, **changes: Any) -> Plan:
    settings: dict[str, Any] = {"batch_size": 2, "micro_batch_size": 2}
    seed = changes.pop("seed", 0)
    budget: dict[str, Any] = {"epochs": 1, "tokens": np.inf, "supervised_tokens": np.inf, "steps": np.inf}
    budget |= {key: changes.pop(key) for key in budget if key in changes}
    drawing: dict[str, Any] = {"formulation": "threshold", "pairing": "all", "balance": "none"}
    others = ("dropout", "together", "weighting", "rows_per_prompt", "goal_first", "missed", "missed_gap")
    drawing |= {key: changes.pop(key) for key in (*drawing, *others) if key in changes}
    prompts, unbeaten = changes.pop("prompts", np.arange(len(highest))), changes.pop("unbeaten", None)
    batching = Batching(**(settings | changes))
    rule, size = Drawing(**drawing), Budget(**budget)
    return draw_plan(LevelGoals(highest, prompts, LEVELS, rule, unbeaten), toy_measure, size, batching, seed)


def pairs(rows: Ints, levels: Ints | Floats) -> list[tuple[int, int]]:
    return list(zip(rows.tolist(), levels.tolist(), strict=True))


def test_pairing_all_draws_every_reached_pair_in_random_order() -> None:
    drawn = pairs(*draw_pairs(HIGHEST, Drawing("threshold", "all", "none"), np.random.default_rng(0)))

    assert drawn != PAIRS
    assert sorted(drawn) == PAIRS


@given(many_rows, seeds)
def test_pairing_sample_draws_one_reached_level_per_row(highest: Ints, seed: int) -> None:
    rows, levels = draw_pairs(highest, Drawing("threshold", "sample", "none"), np.random.default_rng(seed))

    assert sorted(rows.tolist()) == list(range(len(highest)))
    assert (levels <= highest[rows]).all()


@given(many_rows, seeds, st.sampled_from(["all", "sample"]))
def test_balance_draws_levels_equally_often(highest: Ints, seed: int, pairing: str) -> None:
    rows, levels = draw_pairs(highest, Drawing("threshold", pairing, "levels"), np.random.default_rng(seed))
    counts = np.bincount(levels, minlength=int(highest.max()) + 1)

    assert len(rows) == ((highest + 1).sum() if pairing == "all" else len(highest))
    assert counts.max() - counts.min() <= 1
    assert (levels <= highest[rows]).all()


@given(many_rows, seeds)
def test_balance_uses_all_rows_of_a_bin_before_repeating(highest: Ints, seed: int) -> None:
    rows, _ = draw_pairs(highest, Drawing("threshold", "all", "levels"), np.random.default_rng(seed))
    for bin_ in np.unique(highest):
        members = np.flatnonzero(highest == bin_)
        times = Counter({int(row): 0 for row in members})
        times.update(int(row) for row in rows if highest[row] == bin_)
        assert max(times.values()) - min(times.values()) <= 1


def test_balance_gives_bins_equal_shares_of_a_level() -> None:
    """90 rows in bin 0, 9 in bin 1, 1 in bin 2. Each level gets 10,000 of 30,000 draws; level 0 has 3,333 of each bin,
    level 1 has 5,000 of bins 1 and 2, level 2 has the one row only. 5 standard deviations are at most 250.
    """
    highest = np.repeat([0, 1, 2], [90, 9, 1])
    rows, levels = draw_pairs(np.tile(highest, 300), Drawing("threshold", "sample", "levels"), np.random.default_rng(1))
    shares = np.zeros((3, 3))
    np.add.at(shares, (levels, np.tile(highest, 300)[rows]), 1)

    expected = np.array([[10_000 / 3] * 3, [0, 5_000, 5_000], [0, 0, 10_000]])
    assert (abs(shares - expected) <= [[250] * 3, [0, 250, 250], [0, 0, 0]]).all()


@pytest.mark.parametrize(
    ("drawing", "message"),
    [
        (Drawing("threshold", "some", "none"), r"goal\.pairing=some: unknown; one of all, sample"),
        (Drawing("threshold", "all", "rows"), r"goal\.balance=rows: unknown; one of none, levels"),
        (Drawing("close", "all", "none"), r"goal\.formulation=close: unknown; one of threshold, exact"),
    ],
)
def test_unknown_setting_is_rejected(drawing: Drawing, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        draw_pairs(HIGHEST, drawing, np.random.default_rng(0))


def test_exact_goals_pair_each_row_with_its_highest_level() -> None:
    rows, levels = draw_pairs(HIGHEST, Drawing("exact", "sample", "none"), np.random.default_rng(0))

    assert sorted(pairs(rows, levels)) == [(0, 2), (1, 0), (2, 1), (3, 2), (4, 0), (5, 0)]
    assert rows.tolist() != sorted(rows.tolist())


def test_balance_with_exact_goals_draws_occurring_levels_equally_often() -> None:
    """Nine rows at level 0, one at level 3, none in between: five draws each."""
    highest = np.array([0] * 9 + [3])
    rows, levels = draw_pairs(highest, Drawing("exact", "sample", "levels"), np.random.default_rng(0))

    assert Counter(levels.tolist()) == {0: 5, 3: 5}
    assert (levels == highest[rows]).all()


def test_goals_are_level_values() -> None:
    levels = np.array([0.1, 0.5, 0.9])
    planned = draw_plan(
        LevelGoals(HIGHEST, np.arange(6), levels, Drawing("exact", "sample", "none")),
        lambda rows, goals, missed, sequence: Measured.of_rows(np.where(goals > 0.4, 8, 5), rows * 0 + 3, rows * 0),
        Budget(epochs=1),
        Batching(6, 6),
        seed=0,
    )

    assert sorted(pairs(planned.row, planned.goal)) == [(0, 0.9), (1, 0.1), (2, 0.5), (3, 0.9), (4, 0.1), (5, 0.1)]
    assert planned.tokens.tolist() == [5, 5, 5, 8, 8, 8]


@pytest.mark.parametrize("balance", ["none", "levels"])
@pytest.mark.parametrize("pairing", ["all", "sample"])
def test_rows_of_a_prompt_are_adjacent_and_the_draw_is_unchanged(balance: str, pairing: str) -> None:
    """Forty rows of eight prompts in groups of three; the last group of a prompt may be smaller."""
    highest, prompts = np.tile([2, 0, 1, 2, 0], 8), np.tile(np.arange(8), 5)
    rules = {"balance": balance, "pairing": pairing}
    alone = plan(highest, prompts=prompts, **rules)
    planned = plan(highest, prompts=prompts, rows_per_prompt=3, tokens_per_batch=200, **rules)

    assert sorted(pairs(planned.row, planned.goal)) == sorted(pairs(alone.row, alone.goal))
    of_prompt = prompts[planned.row]
    begins = np.flatnonzero(np.diff(planned.sequence, prepend=-1))
    groups = sum(-(-count // 3) for count in Counter(of_prompt.tolist()).values())
    assert len(begins) <= groups + 1  # a window of steps may cut one
    assert len(begins) == len(np.unique(planned.sequence))
    assert all(len(set(of_prompt[planned.sequence == number].tolist())) == 1 for number in planned.sequence)
    assert planned.tokens.sum() == toy_lengths(planned.row, planned.goal).sum() - 4 * (len(planned.row) - len(begins))
    assert of_prompt[begins].tolist() != sorted(of_prompt[begins].tolist())


@pytest.mark.parametrize("balance", ["none", "levels"])
@pytest.mark.parametrize("pairing", ["all", "sample"])
def test_rows_of_a_prompt_are_adjacent_by_goal_if_the_goal_comes_first(balance: str, pairing: str) -> None:
    """Rows without a goal do not share a prefix with rows that have one, so they form separate sequences."""
    highest, prompts = np.tile([2, 0, 1, 2, 0], 16), np.tile(np.arange(8), 10)
    rules = {"balance": balance, "pairing": pairing, "prompts": prompts}
    alone = plan(highest, **rules)
    planned = plan(highest, **rules, rows_per_prompt=3, goal_first=True, tokens_per_batch=200)
    dropped = plan(highest, **rules, rows_per_prompt=3, goal_first=True, tokens_per_batch=200, dropout=0.3)

    assert sorted(pairs(planned.row, planned.goal)) == sorted(pairs(alone.row, alone.goal))
    read = Counter(pairs(prompts[planned.row], planned.goal))
    begins = np.flatnonzero(np.diff(planned.sequence, prepend=-1))
    assert len(begins) <= sum(-(-count // 3) for count in read.values()) + 1  # a window of steps may cut one
    assert np.isnan(dropped.goal).any()
    for one in (planned, dropped):
        for number in np.unique(one.sequence):
            members = one.sequence == number
            assert len(set(prompts[one.row[members]].tolist())) == 1
            assert len(set(np.nan_to_num(one.goal[members], nan=-1.0).tolist())) == 1


def test_dropout_removes_goals_and_changes_nothing_else() -> None:
    """A quarter of 4,000 rows, 1,000, give or take four standard deviations of 27."""
    highest = np.random.default_rng(0).integers(0, 5, 4000)
    settings: dict[str, Any] = {"pairing": "sample", "batch_size": 4000, "micro_batch_size": 8}
    full, dropped = (plan(highest, **settings, dropout=share) for share in (0.0, 0.25))
    without = np.isnan(dropped.goal)

    assert abs(without.sum() - 1000) < 110
    goals = dict(pairs(full.row, full.goal))
    assert all(goals[row] == goal for row, goal in pairs(dropped.row[~without], dropped.goal[~without]))
    assert sorted(full.row) == sorted(dropped.row)


def test_two_epochs_contain_each_pair_twice() -> None:
    """Eleven pairs twice make 22 rows, 11 steps of 2."""
    planned = plan(epochs=2)

    assert planned.steps == 11
    assert Counter(pairs(planned.row, planned.goal)) == dict.fromkeys(PAIRS, 2)


def test_fraction_of_an_epoch_is_its_first_part() -> None:
    """1.5 epochs of 11 pairs are 11 + round(5.5) = 17 pairs, 8 steps of 2 with one pair left over: all other pairs
    occur once or twice.
    """
    planned = plan(epochs=1.5)
    counts = Counter(pairs(planned.row, planned.goal))

    assert (planned.steps, len(planned.row)) == (8, 16)
    assert max(counts.values()) == 2
    assert len(counts) >= 10


def test_levels_are_sampled_again_in_each_epoch() -> None:
    """Each of twenty rows occurs twice; all twenty get the same of five levels again with probability 5 ** -20."""
    planned = plan(np.full(20, 4), pairing="sample", epochs=2)

    assert Counter(planned.row.tolist()) == dict.fromkeys(range(20), 2)
    assert len(set(pairs(planned.row, planned.goal))) > 20


@given(
    highest=st.lists(st.integers(0, 4), min_size=8, max_size=60).map(np.array),
    pairing=st.sampled_from(["all", "sample"]),
    balance=st.sampled_from(["none", "levels"]),
    batch_size=st.integers(1, 8),
    micro_batch_size=st.integers(1, 8),
    epochs=st.floats(1, 4),
    tokens=st.just(np.inf) | st.integers(1, 3000),
    supervised_tokens=st.just(np.inf) | st.integers(1, 900),
    steps=st.just(np.inf) | st.integers(1, 40),
    seed=st.integers(0, 2**31),
)
def test_plan_is_determined_by_the_seed_and_stays_within_budget(highest: Ints, **settings: Any) -> None:
    planned = plan(highest, **settings)
    batch_size, micro = settings["batch_size"], settings["micro_batch_size"]

    again = plan(highest, **settings)
    assert all(np.array_equal(getattr(planned, name), getattr(again, name), equal_nan=True) for name in PLAN.names)

    assert (planned.goal <= highest[planned.row]).all()
    assert (planned.tokens == toy_lengths(planned.row, planned.goal)).all()

    # Steps are whole batches in order; micro-batches partition each step.
    assert planned.step.tolist() == [step for step in range(planned.steps) for _ in range(batch_size)]
    batches = list(planned.micro_batches())
    assert [place for slice_ in batches for place in range(slice_.start, slice_.stop)] == list(range(len(planned.row)))
    assert all(0 < slice_.stop - slice_.start <= micro for slice_ in batches)
    assert all(len(set(planned.step[slice_])) == 1 for slice_ in batches)
    assert len(batches) == planned.steps * -(-batch_size // micro)

    # The number of steps is the minimum of what the budget needs, the rows provide and the limit allows.
    unlimited = plan(highest, **settings | dict.fromkeys(["tokens", "supervised_tokens", "steps"], np.inf))
    limit = min(unlimited.steps, settings["steps"])
    budget, supervised = settings["tokens"], settings["supervised_tokens"]
    assert planned.steps <= limit
    assert planned.steps == limit or planned.tokens.sum() >= budget or 3 * len(planned.row) >= supervised
    assert planned.tokens.sum() < budget + batch_size * planned.tokens.max()
    assert 3 * len(planned.row) < supervised + 3 * batch_size


def test_token_budget_is_reached_without_an_extra_step() -> None:
    """A row has 10 tokens, a step 40: 100 and 120 tokens need three steps, 121 tokens four."""
    steps = [
        draw_plan(
            LevelGoals(np.zeros(400, dtype=np.int64), np.arange(400), LEVELS, Drawing("threshold", "sample", "none")),
            lambda rows, goals, missed, sequence: Measured.of_rows(rows * 0 + 10, rows * 0 + 4, rows * 0),
            Budget(epochs=1, tokens=budget),
            Batching(4, 4),
            seed=0,
        ).steps
        for budget in (1, 100, 120, 121, 2000 + 1, 10**9)
    ]

    assert steps == [1, 3, 3, 4, 51, 100]
    assert WINDOW == 50  # so that 2001 tokens end within the second window


def test_budget_of_supervised_tokens() -> None:
    """A step of two rows has six supervised tokens."""
    assert [plan(supervised_tokens=count).steps for count in (1, 6, 7, 24, 1000)] == [1, 1, 2, 4, 5]


def test_token_budget_repeats_epochs() -> None:
    """An epoch has each of 11 pairs once, so twelve steps of two contain all pairs twice and two pairs a third time."""
    planned = plan(epochs=np.inf, supervised_tokens=12 * 6)
    times = Counter(pairs(planned.row, planned.goal))

    assert (planned.steps, set(times)) == (12, set(PAIRS))
    assert sorted(times.values()) == [2] * 9 + [3] * 2


def test_budget_without_any_limit_is_rejected() -> None:
    with pytest.raises(ValueError, match="without any limit"):
        plan(epochs=np.inf)


def test_budget_of_steps() -> None:
    assert plan(steps=3).steps == 3
    assert plan(steps=100).steps == 5


def test_smaller_budget_is_a_prefix_of_the_larger_one_as_a_set() -> None:
    """Ten steps contain the first pairs drawn; a longer plan adds pairs without changing these."""
    highest = np.arange(400) % 5
    small, large = (plan(highest, pairing="sample", steps=steps, batch_size=4) for steps in (10, 50))

    assert Counter(pairs(small.row, small.goal)) <= Counter(pairs(large.row, large.goal))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("budget", [{"tokens": 7777}, {"steps": 70}])
def test_levels_stay_balanced_wherever_the_budget_ends(budget: dict[str, int], seed: int) -> None:
    """Longer sentences do not make higher levels rarer; each of the four epochs may be off by one."""
    highest = np.random.default_rng(seed).integers(0, 5, 240)
    planned = plan(highest, pairing="sample", balance="levels", epochs=4, batch_size=8, seed=seed, **budget)
    counts = np.bincount(planned.goal.astype(np.int64), minlength=5)

    assert planned.steps > WINDOW
    assert counts.max() - counts.min() <= 4


def test_plans_of_different_seeds_differ() -> None:
    assert (plan(np.arange(40) % 3, seed=0).row != plan(np.arange(40) % 3, seed=1).row).any()


def test_rows_of_similar_length_share_a_step() -> None:
    """Within a window, steps cover disjoint ranges of lengths."""
    planned = plan(np.arange(400) % 5, pairing="sample", batch_size=8)
    assert planned.steps == WINDOW
    tokens = planned.tokens.reshape(-1, 8)
    intervals = sorted(zip(tokens.min(axis=1).tolist(), tokens.max(axis=1).tolist(), strict=True))

    assert all(upper <= lower for (_, upper), (lower, _) in pairwise(intervals))
    assert tokens.min(axis=1).tolist() != sorted(tokens.min(axis=1).tolist())


def test_fewer_pairs_than_a_step_are_rejected() -> None:
    with pytest.raises(
        DataError, match=r"Training pairs: 11, .* needs \(train\.batch_size=12\)\. Use train\.batch_size=11 or less"
    ):
        plan(batch_size=12)
    with pytest.raises(DataError, match=r"Training pairs: 1, .* \(train\.batches_per_step=2\)"):
        plan(np.array([0]), tokens_per_batch=50, batches_per_step=2)


def test_micro_batches_of_uneven_size() -> None:
    """Five rows per step in micro-batches of two: 2, 2, 1."""
    planned = plan(batch_size=5)

    assert [slice_.stop - slice_.start for slice_ in planned.micro_batches()] == [2, 2, 1, 2, 2, 1]
    assert planned.micro.tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5]


def test_plan_round_trip(tmp_path: Path) -> None:
    planned = plan()
    planned.save(tmp_path / "plan.parquet")

    loaded = load_plan(tmp_path / "plan.parquet")

    assert all(np.array_equal(getattr(planned, name), getattr(loaded, name), equal_nan=True) for name in PLAN.names)
    assert loaded.row.dtype == np.int64


def test_truncated_plan_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "plan.parquet"
    plan().save(path)
    path.write_bytes(path.read_bytes()[:-10])

    with pytest.raises(DataError, match=r"plan\.parquet: cannot be read as Parquet"):
        load_plan(path)


def test_empty_plan_has_no_steps(tmp_path: Path) -> None:
    write_table(tmp_path / "plan.parquet", PLAN.empty_table())

    assert len(load_plan(tmp_path / "plan.parquet").row) == 0


@given(
    highest=st.lists(st.integers(0, 4), min_size=8, max_size=60).map(np.array),
    pairing=st.sampled_from(["all", "sample"]),
    formulation=st.sampled_from(["threshold", "exact"]),
    batch_size=st.integers(1, 8),
    epochs=st.floats(1, 4),
)
def test_the_number_of_steps_is_known_without_a_plan(
    highest: Ints, pairing: str, formulation: str, batch_size: int, epochs: float
) -> None:
    source = LevelGoals(highest, np.arange(len(highest)), LEVELS, Drawing(formulation, pairing, "none"))
    planned = plan(highest, pairing=pairing, formulation=formulation, batch_size=batch_size, epochs=epochs)

    assert abs(passed_pairs(source.pairs, epochs) // batch_size - planned.steps) <= 1


def sequences(planned: Plan) -> list[tuple[int, list[int]]]:
    """Return the row and the goals of each sequence, in plan order."""
    begins = np.flatnonzero(np.r_[True, np.diff(planned.sequence) != 0])
    return [
        (int(planned.row[part[0]]), planned.goal[part].astype(int).tolist())
        for part in np.split(np.arange(len(planned.row)), begins[1:])
    ]


def test_goals_of_a_row_are_adjacent() -> None:
    """A forward pass takes six rows; the goals of a row are only separated at its end."""
    planned = plan(together=True, batch_size=11, micro_batch_size=11)

    assert sorted(sequences(planned)) == [(0, [0, 1, 2]), (1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (4, [0]), (5, [0])]


@given(many_rows, seeds)
def test_together_draws_every_pair_once_per_epoch(highest: Ints, seed: int) -> None:
    rule = Drawing("threshold", "all", "none", together=True)
    rows, levels = draw_pairs(highest, rule, np.random.default_rng(seed))

    assert sorted(pairs(rows, levels)) == sorted(
        (row, level) for row, most in enumerate(highest.tolist()) for level in range(most + 1)
    )
    assert len(np.flatnonzero(np.diff(rows))) == len(highest) - 1


@given(many_rows, seeds)
def test_together_with_balance_every_round_has_every_level_once(highest: Ints, seed: int) -> None:
    rule = Drawing("threshold", "all", "levels", together=True)
    rows, levels = draw_pairs(highest, rule, np.random.default_rng(seed))
    count = int(highest.max()) + 1

    assert (levels <= highest[rows]).all()
    assert len(levels) == int((highest + 1).sum())
    assert levels.tolist() == [count - 1 - place % count for place in range(len(levels))]


def test_together_with_balance_gives_bins_equal_shares_of_a_level() -> None:
    """Bins of 10, 20 and 70 rows: a third of the lowest level from each, half of the middle one from each of two."""
    highest = np.repeat([2, 1, 0], [200, 400, 1400])
    rule = Drawing("threshold", "all", "levels", together=True)
    rows, levels = draw_pairs(highest, rule, np.random.default_rng(0))
    shares = [[(highest[rows[levels == level]] == bin_).mean() for bin_ in range(3)] for level in range(3)]

    assert shares[2] == [0, 0, 1]
    assert shares[1] == pytest.approx([0, 1 / 2, 1 / 2], abs=0.05)
    assert shares[0] == pytest.approx([1 / 3, 1 / 3, 1 / 3], abs=0.05)


def test_planned_tokens_are_the_computed_tokens() -> None:
    """The toy rows share four tokens; the three goals of row 0 have 5, 8 and 11 tokens and add 5, 4 and 7."""
    planned = plan(together=True, batch_size=11, micro_batch_size=11)
    of_row = planned.row == 0

    assert planned.tokens[of_row].tolist() == [5, 8 - 4, 11 - 4]


def test_row_split_over_forward_passes_repeats_the_prompt() -> None:
    whole, parted = (plan(together=True, batch_size=11, micro_batch_size=size) for size in (11, 1))

    assert parted.tokens.sum() == toy_lengths(parted.row, parted.goal).sum() > whole.tokens.sum()


@given(many_rows.filter(lambda highest: len(highest) > 2), seeds, st.integers(24, 200), st.integers(1, 3))
def test_forward_pass_stays_within_its_token_limit(highest: Ints, seed: int, most: int, passes: int) -> None:
    """Tokens include padding: the longest sequence times the number of sequences; every step has `passes` passes."""
    planned = plan(highest, together=True, tokens_per_batch=most, batches_per_step=passes, seed=seed)
    parts = list(planned.micro_batches())

    for part in parts:
        lengths = np.bincount(planned.sequence[part] - planned.sequence[part].min(), weights=planned.tokens[part])
        lengths = lengths[lengths > 0]
        assert len(lengths) == 1 or lengths.max() * len(lengths) <= most
    assert Counter(pairs(planned.row, planned.goal)) <= Counter(
        (row, level) for row, reached in enumerate(highest.tolist()) for level in range(reached + 1)
    )
    assert len(parts) == passes * planned.steps


def test_every_pair_is_planned_with_a_token_limit_per_pass() -> None:
    highest = np.arange(200) % 5
    planned = plan(highest, together=True, tokens_per_batch=60)

    assert len(planned.row) == int((highest + 1).sum())


def test_row_weighting_counts_each_row_once() -> None:
    """Weights are proportional to 1/k for k goals and average 1 over the supervised tokens of a step."""
    planned = plan(together=True, weighting="rows", batch_size=11, micro_batch_size=11)
    total = {row: planned.weight[planned.row == row].sum() for row in range(6)}

    assert planned.weight.mean() == pytest.approx(1)
    assert list(total.values()) == pytest.approx([11 / 6] * 6)
    assert plan(together=True).weight.tolist() == [1.0] * 10


def test_rows_that_miss_the_best_reached_level_have_a_copy_under_it() -> None:
    """Levels 3 and 4 are beyond every row, so they are not missed."""
    planned = plan(missed="best", seed=3)
    misses = HIGHEST[planned.row] < 2

    assert (planned.missed[misses] == 2).all()
    assert np.isnan(planned.missed[~misses]).all()


def test_copies_count_as_processed_tokens_and_not_as_supervised_ones() -> None:
    """Each row is a sequence of its own, and a copy shares its first four tokens."""
    planned = plan(missed="best", pairing="sample", batch_size=1, micro_batch_size=1)
    copies = ~np.isnan(planned.missed)
    expected = toy_lengths(planned.row, planned.goal)
    expected[copies] += toy_lengths(planned.row, planned.missed)[copies] - 4

    assert planned.tokens.tolist() == expected.tolist()
    assert len(plan(missed="best", supervised_tokens=9, epochs=np.inf, batch_size=1, micro_batch_size=1).row) == 3
    fewer, more = (
        plan(np.zeros(40, int) + [0, 1] * 20, missed=rule, tokens=300, epochs=9) for rule in ("best", "none")
    )
    assert fewer.tokens.sum() < 300 + 2 * fewer.tokens.max()
    assert len(fewer.row) < len(more.row)


def test_rows_without_a_goal_miss_none() -> None:
    planned = plan(np.arange(40) % 5, missed="sample", pairing="sample", dropout=0.5)

    assert np.isnan(planned.missed[np.isnan(planned.goal)]).all()
    assert np.isfinite(planned.missed).any()


def test_unbeaten_rows_miss_no_goal() -> None:
    highest, unbeaten = np.arange(40) % 5, np.arange(40) % 4 == 0
    planned = plan(highest, missed="best", pairing="sample", unbeaten=unbeaten)

    misses = (highest < 4) & ~unbeaten
    assert np.isfinite(planned.missed).tolist() == misses[planned.row].tolist()


@given(many_rows.filter(lambda highest: len(highest) > 2), seeds, st.sampled_from(["best", "sample"]))
def test_missed_goals_do_not_change_what_else_is_drawn(highest: Ints, seed: int, rule: str) -> None:
    """Only the order of steps depends on lengths; with one step, it is the same rows and goals."""
    size = len(highest)
    settings: dict[str, Any] = {"pairing": "sample", "batch_size": size, "micro_batch_size": size, "seed": seed}
    without, planned = plan(highest, **settings), plan(highest, missed=rule, **settings)

    assert sorted(pairs(planned.row, planned.goal)) == sorted(pairs(without.row, without.goal))
    found = ~np.isnan(planned.missed)
    assert (planned.missed[found] > highest[planned.row[found]]).all()
    assert (planned.missed[found] <= highest.max()).all()
    assert (highest[planned.row[~found]] == highest.max()).all()


@given(many_rows.filter(lambda highest: len(highest) > 2), seeds, st.integers(24, 200), st.integers(1, 3))
def test_batches_by_tokens_keep_copies_with_their_rows(
    highest: Ints, seed: int, most: int, passes_per_step: int
) -> None:
    """No pass exceeds the limit, padding included, unless a single pair does."""
    settings = {"tokens_per_batch": most, "batches_per_step": passes_per_step, "epochs": 4, "pairing": "sample"}
    planned = plan(np.append(highest, 4), missed="best", seed=seed, **settings)

    for batch in planned.micro_batches():
        copies = ~np.isnan(planned.missed[batch])
        if len(copies) > 1:
            assert planned.tokens[batch].max() * len(copies) <= most


def test_plan_of_an_older_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.parquet"
    plan().save(path)
    pq.write_table(pq.read_table(path).drop_columns(["missed"]), path)

    with pytest.raises(DataError, match=r"made by an older version of gcsl.*force=true"):
        load_plan(path)


def test_copies_weigh_together_as_much_as_the_rows_trained_under_their_goal() -> None:
    """Three copies under goal 2, which one row is trained under; one under goal 3, which no row is trained under."""
    goal, missed = np.array([2.0, 0, 0, 1, 0, 1]), np.array([np.nan, 2, 2, 2, 3, np.nan])
    index = np.arange(6)
    planned = replace(Plan.of(index, index, index, goal, index), missed=missed)

    assert planned.copy_weights(raw=False).tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 0, 0])
    assert planned.copy_weights(raw=True).tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 3, 0])

    lighter = replace(planned, weight=np.array([0.5, 1, 1, 0.5, 1, 1]))
    assert lighter.copy_weights(raw=False).tolist() == pytest.approx([0, 0.2, 0.2, 0.2, 0, 0])
