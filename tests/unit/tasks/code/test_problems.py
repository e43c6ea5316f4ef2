"""Splits of problems."""

from collections import Counter

import pytest

from gcsl_cli.data.splits import SplitConfig
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.tasks.code.problems import CodeProblem, ProblemSet

SPLIT = SplitConfig(test=0.3, validation=0.2, minimum=2)


def problem(number: int, split: str = "", kind: str = "T") -> CodeProblem:
    return CodeProblem(f"{kind}/{number}", f"{kind} {number}", "f", ("assert f()",), split=split)


def identities(found: ProblemSet, *splits: str) -> set[str]:
    return {one.identity for one in found.of_split(*splits)}


def test_one_file_is_split_by_hash() -> None:
    found = ProblemSet.of([problem(number) for number in range(40)], None, SPLIT, overlap=False)
    counts = Counter(found.splits.values())

    assert counts.total() == 40
    assert min(counts[name] for name in ("train", "validation", "test")) >= 2
    assert not identities(found, "test") & identities(found, "train", "validation")
    assert [prompt.text for prompt in found.prompts("test")] == [one.prompt for one in found.of_split("test")]
    assert found.split_sizes() == ", ".join(f"{counts[name]} {name}" for name in ("train", "validation", "test"))


def test_an_official_split_is_kept() -> None:
    splits = ["train", "none", "validation", "test"]
    found = ProblemSet.of([problem(number, split) for number, split in enumerate(splits)], None, SPLIT, overlap=False)

    assert [identities(found, split) for split in splits] == [{"T/0"}, {"T/1"}, {"T/2"}, {"T/3"}]


def test_separate_evaluation_problems() -> None:
    """All of them are evaluated. An official test split of the others is unused, a hash-based one is trained on."""
    tests = [problem(number, kind="E") for number in range(3)]
    named = [problem(0, "train"), problem(1, "validation"), problem(2, "test")]
    official = ProblemSet.of(named, tests, SPLIT, overlap=False)
    drawn = ProblemSet.of([problem(number) for number in range(20)], tests, SPLIT, overlap=False)

    assert identities(official, "test") == identities(drawn, "test") == {"E/0", "E/1", "E/2"}
    assert identities(official, "none") == {"T/2"}
    assert len(identities(drawn, "train", "validation")) == 20


@pytest.mark.parametrize("other", [problem(3), CodeProblem("other", "t   3", "f", ("assert f()",))])
def test_overlap_is_refused_unless_allowed(other: CodeProblem) -> None:
    """The same identity, or the same prompt apart from case and whitespace."""
    problems = [problem(number) for number in range(20)]
    with pytest.raises(ConfigError, match=r"1 training problems are evaluation problems as well \(T/3, ...\)"):
        ProblemSet.of(problems, [other], SPLIT, overlap=False)

    assert identities(ProblemSet.of(problems, [other], SPLIT, overlap=True), "test") == {other.identity}


def test_repeated_prompts_and_empty_splits() -> None:
    same = CodeProblem("again", "T 3", "f", ("assert f()",))
    found = ProblemSet.of([*[problem(number) for number in range(9)], same], None, SPLIT, overlap=False)

    assert found.faults.counts == {"a problem with the same prompt as another one": 1}
    with pytest.raises(DataError, match="The validation split is empty"):
        ProblemSet.of([problem(1, "train"), problem(2, "test")], None, SPLIT, overlap=False)
