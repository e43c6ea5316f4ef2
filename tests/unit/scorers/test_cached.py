"""Kept grades: nothing is graded twice, and what was graded before a failure is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from gcsl_cli.errors import ConfigError, StorageError
from gcsl_cli.scorers.base import Example
from gcsl_cli.scorers.cached import CachedScorer, Done
from gcsl_cli.scorers.python import PythonScorer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/grades"


@dataclass
class Counting(CachedScorer):
    """Grades by length, one at a time; `?` is a failure and `-` has no grade."""

    name: str = "counting"
    setting: int = 0
    asked: list[str] = field(default_factory=list)

    def grade_new(self, examples: Sequence[Example], done: Done) -> None:
        for index, example in enumerate(examples):
            if example.completion == "?":
                raise ConfigError("down")
            self.asked.append(example.completion)
            done([index], [np.nan if example.completion == "-" else float(len(example.completion))])

    def keys(self) -> dict[str, object]:
        return {key: value for key, value in super().keys().items() if key != "asked"}


def completed(*texts: str) -> list[Example]:
    return [Example("Hi", text) for text in texts]


def test_equal_examples_are_graded_once() -> None:
    first, second = Counting(), Counting()

    assert first(completed("a", "bb", "a")).tolist() == second(completed("a", "bb", "a")).tolist() == [1, 2, 1]
    assert (first.asked, second.asked) == (["a", "bb"], [])


@pytest.mark.parametrize(
    "other",
    [
        Example("Ho", "a"),
        Example("Hi", "a", "b"),
        Example("Hi", "a", columns={"c": 1}),
        Example("Hi", "a", format="chat"),
    ],
)
def test_what_a_grade_depends_on_makes_another(other: Example) -> None:
    Counting()(completed("a"))
    again = Counting()
    again([other])

    assert again.asked == ["a"]


def test_another_setting_has_other_grades(cache: Path) -> None:
    Counting()(completed("a"))
    other = Counting(setting=1)
    other(completed("a"))

    assert other.asked == ["a"]
    assert len(list(cache.iterdir())) == 2


def test_an_interruption_keeps_what_was_graded() -> None:
    with pytest.raises(ConfigError):
        Counting()(completed("a", "bb", "?", "c"))
    again = Counting()
    again(completed("a", "bb", "c"))

    assert again.asked == ["c"]


def test_a_missing_grade_is_tried_again() -> None:
    """It may have been a passing failure."""
    assert np.isnan(Counting()(completed("-"))).all()
    again = Counting()
    again(completed("-"))

    assert again.asked == ["-"]


def test_without_the_cache_nothing_is_kept(cache: Path) -> None:
    assert Counting(cache=False)(completed("a")).tolist() == [1]
    assert Counting(cache=False).keys() == Counting().keys()
    assert not cache.exists()


def test_a_damaged_file_is_named(cache: Path) -> None:
    Counting()(completed("a"))
    (path,) = cache.iterdir()
    path.write_bytes(b"no database" * 100)

    with pytest.raises(StorageError, match="file is not a database") as error:
        Counting()(completed("a"))
    assert str(path) in str(error.value)


# Functions

REWARDS = """
VERSION = 1

def brevity(prompts, completions, topic, **columns):
    assert prompts == ["Hi"] * len(completions)
    return [None if text == "-" else 1 / (1 + len(text.split())) for text in completions]

def short(completions):
    return [0.0]

def broken(completions):
    return [1 / 0 for _ in completions]

def turns(prompts, completions):
    return [len(prompt) + (completion[0]["role"] == "assistant") for prompt, completion in zip(prompts, completions)]
"""


@pytest.fixture
def rewards(tmp_path: Path) -> Path:
    path = tmp_path / "rewards.py"
    path.write_text(REWARDS, encoding="utf-8")
    return path


def test_a_function_grades_in_batches(rewards: Path) -> None:
    scorer = PythonScorer(function=f"{rewards}:brevity", batch_size=2)
    scorer.check()
    grades = scorer([Example("Hi", text, columns={"topic": "x"}) for text in ("a", "-", "a b c")])

    assert grades.tolist()[::2] == [0.5, 0.25]
    assert np.isnan(grades[1])
    assert scorer.ungraded == {"the function has no grade": 1}


def test_a_function_gets_conversations_as_messages(rewards: Path) -> None:
    prompt = '[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]'
    assert PythonScorer(function=f"{rewards}:turns")([Example(prompt, "a", format="messages")]).tolist() == [3]


def test_another_version_of_the_file_makes_other_grades(rewards: Path) -> None:
    before = PythonScorer(function=f"{rewards}:brevity").keys()
    rewards.write_text(REWARDS + "\n", encoding="utf-8")

    assert PythonScorer(function=f"{rewards}:brevity").keys() != before
    assert PythonScorer(function=f"{rewards}:brevity", batch_size=1).keys() != before


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("rewards.py", "write FILE.py:NAME"),
        ("nowhere.py:f", "there is no file nowhere.py"),
        ("{path}:brevty", "has no function brevty. Did you mean brevity?"),
        ("{path}:VERSION", "has no function VERSION. It has a value VERSION."),
        ("{path}:short", "1 grades for 2 completions"),
        ("{path}:broken", "failed on a batch of 2 (ZeroDivisionError: division by zero)"),
    ],
)
def test_an_unusable_function_is_explained(rewards: Path, function: str, said: str) -> None:
    scorer = PythonScorer(function=function.replace("{path}", str(rewards)))
    with pytest.raises(ConfigError) as error:
        scorer(completed("a", "b"))
    assert said in str(error.value)
