"""Feedback of several rounds: what is kept, what is added, and which round a row is from."""

import pytest

from gcsl_cli.data.merging import merged, round_numbers
from gcsl_cli.data.records import FeedbackRow, FeedbackRows


def rows(*completions: str, source: str = "rollouts") -> FeedbackRows:
    """Rows of one prompt whose scores are the lengths of the completions."""
    return FeedbackRows.of(FeedbackRow("p", text, len(text), "1", "train", True, source) for text in completions)


def test_new_rows_name_their_round() -> None:
    found = merged(rows("a", "bb"), rows("ccc"), 2, None)

    assert [(row.completion, row.score, row.source) for row in found] == [
        ("a", 1.0, "rollouts"),
        ("bb", 2.0, "rollouts"),
        ("ccc", 3.0, "round 2: rollouts"),
    ]
    assert round_numbers(found).tolist() == [1, 1, 2]


def test_a_completion_that_is_kept_is_not_added_again() -> None:
    """Of the same round, a completion may come several times: the policy likes it. Another prompt's is another row."""
    other = FeedbackRows.of([FeedbackRow("q", "a", 1.0, "2", "train")])
    found = merged(rows("a", "a"), FeedbackRows.of([*rows("a", "bb", "bb"), *other]), 2, None)

    assert [(row.prompt_id, row.completion) for row in found] == [
        ("1", "a"),
        ("1", "a"),
        ("1", "bb"),
        ("1", "bb"),
        ("2", "a"),
    ]


@pytest.mark.parametrize(
    ("kept", "completions"), [(None, ["a", "b", "c", "text"]), (1, ["c", "text"]), (2, ["b", "c", "text"])]
)
def test_the_newest_rounds_are_kept(kept: int | None, completions: list[str]) -> None:
    """`text` is given: every round has it, and whatever is kept has it once."""
    second = merged(rows("a", "text"), rows("b", "text"), 2, kept)
    third = merged(second, rows("c", "text"), 3, kept)

    assert sorted(row.completion for row in third) == completions


def test_a_source_of_many_digits_is_read() -> None:
    assert round_numbers(rows("a", source="round 12: texts")).tolist() == [12]
    assert round_numbers(rows("a", source="round table")).tolist() == [1]
