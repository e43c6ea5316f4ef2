"""Splitting a suite: what counts as a test, what remains setup, and what a failure stops."""

import pytest

from gcsl_cli.tasks.code.sandbox.suite import Suite

CHECK = """
def check(candidate):
    cases = [1, 2]
    assert candidate(1) == 1
    assert True, "for debugging"
    for case in cases:
        assert candidate(case) == case
    result = candidate(3)
    assert result == 3
"""


def passed(suite: Suite, **names: object) -> list[bool]:
    return [error is None for error in suite.run({"__name__": "tests", **names})]


def test_a_check_function_is_split_at_its_tests() -> None:
    """The three tests are an assertion, a loop and an assertion; `assert True` is dropped."""
    suite = Suite("", (CHECK,), "same")
    assert suite.count == 3
    assert passed(suite, same=lambda n: n) == [True, True, True]
    assert passed(suite, same=lambda n: 1) == [True, False, False]
    assert passed(suite, same=lambda n: 3) == [False, False, True]


def test_a_failing_setup_statement_fails_the_tests_after_it() -> None:
    def fails_at_three(n: int) -> int:
        if n == 3:
            raise ValueError(n)
        return n

    outcomes = Suite("", (CHECK,), "same").run({"same": fails_at_three})
    assert [type(error) for error in outcomes] == [type(None), type(None), ValueError]


@pytest.mark.parametrize(
    "body", ["    if candidate(1) == 1:\n        return\n    assert False\n", "    helper(candidate)\n", "    pass\n"]
)
def test_a_check_that_cannot_be_split_is_one_test(body: str) -> None:
    setup = "def helper(candidate):\n    assert candidate(1) == 1\n"
    suite = Suite(setup, (f"def check(candidate):\n{body}",), "same")
    names: dict[str, object] = {"same": lambda n: n}
    exec(setup, names)
    assert suite.count == 1
    assert passed(suite, **names) == [True]


def test_each_text_is_a_test() -> None:
    suite = Suite("", ("assert double(2) == 4", "import math\nassert math.isclose(double(0.1), 0.2)"), "double")
    assert passed(suite, double=lambda n: n * 2) == [True, True]
    assert passed(suite, double=lambda n: 4) == [True, False]


def test_names_that_only_the_candidate_can_define() -> None:
    assert Suite("", ("assert area(Square(2)) == 4",), "area").unknown == {"Square"}
    assert Suite("root = Node(1)", ("assert depth(root) == 1",), "depth").unknown == set()
    assert Suite("class Square: pass", ("assert area(Square()) == [x for x in range(4)]",), "area").unknown == set()


def test_an_exit_in_a_test_fails_that_test() -> None:
    outcomes = Suite("", ("raise SystemExit", "assert f() == 1"), "f").run({"f": lambda: 1})
    assert [type(error) for error in outcomes] == [SystemExit, type(None)]
