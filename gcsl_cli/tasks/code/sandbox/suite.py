"""Split a problem's tests so that each one counts separately.

    def check(candidate):                def check(candidate):
        cases = [1, 2]                       cases = [1, 2]
        assert candidate(3) == 4             with __test__(0): assert candidate(3) == 4
        for case in cases:                   with __test__(1):
            assert candidate(case) > 0           for case in cases: ...

A failed test does not stop the ones after it. Statements that test nothing stay in place.
"""

import ast
import builtins
from collections.abc import Iterator, Sequence
from types import CodeType
from typing import Any

MARK = "__test__"


class TestScope:
    """Context manager around one test: records how it ended and lets the next one run."""

    def __init__(self, outcomes: dict[int, BaseException | None], number: int) -> None:
        self.outcomes = outcomes
        self.number = number

    def __enter__(self) -> None:
        """Do nothing; the outcome is recorded at the end."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Record the outcome and suppress the exception."""
        self.outcomes[self.number] = error
        return True


class Suite:
    """Compiled tests of one problem: a single text that defines `check(candidate)`, or one text per test."""

    def __init__(self, setup: str, tests: Sequence[str], entry: str) -> None:
        """Compile the setup, which runs before the tests, and the tests of `entry`; `SyntaxError` for invalid code."""
        self.setup = compile(setup, "setup", "exec", dont_inherit=True)
        trees = [ast.parse(test) for test in tests]
        known = {entry, "candidate", MARK, "__name__", "__file__", *dir(builtins)} | _bound(ast.parse(setup))
        self.entry = entry
        check = _check(trees[0]) if len(trees) == 1 else None
        if check is not None:
            self.count = _split(check, entry)
            call = ast.Expr(ast.Call(ast.Name("check", ast.Load()), [ast.Name(entry, ast.Load())], []))
            trees[0].body.append(call)
        else:
            self.count = len(trees)
            for number, tree in enumerate(trees):
                tree.body = [_marked(tree.body, number)]
        everything = ast.Module([node for tree in trees for node in tree.body], [])
        self.unknown = _loaded(everything) - _bound(everything) - known
        """Names that only the candidate can define."""
        self.parts: list[CodeType] = [compile(ast.fix_missing_locations(tree), "tests", "exec") for tree in trees]

    def run(self, names: dict[str, Any]) -> list[BaseException | None]:
        """How each test ended, in order. Tests that were not reached get the exception that stopped the run."""
        outcomes: dict[int, BaseException | None] = {}
        names[MARK] = lambda number: TestScope(outcomes, number)
        stopped: BaseException = AssertionError("not reached")
        try:
            for part in self.parts:
                exec(part, names)
        except BaseException as error:  # noqa: BLE001
            stopped = error
        return [outcomes.get(number, stopped) for number in range(self.count)]


def _check(tree: ast.Module) -> ast.FunctionDef | None:
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    return found[-1] if found else None


def _split(check: ast.FunctionDef, entry: str) -> int:
    """Mark the tests in the body of `check` in place and return their number."""
    kept = [node for node in check.body if not _vacuous(node)]
    names = {check.args.args[0].arg if check.args.args else entry, entry}
    chosen = [node for node in kept if _tests(node, names)]
    leaves_early = (ast.Return, ast.Yield, ast.YieldFrom, ast.Await)
    if not chosen or any(isinstance(node, leaves_early) for node in _own(check)):
        check.body = [_marked(check.body, 0)]
        return 1
    numbers = {id(node): number for number, node in enumerate(chosen)}
    check.body = [_marked([node], numbers[id(node)]) if id(node) in numbers else node for node in kept]
    return len(chosen)


def _vacuous(node: ast.stmt) -> bool:
    """Whether this is an assertion of a true constant, such as HumanEval's `assert True, "for debugging"`."""
    return isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant) and bool(node.test.value)


def _tests(node: ast.stmt, names: set[str]) -> bool:
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.FunctionDef | ast.ClassDef):
        return False
    return any(
        isinstance(part, ast.Assert) or (isinstance(part, ast.Name) and part.id in names) for part in ast.walk(node)
    )


def _own(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Nodes of a function, excluding those of nested functions and classes."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def _marked(body: list[ast.stmt], number: int) -> ast.With:
    call = ast.Call(ast.Name(MARK, ast.Load()), [ast.Constant(number)], [])
    return ast.With([ast.withitem(call)], body or [ast.Pass()])


def _loaded(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _bound(tree: ast.AST) -> set[str]:
    """Names that the code binds in any scope."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found
