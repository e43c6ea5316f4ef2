r"""Read problems from files in the formats of common datasets; count unusable rows with their place and reason.

HumanEval   {"task_id": "HumanEval/0", "prompt": "def add(a, b):\n", "entry_point": "add",
             "test": "def check(candidate): ...", "canonical_solution": "    return a + b\n"}
MBPP        {"task_id": 11, "text": "Write a function to ...", "code": "def add(a, b): ...",
             "test_list": ["assert ..."], "test_setup_code": ""}
EvalPlus    {"task_id": ..., "prompt": ..., "entry_point": ..., "canonical_solution": ..., "base_input": [[1, 2]],
             "plus_input": [[3, 4]], "atol": 0}
Other       {"prompt": ..., "tests": ["assert add(1, 2) == 3"], "entry_point": "add", "solution": ..., "setup": ...}
"""

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gcsl_cli.data.input_files import Fault, Faults, Row
from gcsl_cli.errors import DataError, listed
from gcsl_cli.tasks.code.problems import CodeProblem, Scaling
from gcsl_cli.tasks.code.row_reader import read_rows
from gcsl_cli.tasks.code.syntax import DEFINITIONS

TEST_COLUMNS = ("test_list", "base_input", "tests", "test")
"""The columns of tests, which tell the formats apart."""
_CLOSE = """
def __close__(value, expected):
    if isinstance(expected, float) and __atol__:
        return isinstance(value, (int, float)) and abs(value - expected) <= __atol__ + 1e-7 * abs(expected)
    if isinstance(expected, (list, tuple)) and type(value) is type(expected) and __atol__:
        return len(value) == len(expected) and all(map(__close__, value, expected))
    return value == expected
"""


def read_problems(path: Path) -> tuple[list[CodeProblem], Faults]:
    """Read the problems of a file in order, and what was left out.

    Raises:
        DataError: The file cannot be read or contains no usable problem.
    """
    problems: dict[str, CodeProblem] = {}
    faults = Faults()
    for row, place in read_rows(path, faults):
        try:
            problem = problem_of(row, place.line)
        except Fault as fault:
            faults.add(fault, place)
            continue
        if problem.identity in problems:
            faults.add(Fault("the task_id of another problem"), place)
            continue
        problems[problem.identity] = problem
    if not problems:
        raise DataError(f"{path}: contains no usable problem. {listed(faults.lines())}.")
    return list(problems.values()), faults


def read_scaling(path: Path) -> tuple[dict[str, Scaling], Faults]:
    """Read inputs of growing size in ENAMEL's format, by `task_id`.

    Raises:
        DataError: The file cannot be read or contains no usable inputs.
    """
    found: dict[str, Scaling] = {}
    faults = Faults()
    for row, place in read_rows(path, faults):
        try:
            sizes = [int(size) for size in _text(row, "input_levels").split()]
            if not sizes:
                raise Fault("input_levels is empty")
            reference = _text(row, "prompt") + "\n" + _text(row, "reference_solution")
            checker = _text(row, "checker", required=False)
            found[_identity(row)] = Scaling(_text(row, "input_generator"), tuple(sizes), reference, checker)
        except Fault as fault:
            faults.add(fault, place)
        except ValueError:
            faults.add(Fault("input_levels contains something other than integers"), place)
    if not found:
        raise DataError(f"{path}: contains no inputs in ENAMEL's format. {listed(faults.lines())}.")
    return found, faults


def problem_of(row: Row, line: int = 0) -> CodeProblem:
    """The problem of a row.

    Raises:
        Fault: it has no tests, or one of its columns cannot be used.
    """
    return _without_gap(_parser(row)(row, line))


def _without_gap(problem: CodeProblem) -> CodeProblem:
    """Move the whitespace after the prompt to the gap, because tokenizers attach it to the next token."""
    prompt = problem.prompt.rstrip()
    gap = problem.prompt[len(prompt) :]
    reference = gap + problem.reference if problem.reference else ""
    return replace(problem, prompt=prompt, gap=gap, reference=reference)


def _parser(row: Row) -> Callable[[Row, int], CodeProblem]:
    parsers = dict(zip(TEST_COLUMNS, (_mbpp, _evalplus, _other, _humaneval), strict=True))
    for key, parser in parsers.items():
        if key in row:
            return parser
    raise Fault(f"no tests: none of the keys {', '.join(parsers)}")


def _humaneval(row: Row, line: int) -> CodeProblem:  # noqa: ARG001
    prompt, tests = _text(row, "prompt"), (_python(_text(row, "test"), "test"),)
    reference = _text(row, "canonical_solution", required=False)
    return CodeProblem(_identity(row), prompt, _text(row, "entry_point"), tests, stub(prompt), reference)


