"""Which problems are trained on and which are evaluated."""

from collections import Counter

import pytest

from gcsl_cli.data.splits import SplitConfig
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.tasks.code.pool import Pool
from gcsl_cli.tasks.code.records import CodeProblem

SPLIT = SplitConfig(test=0.3, validation=0.2, minimum=2)


def problem(number: int, split: str = "", kind: str = "T") -> CodeProblem:
    return CodeProblem(f"{kind}/{number}", f"{kind} {number}", "f", ("assert f()",), split=split)


def identities(pool: Pool, *splits: str) -> set[str]:
    return {found.identity for found in pool.of_split(*splits)}


def test_one_file_is_split_by_a_hash() -> None:
    pool = Pool.of([problem(number) for number in range(40)], None, SPLIT, overlap=False)
    counts = Counter(pool.splits.values())

    assert counts.total() == 40
    assert min(counts[name] for name in ("train", "validation", "test")) >= 2
    assert not identities(pool, "test") & identities(pool, "train", "validation")
    assert [prompt.text for prompt in pool.prompts("test")] == [found.prompt for found in pool.of_split("test")]
    assert pool.told() == ", ".join(f"{counts[name]} {name}" for name in ("train", "validation", "test"))


def test_an_official_split_is_kept() -> None:
    splits = ["train", "none", "validation", "test"]
    pool = Pool.of([problem(number, split) for number, split in enumerate(splits)], None, SPLIT, overlap=False)

    assert [identities(pool, split) for split in splits] == [{"T/0"}, {"T/1"}, {"T/2"}, {"T/3"}]


def test_problems_of_their_own_for_evaluation() -> None:
    """All of them are evaluated; the others' official test problems are used for nothing, drawn ones are trained on."""
    tests = [problem(number, kind="E") for number in range(3)]
    official = Pool.of([problem(0, "train"), problem(1, "validation"), problem(2, "test")], tests, SPLIT, overlap=False)
    drawn = Pool.of([problem(number) for number in range(20)], tests, SPLIT, overlap=False)

    assert identities(official, "test") == identities(drawn, "test") == {"E/0", "E/1", "E/2"}
    assert identities(official, "none") == {"T/2"}
    assert len(identities(drawn, "train", "validation")) == 20


@pytest.mark.parametrize("other", [problem(3), CodeProblem("other", "t   3", "f", ("assert f()",))])
def test_problems_for_training_are_not_evaluated_unless_told(other: CodeProblem) -> None:
    """The same name, or the same text in other letters and spaces."""
    given = [problem(number) for number in range(20)]
    with pytest.raises(ConfigError, match=r"1 problems for training are evaluation problems too \(T/3, ...\)"):
        Pool.of(given, [other], SPLIT, overlap=False)

    assert identities(Pool.of(given, [other], SPLIT, overlap=True), "test") == {other.identity}


def test_a_prompt_counts_once_and_all_splits_are_needed() -> None:
    same = CodeProblem("again", "T 3", "f", ("assert f()",))
    pool = Pool.of([*[problem(number) for number in range(9)], same], None, SPLIT, overlap=False)

    assert pool.faults.counts == {"a problem with the prompt of another one": 1}
    with pytest.raises(DataError, match="No problem is in the split 'validation'"):
        Pool.of([problem(1, "train"), problem(2, "test")], None, SPLIT, overlap=False)
