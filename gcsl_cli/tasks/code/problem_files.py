r"""Problems from files, in the forms that data sets have them; what cannot be used is left out, with its place and why.

HumanEval   {"task_id": "HumanEval/0", "prompt": "def add(a, b):\n", "entry_point": "add",
             "test": "def check(candidate): ...", "canonical_solution": "    return a + b\n"}
MBPP        {"task_id": 11, "text": "Write a function to ...", "code": "def add(a, b): ...",
             "test_list": ["assert ..."], "test_setup_code": ""}
EvalPlus    {"task_id": ..., "prompt": ..., "entry_point": ..., "canonical_solution": ..., "base_input": [[1, 2]],
             "plus_input": [[3, 4]], "atol": 0}
any other   {"prompt": ..., "tests": ["assert add(1, 2) == 3"], "entry_point": "add", "solution": ..., "setup": ...}
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from gcsl_cli.data.input_files import Fault, Faults
from gcsl_cli.errors import DataError, listed
from gcsl_cli.tasks.code.lines import Row, read_rows, text
from gcsl_cli.tasks.code.records import CodeProblem, Scaling

_CLOSE = """
def __close__(value, expected):
    if isinstance(expected, float) and __atol__:
        return isinstance(value, (int, float)) and abs(value - expected) <= __atol__ + 1e-7 * abs(expected)
    if isinstance(expected, (list, tuple)) and type(value) is type(expected) and __atol__:
        return len(value) == len(expected) and all(map(__close__, value, expected))
    return value == expected
"""


def read_problems(path: Path) -> tuple[list[CodeProblem], Faults]:
    """The problems of a file in order, and what was left out.

    Raises:
        DataError: the file cannot be read, or no problem of it can be used.
    """
    problems: dict[str, CodeProblem] = {}
    faults = Faults()
    for row, place in read_rows(path, faults):
        try:
            found = _parted(_form(row)(row, place.line))
        except Fault as fault:
            faults.add(fault, place)
            continue
        if found.identity in problems:
            faults.add(Fault("the task_id of another problem"), place)
            continue
        problems[found.identity] = found
    if not problems:
        raise DataError(f"{path}: no problem in it can be used. {listed(faults.lines())}.")
    return list(problems.values()), faults


def read_scaling(path: Path) -> tuple[dict[str, Scaling], Faults]:
    """Inputs of growing size by `task_id`, in the form of ENAMEL.

    Raises:
        DataError: the file cannot be read, or has none.
    """
    found: dict[str, Scaling] = {}
    faults = Faults()
    for row, place in read_rows(path, faults):
        try:
            sizes = [int(size) for size in text(row, "input_levels").split()]
            if not sizes:
                raise Fault("input_levels is empty")
            reference = text(row, "prompt") + "\n" + text(row, "reference_solution")
            checker = text(row, "checker", needed=False)
            found[_identity(row)] = Scaling(text(row, "input_generator"), tuple(sizes), reference, checker)
        except Fault as fault:
            faults.add(fault, place)
        except ValueError:
            faults.add(Fault("input_levels has something else than whole numbers"), place)
    if not found:
        raise DataError(f"{path}: no inputs in the form of ENAMEL. {listed(faults.lines())}.")
    return found, faults


def _parted(problem: CodeProblem) -> CodeProblem:
    """The same with the white space after the prompt in the gap, where tokenizers take it to what follows."""
    prompt = problem.prompt.rstrip()
    gap = problem.prompt[len(prompt) :]
    reference = gap + problem.reference if problem.reference else ""
    return replace(problem, prompt=prompt, gap=gap, reference=reference)


def _form(row: Row) -> Callable[[Row, int], CodeProblem]:
    forms: Mapping[str, Callable[[Row, int], CodeProblem]] = {
        "test_list": _mbpp,
        "base_input": _evalplus,
        "tests": _plain,
        "test": _humaneval,
    }
    for key, form in forms.items():
        if key in row:
            return form
    raise Fault(f"no tests: none of the keys {', '.join(forms)}")


def _humaneval(row: Row, line: int) -> CodeProblem:  # noqa: ARG001
    prompt = text(row, "prompt")
    return CodeProblem(
        _identity(row),
        prompt,
        text(row, "entry_point"),
        (_parsed(text(row, "test"), "test"),),
        _stub(prompt),
        text(row, "canonical_solution", needed=False),
    )


def _mbpp(row: Row, line: int) -> CodeProblem:  # noqa: ARG001
    """The prompt is a docstring of the task and its tests, and the program comes after it."""
    key = "text" if "text" in row else "prompt"
    tests, code = _tests(row, "test_list"), text(row, "code", needed=False)
    number = row.get("task_id")
    imports = row.get("test_imports") or []
    setup = "\n".join([*imports, text(row, "test_setup_code", needed=False)]).strip()
    task = "\n".join([text(row, key), *tests]).replace('"""', "'''").replace("\\", "\\\\")
    return CodeProblem(
        f"MBPP/{number}",
        f'"""\n{task}\n"""\n',
        _entry_point(row, tests, code),
        tests,
        setup,
        code.replace("\r\n", "\n"),
        split=_official(number),
    )


