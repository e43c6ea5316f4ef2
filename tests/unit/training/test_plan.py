"""The batch plan: which rows under which goals, drawn from the seed, within the budget."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.data.records import PLAN, write_table
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.training.batching import Batching
from gcsl_cli.training.drawing import Drawing, draw_pairs, passed_pairs, planned_pairs
from gcsl_cli.training.plan import WINDOW, Budget, Floats, Ints, Plan, build_plan, load_plan

HIGHEST = np.array([2, 0, 1, 2, 0, 0])
"""Six rows: two reach all three levels, one reaches two, three reach the lowest only; ten pairs in all."""
PAIRS = [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 0), (5, 0)]

LEVELS = np.arange(5.0)
"""Level k is the goal k."""

many_rows = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)
seeds = st.integers(0, 2**32)


def toy_lengths(rows: Ints, goals: Floats) -> Ints:
    """5 to 11 tokens by row, 3 more for each level."""
    return 5 + rows % 7 + 3 * np.nan_to_num(goals).astype(np.int64)


def toy_measure(rows: Ints, goals: Floats, sequence: Ints) -> tuple[Ints, Ints, Ints]:
    """The loss counts three tokens of each row; rows of a sequence share their first four."""
    tokens = toy_lengths(rows, goals)
    return tokens, np.full_like(tokens, 3), np.where(np.diff(sequence, prepend=-1) == 0, 4, 0)


def plan(highest: Ints = HIGHEST, **changes: Any) -> Plan:
    settings: dict[str, Any] = {"batch_size": 2, "micro_batch_size": 2}
    seed = changes.pop("seed", 0)
    budget: dict[str, Any] = {"epochs": 1, "tokens": np.inf, "supervised_tokens": np.inf, "steps": np.inf}
    budget |= {key: changes.pop(key) for key in budget if key in changes}
    drawing: dict[str, Any] = {"formulation": "threshold", "pairing": "all", "balance": "none"}
    others = ("dropout", "together", "weighting", "rows_per_prompt", "goal_first")
    drawing |= {key: changes.pop(key) for key in (*drawing, *others) if key in changes}
    prompts = changes.pop("prompts", np.arange(len(highest)))
    batching = Batching(**(settings | changes))
    return build_plan(highest, prompts, LEVELS, toy_measure, Drawing(**drawing), Budget(**budget), batching, seed)


def pairs(rows: Ints, levels: Ints | Floats) -> list[tuple[int, int]]:
    return list(zip(rows.tolist(), levels.tolist(), strict=True))


def test_all_pairs_are_the_reached_ones_in_random_order() -> None:
    drawn = pairs(*draw_pairs(HIGHEST, Drawing("threshold", "all", "none"), np.random.default_rng(0)))

    assert drawn != PAIRS
    assert sorted(drawn) == PAIRS


@given(many_rows, seeds)
def test_sampling_takes_every_row_once_under_a_level_that_it_reaches(highest: Ints, seed: int) -> None:
    rows, levels = draw_pairs(highest, Drawing("threshold", "sample", "none"), np.random.default_rng(seed))

    assert sorted(rows.tolist()) == list(range(len(highest)))
    assert (levels <= highest[rows]).all()


@given(many_rows, seeds, st.sampled_from(["all", "sample"]))
def test_balance_gives_every_level_an_equal_share(highest: Ints, seed: int, pairing: str) -> None:
    rows, levels = draw_pairs(highest, Drawing("threshold", pairing, "levels"), np.random.default_rng(seed))
    counts = np.bincount(levels, minlength=int(highest.max()) + 1)

    assert len(rows) == ((highest + 1).sum() if pairing == "all" else len(highest))
    assert counts.max() - counts.min() <= 1
    assert (levels <= highest[rows]).all()


@given(many_rows, seeds)
def test_in_balance_no_row_of_a_bin_comes_twice_before_all_have_come(highest: Ints, seed: int) -> None:
    rows, _ = draw_pairs(highest, Drawing("threshold", "all", "levels"), np.random.default_rng(seed))
    for bin_ in np.unique(highest):
        members = np.flatnonzero(highest == bin_)
        times = Counter({int(row): 0 for row in members})
        times.update(int(row) for row in rows if highest[row] == bin_)
        assert max(times.values()) - min(times.values()) <= 1


def test_in_balance_every_bin_that_reaches_a_level_has_an_equal_share_of_it() -> None:
    """90 rows in bin 0, 9 in bin 1, 1 in bin 2. Of 30,000 draws each level has 10,000; level 0 has 3,333 of each bin,
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
def test_an_unknown_rule_is_refused(drawing: Drawing, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        draw_pairs(HIGHEST, drawing, np.random.default_rng(0))


def test_exact_goals_pair_each_row_with_its_highest_level() -> None:
    rows, levels = draw_pairs(HIGHEST, Drawing("exact", "sample", "none"), np.random.default_rng(0))

    assert sorted(pairs(rows, levels)) == [(0, 2), (1, 0), (2, 1), (3, 2), (4, 0), (5, 0)]
    assert rows.tolist() != sorted(rows.tolist())


def test_exact_goals_in_balance_give_every_level_that_a_row_has_an_equal_share() -> None:
    """Nine rows at level 0, one at level 3, none between: five draws each."""
    highest = np.array([0] * 9 + [3])
    rows, levels = draw_pairs(highest, Drawing("exact", "sample", "levels"), np.random.default_rng(0))

    assert Counter(levels.tolist()) == {0: 5, 3: 5}
    assert (levels == highest[rows]).all()


def test_goals_are_the_values_of_the_levels() -> None:
    levels = np.array([0.1, 0.5, 0.9])
    made = build_plan(
        HIGHEST,
        np.arange(6),
        levels,
        lambda rows, goals, sequence: (np.where(goals > 0.4, 8, 5), np.full(len(rows), 3), np.zeros_like(rows)),
        Drawing("exact", "sample", "none"),
        Budget(epochs=1),
        Batching(6, 6),
        seed=0,
    )

    assert sorted(pairs(made.row, made.goal)) == [(0, 0.9), (1, 0.1), (2, 0.5), (3, 0.9), (4, 0.1), (5, 0.1)]
    assert made.tokens.tolist() == [5, 5, 5, 8, 8, 8]


@pytest.mark.parametrize("balance", ["none", "levels"])
@pytest.mark.parametrize("pairing", ["all", "sample"])
def test_rows_of_a_prompt_follow_one_another_and_are_drawn_as_they_are_one_by_one(balance: str, pairing: str) -> None:
    """Forty rows of eight prompts; groups of three, the last one of a prompt may be smaller."""
    highest, prompts = np.tile([2, 0, 1, 2, 0], 8), np.tile(np.arange(8), 5)
    rules = {"balance": balance, "pairing": pairing}
    alone = plan(highest, prompts=prompts, **rules)
    made = plan(highest, prompts=prompts, rows_per_prompt=3, tokens_per_batch=200, **rules)

    assert sorted(pairs(made.row, made.goal)) == sorted(pairs(alone.row, alone.goal))
    of_prompt = prompts[made.row]
    begins = np.flatnonzero(np.diff(made.sequence, prepend=-1))
    groups = sum(-(-count // 3) for count in Counter(of_prompt.tolist()).values())
    assert len(begins) <= groups + 1  # a window of steps may cut one
    assert len(begins) == len(np.unique(made.sequence))
    assert all(len(set(of_prompt[made.sequence == number].tolist())) == 1 for number in made.sequence)
    assert made.tokens.sum() == toy_lengths(made.row, made.goal).sum() - 4 * (len(made.row) - len(begins))
    assert of_prompt[begins].tolist() != sorted(of_prompt[begins].tolist())


@pytest.mark.parametrize("balance", ["none", "levels"])
@pytest.mark.parametrize("pairing", ["all", "sample"])
def test_rows_of_a_prompt_follow_one_another_under_one_goal_where_it_comes_first(balance: str, pairing: str) -> None:
    """What rows without a goal have in common is no goal's: they are sequences of their own."""
    highest, prompts = np.tile([2, 0, 1, 2, 0], 16), np.tile(np.arange(8), 10)
    rules = {"balance": balance, "pairing": pairing, "prompts": prompts}
    alone = plan(highest, **rules)
    made = plan(highest, **rules, rows_per_prompt=3, goal_first=True, tokens_per_batch=200)
    dropped = plan(highest, **rules, rows_per_prompt=3, goal_first=True, tokens_per_batch=200, dropout=0.3)

    assert sorted(pairs(made.row, made.goal)) == sorted(pairs(alone.row, alone.goal))
    read = Counter(pairs(prompts[made.row], made.goal))
    begins = np.flatnonzero(np.diff(made.sequence, prepend=-1))
    assert len(begins) <= sum(-(-count // 3) for count in read.values()) + 1  # a window of steps may cut one
    assert np.isnan(dropped.goal).any()
    for one in (made, dropped):
        for number in np.unique(one.sequence):
            members = one.sequence == number
            assert len(set(prompts[one.row[members]].tolist())) == 1
            assert len(set(np.nan_to_num(one.goal[members], nan=-1.0).tolist())) == 1


def test_dropout_takes_the_goal_from_its_share_of_the_rows_and_changes_nothing_else() -> None:
    """Of 4,000 rows a quarter, 1,000, give or take four standard deviations of 27."""
    highest = np.random.default_rng(0).integers(0, 5, 4000)
    settings: dict[str, Any] = {"pairing": "sample", "batch_size": 4000, "micro_batch_size": 8}
    full, dropped = (plan(highest, **settings, dropout=share) for share in (0.0, 0.25))
    without = np.isnan(dropped.goal)

    assert abs(without.sum() - 1000) < 110
    goals = dict(pairs(full.row, full.goal))
    assert all(goals[row] == goal for row, goal in pairs(dropped.row[~without], dropped.goal[~without]))
    assert sorted(full.row) == sorted(dropped.row)


def test_two_epochs_of_all_pairs_hold_each_pair_twice() -> None:
    """Eleven pairs twice are 22 rows, 11 steps of 2."""
    made = plan(epochs=2)

    assert made.steps == 11
    assert Counter(pairs(made.row, made.goal)) == dict.fromkeys(PAIRS, 2)


def test_a_fraction_of_an_epoch_is_its_first_part() -> None:
    """1.5 epochs of 11 pairs are 11 + round(5.5) = 17 pairs, 8 steps of 2: every pair at least once but for one left
    over, none more than twice.
    """
    made = plan(epochs=1.5)
    counts = Counter(pairs(made.row, made.goal))

    assert (made.steps, len(made.row)) == (8, 16)
    assert max(counts.values()) == 2
    assert len(counts) >= 10


def test_sampled_levels_are_drawn_anew_each_epoch() -> None:
    """Each of twenty rows comes twice; that all twenty get the same of five levels again has the chance 5 ** -20."""
    made = plan(np.full(20, 4), pairing="sample", epochs=2)

    assert Counter(made.row.tolist()) == dict.fromkeys(range(20), 2)
    assert len(set(pairs(made.row, made.goal))) > 20


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
def test_a_plan_is_a_function_of_the_seed_within_its_budget(highest: Ints, **settings: Any) -> None:
    made = plan(highest, **settings)
    batch_size, micro = settings["batch_size"], settings["micro_batch_size"]

    again = plan(highest, **settings)
    assert all((getattr(made, name) == getattr(again, name)).all() for name in PLAN.names)

    assert (made.goal <= highest[made.row]).all()
    assert (made.tokens == toy_lengths(made.row, made.goal)).all()

    # Steps are whole batches in order; micro-batches partition each step.
    assert made.step.tolist() == [step for step in range(made.steps) for _ in range(batch_size)]
    batches = list(made.micro_batches())
    assert [place for slice_ in batches for place in range(slice_.start, slice_.stop)] == list(range(len(made.row)))
    assert all(0 < slice_.stop - slice_.start <= micro for slice_ in batches)
    assert all(len(set(made.step[slice_])) == 1 for slice_ in batches)
    assert len(batches) == made.steps * -(-batch_size // micro)

    # As many steps as the budget needs, the rows give and the limit allows, whichever is least.
    unlimited = plan(highest, **settings | dict.fromkeys(["tokens", "supervised_tokens", "steps"], np.inf))
    limit = min(unlimited.steps, settings["steps"])
    budget, supervised = settings["tokens"], settings["supervised_tokens"]
    assert made.steps <= limit
    assert made.steps == limit or made.tokens.sum() >= budget or 3 * len(made.row) >= supervised
    assert made.tokens.sum() < budget + batch_size * made.tokens.max()
    assert 3 * len(made.row) < supervised + 3 * batch_size


def test_the_token_budget_is_reached_and_not_by_a_step_more_than_needed() -> None:
    """Every row has 10 tokens, a step 40: 100 tokens need three steps, 120 tokens three as well, 121 four."""
    steps = [
        build_plan(
            np.zeros(400, dtype=np.int64),
            np.arange(400),
            LEVELS,
            lambda rows, goals, sequence: (np.full(len(rows), 10), np.full(len(rows), 4), np.zeros_like(rows)),
            Drawing("threshold", "sample", "none"),
            Budget(epochs=1, tokens=budget),
            Batching(4, 4),
            seed=0,
        ).steps
        for budget in (1, 100, 120, 121, 2000 + 1, 10**9)
    ]

    assert steps == [1, 3, 3, 4, 51, 100]
    assert WINDOW == 50  # so that 2001 tokens end within the second window


def test_supervised_tokens_are_a_budget_of_their_own() -> None:
    """A step of two rows has six of them."""
    assert [plan(supervised_tokens=count).steps for count in (1, 6, 7, 24, 1000)] == [1, 1, 2, 4, 5]


def test_a_budget_of_tokens_takes_as_many_passes_as_it_needs() -> None:
    """Eleven pairs a pass; every pass has each once, so twelve steps of two have every pair twice and two a third."""
    made = plan(epochs=np.inf, supervised_tokens=12 * 6)
    times = Counter(pairs(made.row, made.goal))

    assert (made.steps, set(times)) == (12, set(PAIRS))
    assert sorted(times.values()) == [2] * 9 + [3] * 2


def test_a_plan_without_any_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="without any limit"):
        plan(epochs=np.inf)


def test_steps_are_limited() -> None:
    assert plan(steps=3).steps == 3
    assert plan(steps=100).steps == 5


def test_the_smaller_budget_is_the_beginning_of_the_larger_one_as_a_set() -> None:
    """Ten steps are the first ten of the draw: what a longer plan adds does not change what is trained on."""
    highest = np.arange(400) % 5
    small, large = (plan(highest, pairing="sample", steps=steps, batch_size=4) for steps in (10, 50))

    assert Counter(pairs(small.row, small.goal)) <= Counter(pairs(large.row, large.goal))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("budget", [{"tokens": 7777}, {"steps": 70}])
def test_levels_stay_balanced_wherever_the_budget_cuts(budget: dict[str, int], seed: int) -> None:
    """Longer sentences of higher levels do not make them rarer; each of the four epochs may be off by one."""
    highest = np.random.default_rng(seed).integers(0, 5, 240)
    made = plan(highest, pairing="sample", balance="levels", epochs=4, batch_size=8, seed=seed, **budget)
    counts = np.bincount(made.goal.astype(np.int64), minlength=5)

    assert made.steps > WINDOW
    assert counts.max() - counts.min() <= 4


def test_another_seed_is_another_plan() -> None:
    assert (plan(np.arange(40) % 3, seed=0).row != plan(np.arange(40) % 3, seed=1).row).any()


def test_rows_of_similar_length_share_a_step() -> None:
    """Within a window the steps hold disjoint intervals of lengths."""
    made = plan(np.arange(400) % 5, pairing="sample", batch_size=8)
    assert made.steps == WINDOW
    tokens = made.tokens.reshape(-1, 8)
    intervals = sorted(zip(tokens.min(axis=1).tolist(), tokens.max(axis=1).tolist(), strict=True))

    assert all(upper <= lower for (_, upper), (lower, _) in pairwise(intervals))
    assert tokens.min(axis=1).tolist() != sorted(tokens.min(axis=1).tolist())


def test_fewer_pairs_than_a_batch_are_refused() -> None:
    with pytest.raises(DataError, match=r"Training pairs: 11, fewer than one step needs \(train\.batch_size=12\)"):
        plan(batch_size=12)
    with pytest.raises(DataError, match=r"Training pairs: 1, .* \(train\.batches_per_step=2\)"):
        plan(np.array([0]), tokens_per_batch=50, batches_per_step=2)


def test_micro_batches_of_uneven_size() -> None:
    """Five rows a step in micro-batches of two: 2, 2, 1."""
    made = plan(batch_size=5)

    assert [slice_.stop - slice_.start for slice_ in made.micro_batches()] == [2, 2, 1, 2, 2, 1]
    assert made.micro.tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5]


def test_a_plan_comes_back_from_disk(tmp_path: Path) -> None:
    made = plan()
    made.save(tmp_path / "plan.parquet")

    loaded = load_plan(tmp_path / "plan.parquet")

    assert all((getattr(made, name) == getattr(loaded, name)).all() for name in PLAN.names)
    assert loaded.row.dtype == np.int64


def test_a_plan_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.parquet"
    plan().save(path)
    path.write_bytes(path.read_bytes()[:-10])

    with pytest.raises(DataError, match=r"plan\.parquet: cannot be read as Parquet"):
        load_plan(path)


def test_an_empty_plan_has_no_steps(tmp_path: Path) -> None:
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
    drawing = Drawing(formulation, pairing, "none")
    made = plan(highest, pairing=pairing, formulation=formulation, batch_size=batch_size, epochs=epochs)

    assert abs(passed_pairs(planned_pairs(highest, drawing), epochs) // batch_size - made.steps) <= 1


def sequences(made: Plan) -> list[tuple[int, list[int]]]:
    """The row and the goals of each sequence, in the order of the plan."""
    begins = np.flatnonzero(np.r_[True, np.diff(made.sequence) != 0])
    return [
        (int(made.row[part[0]]), made.goal[part].astype(int).tolist())
        for part in np.split(np.arange(len(made.row)), begins[1:])
    ]


def test_goals_of_a_row_follow_one_another() -> None:
    """A forward pass takes six rows; only where it ends are the goals of a row parted."""
    made = plan(together=True, batch_size=11, micro_batch_size=11)

    assert sorted(sequences(made)) == [(0, [0, 1, 2]), (1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (4, [0]), (5, [0])]


@given(many_rows, seeds)
def test_together_every_pair_comes_once_an_epoch_as_it_does_alone(highest: Ints, seed: int) -> None:
    rule = Drawing("threshold", "all", "none", together=True)
    rows, levels = draw_pairs(highest, rule, np.random.default_rng(seed))

    assert sorted(pairs(rows, levels)) == sorted(
        (row, level) for row, most in enumerate(highest.tolist()) for level in range(most + 1)
    )
    assert len(np.flatnonzero(np.diff(rows))) == len(highest) - 1


@given(many_rows, seeds)
def test_together_in_balance_every_round_has_every_level_once(highest: Ints, seed: int) -> None:
    rule = Drawing("threshold", "all", "levels", together=True)
    rows, levels = draw_pairs(highest, rule, np.random.default_rng(seed))
    count = int(highest.max()) + 1

    assert (levels <= highest[rows]).all()
    assert len(levels) == int((highest + 1).sum())
    assert levels.tolist() == [count - 1 - place % count for place in range(len(levels))]


def test_together_in_balance_every_bin_that_reaches_a_level_has_an_equal_share_of_it() -> None:
    """Bins of 10, 20 and 70 rows: the lowest level is a third of each, the middle one half of two, as drawn alone."""
    highest = np.repeat([2, 1, 0], [200, 400, 1400])
    rule = Drawing("threshold", "all", "levels", together=True)
    rows, levels = draw_pairs(highest, rule, np.random.default_rng(0))
    shares = [[(highest[rows[levels == level]] == bin_).mean() for bin_ in range(3)] for level in range(3)]

    assert shares[2] == [0, 0, 1]
    assert shares[1] == pytest.approx([0, 1 / 2, 1 / 2], abs=0.05)
    assert shares[0] == pytest.approx([1 / 3, 1 / 3, 1 / 3], abs=0.05)


def test_planned_tokens_are_those_that_are_computed() -> None:
    """The toy rows share four tokens; three goals of row 0 have 5, 8 and 11 tokens, of which 4 and 7 are new."""
    made = plan(together=True, batch_size=11, micro_batch_size=11)
    of_row = made.row == 0

    assert made.tokens[of_row].tolist() == [5, 8 - 4, 11 - 4]


def test_a_forward_pass_that_parts_a_row_computes_the_prompt_again() -> None:
    whole, parted = (plan(together=True, batch_size=11, micro_batch_size=size) for size in (11, 1))

    assert parted.tokens.sum() == toy_lengths(parted.row, parted.goal).sum() > whole.tokens.sum()


@given(many_rows.filter(lambda highest: len(highest) > 2), seeds, st.integers(24, 200), st.integers(1, 3))
def test_a_forward_pass_stays_within_its_tokens(highest: Ints, seed: int, most: int, passes: int) -> None:
    """Padding counted: the longest sequence times their number; a step has so many passes."""
    made = plan(highest, together=True, tokens_per_batch=most, batches_per_step=passes, seed=seed)
    parts = list(made.micro_batches())

    for part in parts:
        lengths = np.bincount(made.sequence[part] - made.sequence[part].min(), weights=made.tokens[part])
        lengths = lengths[lengths > 0]
        assert len(lengths) == 1 or lengths.max() * len(lengths) <= most
    assert Counter(pairs(made.row, made.goal)) <= Counter(
        (row, level) for row, reached in enumerate(highest.tolist()) for level in range(reached + 1)
    )
    assert len(parts) == passes * made.steps


def test_every_pair_is_planned_within_a_budget_of_tokens_a_pass() -> None:
    highest = np.arange(200) % 5
    made = plan(highest, together=True, tokens_per_batch=60)

    assert len(made.row) == int((highest + 1).sum())


def test_a_row_counts_once_in_all() -> None:
    """Weights are 1/k for k goals, and 1 on average over the supervised tokens of a step."""
    made = plan(together=True, weighting="rows", batch_size=11, micro_batch_size=11)
    total = {row: made.weight[made.row == row].sum() for row in range(6)}

    assert made.weight.mean() == pytest.approx(1)
    assert list(total.values()) == pytest.approx([11 / 6] * 6)
    assert plan(together=True).weight.tolist() == [1.0] * 10