def _mbpp(row: Row, line: int) -> CodeProblem:  # noqa: ARG001
    """The prompt is a docstring with the description and the tests; the program follows it."""
    description = _text(row, "text" if "text" in row else "prompt")
    tests, code = _tests(row, "test_list"), _text(row, "code", required=False)
    number, imports = row.get("task_id"), row.get("test_imports") or []
    setup = "\n".join([*imports, _text(row, "test_setup_code", required=False)]).strip()
    text = "\n".join([description, *tests]).replace('"""', "'''").replace("\\", "\\\\")
    prompt, entry = f'"""\n{text}\n"""\n', _entry_point(row, tests, code)
    reference, split = code.replace("\r\n", "\n"), _mbpp_split(number)
    return CodeProblem(f"MBPP/{number}", prompt, entry, tests, setup, reference, split=split)


def _evalplus(row: Row, line: int) -> CodeProblem:  # noqa: ARG001
    """One test per input; expected values are computed by the reference, which runs next to the tests."""
    prompt, entry = _text(row, "prompt"), _text(row, "entry_point")
    reference = _text(row, "canonical_solution")
    inputs = [*(row.get("base_input") or []), *(row.get("plus_input") or [])]
    if not inputs:
        raise Fault("no tests: base_input and plus_input are empty")
    code = _python(prompt + reference, "canonical_solution")
    setup = f"{code}\n__reference__ = {entry}\n__atol__ = {row.get('atol') or 0!r}\n{_CLOSE}"
    call = "candidate(*__copy__.deepcopy({0})), __reference__(*__copy__.deepcopy({0}))"
    tests = [f"    assert __close__({call.format(repr(arguments))})" for arguments in inputs]
    check = "import copy as __copy__\ndef check(candidate):\n" + "\n".join(tests) + "\n"
    return CodeProblem(_identity(row), prompt, entry, (_python(check, "base_input"),), setup, reference)


def _other(row: Row, line: int) -> CodeProblem:
    prompt, tests = _text(row, "prompt"), _tests(row, "tests")
    solution = _text(row, "solution", required=False)
    entry = _entry_point(row, tests, stub(prompt) or solution)
    setup = _text(row, "setup", required=False) or (stub(prompt) if entry in _defined(stub(prompt)) else "")
    identity = _identity(row) if "task_id" in row else f"line {line}"
    return CodeProblem(identity, prompt, entry, tests, setup, solution, split=_text(row, "split", required=False))


def _text(row: Row, key: str, *, required: bool = True) -> str:
    """The text under a key; empty if it is missing and not required."""
    value = row.get(key)
    if value is None or value == "":
        if required:
            raise Fault(f"{key} is missing")
        return ""
    if not isinstance(value, str):
        raise Fault(f"{key} is not text")
    return value


def _identity(row: Row) -> str:
    value = row.get("task_id")
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise Fault("task_id is missing")
    return str(value)


def _tests(row: Row, key: str) -> tuple[str, ...]:
    tests = [row[key]] if isinstance(row[key], str) else row[key]
    if not isinstance(tests, list) or not all(isinstance(test, str) for test in tests):
        raise Fault(f"{key} is not a list of strings")
    if not any(test.strip() for test in tests):
        raise Fault("no tests")
    return tuple(_python(test.replace("\r\n", "\n"), key) for test in tests)


def _entry_point(row: Row, tests: tuple[str, ...], code: str) -> str:
    """The row's entry point, or the first function that the tests call and the code defines."""
    if row.get("entry_point"):
        return _text(row, "entry_point")
    defined = _defined(code)
    calls = [node.func for test in tests for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Call)]
    known = [call.id for call in calls if isinstance(call, ast.Name) and call.id in defined]
    if not known:
        raise Fault("no entry_point, and the tests call no function that the solution defines")
    return known[0]


def _defined(code: str) -> set[str]:
    try:
        return {node.name for node in ast.parse(code).body if isinstance(node, DEFINITIONS)}
    except (SyntaxError, ValueError, RecursionError):
        return set()


def stub(prompt: str) -> str:
    """The prompt as a program, for its imports and helpers; empty if it does not end inside a function."""
    program = f"{prompt}    pass\n"
    return program if _defined(program) else ""


def _python(code: str, key: str) -> str:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise Fault(f"{key} is not valid Python: {error}") from error
    return code


def _mbpp_split(number: object) -> str:
    """MBPP's split by task number: 1-10 for prompting, 11-510 test, 511-600 validation, 601-974 training."""
    if not isinstance(number, int):
        return ""
    ends = ((10, "none"), (510, "test"), (600, "validation"), (974, "train"))
    return next((split for end, split in ends if number <= end), "")
