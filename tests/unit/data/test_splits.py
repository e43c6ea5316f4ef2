"""Splits: assigned by a hash of the prompt, with a minimum size."""

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.data.splits import SplitConfig, prompt_id, split_prompts
from gcsl_cli.errors import ConfigError, DataError

MANY = [f"prompt {number}" for number in range(2000)]
SMALL = SplitConfig(minimum=2)


def splits(texts: list[str], split: SplitConfig) -> dict[str, str]:
    return {prompt.text: prompt.split for prompt in split_prompts(texts, split)}


def test_prompt_identity_ignores_case_and_whitespace() -> None:
    assert prompt_id("Hello  World\n") == hashlib.sha256(b"hello world").hexdigest()[:16]
    assert prompt_id(" hello\tworld") == prompt_id("Hello World")
    assert prompt_id("hello, world") != prompt_id("hello world")


def test_distinct_prompts_are_ordered_by_hash() -> None:
    """The SHA-256 of d, f, c, b, e, a starts with 18, 25, 2e, 3e, 3f, ca."""
    prompts = split_prompts(["b", "a", " B ", "c", "a", "d", "e", "f"], SMALL)

    assert [prompt.text for prompt in prompts] == ["d", "f", "c", "b", "e", "a"]
    assert [prompt.prompt_id[:2] for prompt in prompts] == ["18", "25", "2e", "3e", "3f", "ca"]


def test_the_first_prompts_are_a_fair_sample_of_all_splits() -> None:
    """About a fifth of the first 500 prompts, 100, are test prompts; four standard deviations are 36."""
    first = split_prompts(MANY, SplitConfig())[:500]

    assert abs(sum(prompt.split == "test" for prompt in first) - 100) < 36


def test_splits_have_the_configured_shares() -> None:
    """400 and 200 of 2,000 prompts, within four standard deviations of 18 and 13."""
    counts = Counter(splits(MANY, SplitConfig(test=0.2, validation=0.1)).values())

    assert abs(counts["test"] - 400) < 72
    assert abs(counts["validation"] - 200) < 54


def test_the_salted_hash_decides_the_split() -> None:
    """Test prompts are those whose SHA-256 of "gcsl:ID" has its first 64 bits in the lowest fifth of their range."""
    expected = {}
    for text in MANY:
        digest = hashlib.sha256(f"gcsl:{prompt_id(text)}".encode()).hexdigest()
        draw = int(digest[:16], 16) / 16**16
        expected[text] = "test" if draw < 0.2 else "validation" if draw < 0.3 else "train"

    assert splits(MANY, SplitConfig()) == expected


def test_a_split_does_not_depend_on_other_prompts() -> None:
    whole, part = splits(MANY, SplitConfig()), splits(MANY[::-2], SplitConfig())

    assert all(whole[text] == part[text] for text in part)


def test_another_salt_gives_another_split() -> None:
    assert splits(MANY, SplitConfig(salt="a")) != splits(MANY, SplitConfig(salt="b"))


@given(
    count=st.integers(6, 60),
    test=st.floats(0, 0.6),
    validation=st.floats(0, 0.39),
    salt=st.text(max_size=5),
    minimum=st.integers(1, 2),
)
def test_no_split_is_smaller_than_the_minimum(
    count: int, test: float, validation: float, salt: str, minimum: int
) -> None:
    counts = Counter(splits(MANY[:count], SplitConfig(test, validation, minimum, salt)).values())

    assert sum(counts.values()) == count
    least = {"train": minimum, "validation": minimum if validation else 0, "test": minimum if test else 0}
    assert all(counts[name] >= size for name, size in least.items())
    assert (counts["validation"] > 0, counts["test"] > 0) == (validation > 0, test > 0)


def test_too_few_prompts_are_refused() -> None:
    with pytest.raises(DataError, match="There are 23 distinct prompts; 3 splits of at least 8 need 24"):
        split_prompts(MANY[:23] + MANY[:23], SplitConfig())


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "There is 1 distinct prompt; 3 splits of at least 8 need 24. Supply more prompts; task.split.test=0 task"),
        (5, "There are 5 distinct prompts; .* task.split.minimum=1 makes smaller splits, or task.split.test=0 task"),
    ],
)
def test_the_error_names_the_settings_that_help(count: int, said: str) -> None:
    with pytest.raises(DataError, match=said):
        split_prompts(MANY[:count], SplitConfig())
    everything = splits(MANY[:count], SplitConfig(test=0, validation=0))
    assert set(everything.values()) == {"train"}
    if count == 5:
        counts = Counter(splits(MANY[:count], SplitConfig(minimum=1)).values())
        assert min(counts[name] for name in ("train", "validation", "test")) == 1


def test_just_enough_prompts_are_split_evenly() -> None:
    assert Counter(splits(MANY[:24], SplitConfig()).values()) == {"test": 8, "validation": 8, "train": 8}


@pytest.mark.parametrize(
    "changes", [{"test": -0.1}, {"validation": -0.1}, {"test": 0.6, "validation": 0.4}, {"minimum": 0}]
)
def test_invalid_shares_are_refused(changes: dict[str, float]) -> None:
    name, value = next(iter(changes.items()))

    with pytest.raises(ConfigError, match=rf"task\.split: .*{name}={value}.*Omit them to use the defaults"):
        split_prompts(MANY, SplitConfig(**changes))  # type: ignore[arg-type]
