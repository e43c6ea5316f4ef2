"""Wordings: picking sentences, filling templates, rejecting invalid ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.scale import Scale, short_numbers
from gcsl_cli.goals.wording import (
    check_distinct,
    check_template,
    control_tokens,
    default_template,
    fill_template,
    goal_texts,
    pick_sentences,
)

STARS = Scale("helpfulness", 1.0, 5.0)
SECONDS = Scale("run time", 0.0, 30.0, lower_is_better=True)


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([1.0, 2.0, 5.0], ("1", "2", "5")),
        ([0.1 + 0.2, 0.9], ("0.3", "0.9")),
        ([0.12345, 0.12346], ("0.12345", "0.12346")),
        ([12345.0, 12346.7], ("12345", "12347")),
        ([1e-07, 0.5], ("0.0000001", "0.5")),
        ([-2.5, 0.0], ("-2.5", "0")),
        ([0.5, 0.5], ("0.5", "0.5")),
        ([float("inf")], ("inf",)),
    ],
)
def test_numbers_are_short_and_distinct(values: list[float], written: tuple[str, ...]) -> None:
    assert short_numbers(values) == written


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20, unique=True))
def test_distinct_numbers_have_distinct_texts(values: list[float]) -> None:
    assert len(set(short_numbers(values))) == len(set(values))


def test_lower_is_better_scale_negates_grades() -> None:
    assert (SECONDS.score(12.0), SECONDS.grade(-12.0), STARS.score(4.0)) == (-12.0, 12.0, 4.0)
    assert str(SECONDS.grade(0.0)) == "0.0"


@pytest.mark.parametrize(
    ("formulation", "per", "scale", "text"),
    [
        ("threshold", "dataset", STARS, "Give a response whose helpfulness is at least 4 on a scale from 1 to 5."),
        ("exact", "dataset", STARS, "Give a response whose helpfulness is 4 on a scale from 1 to 5."),
        ("threshold", "dataset", SECONDS, "Give a response whose run time is at most 4 on a scale from 0 to 30."),
    ],
)
def test_default_wording_from_the_scale(formulation: str, per: str, scale: Scale, text: str) -> None:
    template = default_template("language", formulation, per, "distinct", scale)
    check_template(template, per, "distinct")

    assert fill_template(template, [4.0], scale) == (text,)


def test_default_wording_for_quantiles_within_prompts() -> None:
    template = default_template("language", "threshold", "prompt", "quantile", STARS)
    check_template(template, "prompt", "quantile")

    assert fill_template(template, [0.8], STARS) == (
        "Give a response whose helpfulness beats at least 80% of the other responses.",
    )


def test_number_wording_is_the_bare_number() -> None:
    assert fill_template(default_template("number", "exact", "dataset", "fixed", STARS), [1.0, 4.5], STARS) == (
        "1",
        "4.5",
    )


def test_formats_indices_and_braces() -> None:
    assert fill_template("{{q}}:{index} {level:.2f} {low}-{high:.1f}", [1.0, 4.5], STARS) == (
        "{q}:0 1.00 1-5.0",
        "{q}:1 4.50 1-5.0",
    )


@pytest.mark.parametrize(
    ("template", "per", "rule", "message"),
    [
        ("", "dataset", "fixed", "no placeholder identifies the level"),
        ("be good", "dataset", "fixed", "no placeholder identifies the level"),
        ("from {low} to {high}", "dataset", "fixed", "no placeholder identifies the level"),
        ("{levle}", "dataset", "fixed", "{levle}: no such placeholder. Did you mean level"),
        ("{}", "dataset", "fixed", "{}: no such placeholder"),
        ("{0}", "dataset", "fixed", "{0}: no such placeholder"),
        ("{level.real}", "dataset", "fixed", "{level.real}: no such placeholder"),
        ("{level", "dataset", "fixed", "Write {{ and }} for literal braces"),
        ("{level} }", "dataset", "fixed", "Write {{ and }} for literal braces"),
        ("{level!r}", "dataset", "fixed", "remove the !r"),
        ("{percent}", "dataset", "quantile", "{percent}: not available with these levels"),
        ("{index}", "dataset", "raw", "{index}: not available with these levels"),
        ("{level}", "dataset", "raw", "raw scores need a number of digits"),
    ],
)
def test_invalid_templates_are_rejected(template: str, per: str, rule: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_template(template, per, rule)
    assert message in str(error.value)
    assert "goal.template=" in str(error.value)


@pytest.mark.parametrize("template", ["{level:q}", "{index:.2q}", "{name:d} {level}"])
def test_format_that_does_not_suit_its_value_is_rejected(template: str) -> None:
    with pytest.raises(ConfigError, match="a format does not suit its value"):
        fill_template(template, [1.0, 2.0], STARS)


def test_control_tokens_replace_phrases() -> None:
    assert goal_texts("token", ("bad", "good")) == ("<|goal_0|>", "<|goal_1|>")
    assert goal_texts("language", ("bad", "good")) == ("bad", "good")
    assert goal_texts("token", ("bad", "good"), 2) == ("<|goal_0_0|><|goal_0_1|>", "<|goal_1_0|><|goal_1_1|>")


def test_control_tokens_are_extracted_from_a_text() -> None:
    assert control_tokens("<|goal_0|>") == ["<|goal_0|>"]
    assert control_tokens("".join(goal_texts("token", ("bad",) * 12, 11)))[-1] == "<|goal_11_10|>"
    assert control_tokens("a goal in words") == []


@pytest.mark.parametrize(("count", "picked"), [(2, "AE"), (3, "ACE"), (4, "ABDE"), (5, "ABCDE")])
def test_sentences_are_spread_evenly_over_levels(count: int, picked: str) -> None:
    """Four of five sentences: 0, 4/3, 8/3, 4 round to 0, 1, 3, 4."""
    assert "".join(pick_sentences("ABCDE", count)) == picked


@given(st.integers(2, 40), st.integers(2, 40))
def test_picked_sentences_are_distinct_ordered_and_include_both_ends(available: int, count: int) -> None:
    sentences = [f"{index:02}" for index in range(available)]
    if count > available:
        with pytest.raises(ConfigError, match=f"{count} levels but only {available} sentences"):
            pick_sentences(sentences, count)
        return
    picked = list(pick_sentences(sentences, count))

    assert picked == sorted(set(picked))
    assert (len(picked), picked[0], picked[-1]) == (count, sentences[0], sentences[-1])


@pytest.mark.parametrize("template", ["{level:>100}", "{level:.999f}", "{index:0123456}"])
def test_enormous_widths_are_refused(template: str) -> None:
    with pytest.raises(ConfigError, match="a width or precision has at most two digits"):
        check_template(template, "dataset", "fixed")


@pytest.mark.parametrize(
    ("phrases", "said"),
    [
        (("", "a"), r"goal\.template words 1 of 2 levels as ''"),
        (("a", " "), "words 1 of 2 levels as ' '"),
        (("0", "0", "1"), "words 2 of 3 levels as '0'"),
    ],
)
def test_levels_that_cannot_be_told_apart_are_refused(phrases: tuple[str, ...], said: str) -> None:
    check_distinct(("a", "b"), "goal.template")
    with pytest.raises(ConfigError, match=said):
        check_distinct(phrases, "goal.template")
