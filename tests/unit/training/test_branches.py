"""Packing rows with a common prefix: shared tokens, sequence limits and token counts."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.models.prompting import EncodedRow
from gcsl_cli.training.branches import Branched, branched, computed_tokens, sequence_starts, shared_tokens

INF = float("inf")


def row(ids: Sequence[int], prompt: int) -> EncodedRow:
    return EncodedRow(list(ids), prompt, truncated=False, retokenized=False)


ONE = row([1, 2, 3, 7, 9], 4)
"""The prompt 1 2 3, the goal 7, the completion 9."""
OTHER = row([1, 2, 3, 8, 9, 9], 4)


def lengths(rows: Sequence[EncodedRow]) -> np.ndarray:
    return np.array([len(row.input_ids) for row in rows])


def test_no_rows() -> None:
    assert branched([], np.zeros(0, dtype=np.int64), INF) == []


def test_goals_of_one_row_share_the_prompt() -> None:
    assert branched([ONE, OTHER], np.array([0, 0]), INF) == [Branched((ONE, OTHER), 3)]
    assert Branched((ONE, OTHER), 3).tokens == 3 + 2 + 3


def test_goals_with_a_common_prefix_share_it_too() -> None:
    """Only tokens matter: goals 4 7 and 4 8 have the 4 in common."""
    rows = [row([1, 2, 4, 7, 9], 4), row([1, 2, 4, 8, 9], 4)]

    assert shared_tokens(rows, np.array([0, 0])).tolist() == [0, 3]


def test_less_is_shared_if_prompt_and_goal_merge_into_a_token() -> None:
    """In the second row the end of the prompt and the start of the goal merge into the token 50."""
    rows = [row([1, 2, 3, 7, 9], 4), row([1, 2, 50, 9], 3)]

    assert branched(rows, np.array([0, 0]), INF)[0].shared == 2


def test_equal_rows_of_different_examples_share_nothing() -> None:
    assert branched([ONE, ONE], np.array([0, 1]), INF) == [Branched((ONE,), 0), Branched((ONE,), 0)]


def test_the_last_token_of_the_prompt_stays_in_the_branch() -> None:
    """It predicts the first supervised token, so even two equal rows do not share it."""
    assert branched([ONE, ONE], np.array([3, 3]), INF) == [Branched((ONE, ONE), 3)]


def test_rows_with_different_first_tokens_are_separate_sequences() -> None:
    rows = [row([1, 2, 9], 2), row([5, 2, 9], 2)]

    assert [sequence.shared for sequence in branched(rows, np.array([0, 0]), INF)] == [0, 0]


def test_several_rows_share_the_prefix_common_to_all() -> None:
    rows = [row([1, 2, 3, 4, 9], 4), row([1, 2, 3, 5, 9], 4), row([1, 2, 6, 5, 9], 4)]
    (sequence,) = branched(rows, np.array([0, 0, 0]), INF)

    assert (sequence.shared, sequence.tokens) == (2, 2 + 3 * 3)


def test_branches_beyond_the_limit_go_into_another_sequence() -> None:
    """Five rows of five tokens, four of them shared: a limit of six gives sequences of two, two and one rows."""
    rows = [row([1, 2, 3, 4, 5 + number], 5) for number in range(5)]
    sequences = branched(rows, np.zeros(5, dtype=np.int64), 6)

    assert [len(sequence.rows) for sequence in sequences] == [2, 2, 1]
    assert [sequence.tokens for sequence in sequences] == [6, 6, 5]


def test_row_longer_than_the_limit_is_still_a_sequence() -> None:
    assert branched([OTHER, ONE, ONE], np.array([0, 0, 0]), 2) == [
        Branched((OTHER,), 0),
        Branched((ONE,), 0),
        Branched((ONE,), 0),
    ]


rows_of_examples = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.integers(0, 1), min_size=2, max_size=8), st.integers(1, 8)), max_size=12
).map(lambda rows: [(example, row(ids, min(prompt, len(ids) - 1))) for example, ids, prompt in rows])


@given(rows_of_examples, st.integers(1, 30) | st.just(INF))
def test_sequences_contain_every_row_once_with_predicted_tokens(
    given_rows: list[tuple[int, EncodedRow]], limit: float
) -> None:
    index = np.array([example for example, _ in given_rows], dtype=np.int64)
    rows = [encoded for _, encoded in given_rows]
    sequences = branched(rows, index, limit) if rows else []

    assert [encoded for sequence in sequences for encoded in sequence.rows] == rows
    for sequence in sequences:
        begin = sequence.rows[0].input_ids[: sequence.shared]
        assert all(encoded.input_ids[: sequence.shared] == begin for encoded in sequence.rows)
        assert all(sequence.shared < encoded.prompt_tokens for encoded in sequence.rows)
        assert len(sequence.rows) == 1 or sequence.tokens <= limit

    shared = shared_tokens(rows, index)
    starts = sequence_starts(lengths(rows), shared, limit)
    computed = computed_tokens(lengths(rows), shared, starts)
    assert starts.sum() == len(sequences)
    assert computed.sum() == sum(sequence.tokens for sequence in sequences)