def _evalplus(row: Row, line: int) -> CodeProblem:  # noqa: ARG001
    """Expected values come from the reference, which runs where the tests do; one test an input."""
    prompt, entry = text(row, "prompt"), text(row, "entry_point")
    reference = text(row, "canonical_solution")
    inputs = [*(row.get("base_input") or []), *(row.get("plus_input") or [])]
    if not inputs:
        raise Fault("no tests: base_input and plus_input are empty")
    atol = row.get("atol") or 0
    setup = (
        f"{_parsed(prompt + reference, 'canonical_solution')}\n__reference__ = {entry}\n__atol__ = {atol!r}\n{_CLOSE}"
    )
    call = "candidate(*__copy__.deepcopy({0})), __reference__(*__copy__.deepcopy({0}))"
    tests = [f"    assert __close__({call.format(repr(arguments))})" for arguments in inputs]
    check = "import copy as __copy__\ndef check(candidate):\n" + "\n".join(tests) + "\n"
    return CodeProblem(_identity(row), prompt, entry, (_parsed(check, "base_input"),), setup, reference)


def _plain(row: Row, line: int) -> CodeProblem:
    prompt, tests = text(row, "prompt"), _tests(row, "tests")
    solution = text(row, "solution", needed=False)
    entry = _entry_point(row, tests, prompt if _defined(prompt + "    pass\n") else solution)
    setup = text(row, "setup", needed=False) or (_stub(prompt) if entry in _defined(_stub(prompt)) else "")
    identity = _identity(row) if "task_id" in row else f"line {line}"
    return CodeProblem(identity, prompt, entry, tests, setup, solution, split=text(row, "split", needed=False))


def _identity(row: Row) -> str:
    value = row.get("task_id")
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise Fault("task_id is missing")
    return str(value)


def _tests(row: Row, key: str) -> tuple[str, ...]:
    given = row[key]
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, list) or not all(isinstance(test, str) for test in found):
        raise Fault(f"{key} is no list of texts")
    if not any(test.strip() for test in found):
        raise Fault("no tests")
    return tuple(_parsed(test.replace("\r\n", "\n"), key) for test in found)


def _entry_point(row: Row, tests: tuple[str, ...], code: str) -> str:
    """The given one, or the first function that the tests call and the code defines."""
    if row.get("entry_point"):
        return text(row, "entry_point")
    defined = _defined(code)
    calls = [node.func for test in tests for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Call)]
    called = [call.id for call in calls if isinstance(call, ast.Name)]
    known = [name for name in called if name in defined]
    if not known:
        raise Fault("no entry_point, and the tests call no function that the solution defines")
    return known[0]


def _defined(code: str) -> set[str]:
    try:
        return {node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}
    except (SyntaxError, ValueError, RecursionError):
        return set()


def _stub(prompt: str) -> str:
    """The prompt as a program, for its helpers and imports."""
    stub = f"{prompt}    pass\n"
    return stub if _defined(stub) else ""


def _parsed(code: str, key: str) -> str:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise Fault(f"{key} is no Python: {error}") from error
    return code


def _official(number: object) -> str:
    """MBPP's split by task number: 1-10 for prompting, 11-510 test, 511-600 validation, 601-974 training."""
    if not isinstance(number, int):
        return ""
    ends = ((10, "none"), (510, "test"), (600, "validation"), (974, "train"))
    return next((split for end, split in ends if number <= end), "")
