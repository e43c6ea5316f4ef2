"""Whole programs and chat answers; all expected texts were written by hand."""

import pytest

from gcsl_cli.tasks.code.extraction import Extracted, extract
from gcsl_cli.tasks.code.syntax import MAX_CHARACTERS, parsed
from tests.unit.tasks.code.toy import BODY, HEADER, IMPORTS, TASK, WHOLE, body, program

# A program with fences in a string.
QUOTING = "def area(r):\n    '''\n```\n1\n```\n    '''\n    return r\n"


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (WHOLE + "\nprint(area(1))\n", WHOLE),
        ("\n" + WHOLE + "\nprint(area(1))\n", "\n" + WHOLE),
        ("from math import pi\n\n\n" + WHOLE + "area(1)", "from math import pi\n\n\n" + WHOLE),
        ("def two():\n    return 2\n\n\n" + WHOLE + "```\n", "def two():\n    return 2\n\n\n" + WHOLE),
        ("Sure! Here's the function:\n\n" + WHOLE + "\nIt is right.\n", WHOLE),
        (" Sure!\n\n```python\n" + WHOLE + "\nprint(1)\n```\nDone.", WHOLE),
    ],
)
def test_a_whole_program_after_a_header_replaces_it(completion: str, expected: str) -> None:
    """The imports and helpers before the function are kept."""
    assert body(completion) == Extracted(expected, IMPORTS + expected, ended=True)


def test_decorators_of_the_header_are_replaced() -> None:
    found = extract("import math\n@cache\ndef area(r):\n", "@cache\ndef area(r):\n    return 1\n", "area")
    assert found.program == "import math\n@cache\ndef area(r):\n    return 1\n"


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (WHOLE, WHOLE),
        (WHOLE + "\n\narea(1)\n", WHOLE),
        ("R = 3\r\nC = 3\r\n" + WHOLE + "\r\nprint(R)", "R = 3\r\nC = 3\r\n" + WHOLE),
        ("area = lambda r: r\nprint(area(1))", "area = lambda r: r\n"),
        ("class area:\n    pass\narea()", "class area:\n    pass\n"),
        ("async def area(r):\n    pass\narea(1)", "async def area(r):\n    pass\n"),
        ("try:\n    import math\nexcept ImportError:\n    pass\n" + WHOLE + "1",
         "try:\n    import math\nexcept ImportError:\n    pass\n" + WHOLE),
        ('"""An area."""\n# Of a circle\n' + WHOLE + "1", '"""An area."""\n# Of a circle\n' + WHOLE),
        ("def first():\n    pass\nprint(first())\n\x0cdef area(r):\n    pass\nprint(1)",
         "def first():\n    pass\nprint(first())\n\x0cdef area(r):\n    pass\n"),
        ("@cache\n@other(\n1)\ndef area(r):\n    pass\n1", "@cache\n@other(\n1)\ndef area(r):\n    pass\n"),
        ("def area_of(r):\n    pass\nprint(1)\ndef g():\n    pass\n", "def area_of(r):\n    pass\n"),
        ("def area(r):\n    return [\n\nprint(1)\n", "def area(r):\n    return [\n"),
        ("python\nimport math\n" + WHOLE + "print(1)", "import math\n" + WHOLE),
        ("From the definition (see above\nit follows:\n" + WHOLE + "1", WHOLE),
        ("def of a function is not code.\nclass of its own.\nimport math\n" + WHOLE + "1", "import math\n" + WHOLE),
        ('1) So:\n"""\nimport x\n"""\n' + WHOLE + "1", WHOLE),
        ("I cannot.", "I cannot."),
        ("", ""),
    ],
)  # fmt: skip
def test_a_program_for_a_description(completion: str, expected: str) -> None:
    found = program(completion)
    assert (found.completion, found.program) == (expected, TASK + expected)
    assert found.ended is (completion != expected)


@pytest.mark.parametrize(
    ("completion", "ended"),
    [
        (WHOLE, False),
        ("def area(r): return r\n", True),
        ("def area(r): return r", False),
        (WHOLE.replace("math.pi", "pi") + "pi = 3\n", True),
        (WHOLE.replace("math.pi", "pi") + "pi = (\n3)\n", False),
        ("```\n" + WHOLE, False),
        ("```\n" + WHOLE + "```", True),
    ],
)
def test_a_line_at_column_0_or_a_fence_ends_a_program(completion: str, ended: bool) -> None:
    assert program(completion).ended is ended


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("```python\n" + WHOLE + "```", WHOLE),
        ("Sure:\n\n```py\n" + WHOLE + "print(1)\n```\n\n```\n3.14\n```\n", WHOLE),
        ("~~~\n" + WHOLE + "~~~~\n", WHOLE),
        ("````\n" + QUOTING + "````\n", QUOTING),
        ("```\n" + QUOTING.replace("```\n", "~~~\n") + "```\n", QUOTING.replace("```\n", "~~~\n")),
        ("```\n" + QUOTING.replace("```\n", "```py\n") + "```\n", QUOTING.replace("```\n", "```py\n")),
        ("```bash\npip install math\n```\nThen:\r\n```python\r\n" + WHOLE + "```\r\n", WHOLE),
        ("```\ndef two():\n    return 2\n```\n```\n" + WHOLE + "```\n```\ndef area(r):\n    pass\n```", WHOLE),
        ("1. A list\n   ```python\n   def area(r):\n       return r\n   ```\n", "def area(r):\n    return r\n"),
        ("```python\n" + WHOLE + "```<|im_end|>", WHOLE),
        ("So:\n```python\n" + WHOLE, WHOLE),
    ],
)
def test_the_block_that_defines_the_function(completion: str, expected: str) -> None:
    ended = not completion.startswith("So:")
    assert program(completion) == Extracted(expected, TASK + expected, ended)
    assert body(completion) == Extracted(expected, IMPORTS + expected, ended)


PI = "import math\npi = math.pi\n"
SQUARE = "def square(r):\n    return pi * r * r\n"
USING = "def area(r):\n    return square(r)\n"


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (f"```\n{SQUARE.replace('pi', '3')}```\nThen:\n```\n{USING}```\n", SQUARE.replace("pi", "3") + "\n" + USING),
        (f"```\n{USING}```\nwhere\n```\n{SQUARE.replace('pi', '3')}```\n", USING + "\n" + SQUARE.replace("pi", "3")),
        (f"```\n{PI}```\n```\n{SQUARE}```\n```\n{USING}```\n", PI + "\n" + SQUARE + "\n" + USING),
        (f"```\ndef two():\n    return 2\n```\n```\n{USING}```\n```bash\nsquare 3\n```\n", USING),
        (f"```\nsquare = 1\n```\n```\nsquare = 3\n```\n```\n{USING}```\n", "square = 3\n\n" + USING),
        (f"```\ndef square(r): return 1\n```\n```\n{WHOLE}```\n", WHOLE),
    ],
)
def test_helpers_in_other_blocks_are_kept_where_they_are_needed(completion: str, expected: str) -> None:
    """Also those that the helpers need; of several definitions the nearest before the function."""
    assert program(completion) == Extracted(expected, TASK + expected, ended=True)
    assert body(completion) == Extracted(expected, IMPORTS + expected, ended=True)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("The body:\n```\n    return r\n```\n", "    return r\n"),
        ("The body:\n```\nreturn r\n```\n", "    return r\n"),
        ("Not ```this```.\n```\nif (r:\n```\n```python\nif r:\n    return r\n```", "    if r:\n        return r\n"),
        ("```\nif (r:\n```\n```\nif (r):\n    return ]\n```", "    if (r):\n        return ]\n"),
    ],
)
def test_a_block_that_is_a_body(completion: str, expected: str) -> None:
    assert body(completion) == Extracted(expected, HEADER + expected, ended=True)


def test_the_longest_block_if_none_defines_the_function() -> None:
    assert program("```\na\n```\n```\ndef g():\n    pass\n```").completion == "def g():\n    pass\n"


def test_an_answer_before_a_fence_is_used() -> None:
    """This is how a model continues a prompt that ends with an opening fence."""
    more = "```\n\nOr:\n\n```python\ndef area(r):\n    return 0\n```\n"
    assert program(WHOLE + more) == Extracted(WHOLE, TASK + WHOLE, ended=True)
    assert body(BODY + more) == Extracted(BODY, HEADER + BODY, ended=True)


def test_a_name_in_a_docstring_is_not_a_header() -> None:
    prompt = '"""\nComplete this:\ndef area(r):\narea = ...\n"""\n'
    assert extract(prompt, WHOLE + "print(1)", "area") == Extracted(WHOLE, prompt + WHOLE, ended=True)


THOUGHT = "First\n```python\ndef area(r):\n    return r\n```\nWait, no."


@pytest.mark.parametrize("thinking", [f"<think>\n{THOUGHT}\n</think>\n", f"{THOUGHT}</think> \n", "<think></think>\n"])
@pytest.mark.parametrize("answer", [BODY, WHOLE, f"So:\n```python\n{WHOLE}```\n", "    return '</think>'\n"])
def test_reasoning_is_not_part_of_the_answer(thinking: str, answer: str) -> None:
    """If the chat template opens the reasoning, the completion contains only its end."""
    found = body(thinking + answer)
    expected = body(answer)
    assert found.completion.strip("\n") == expected.completion.strip("\n")
    assert parsed(found.program)
    assert (found.ended, "Wait" in found.program) == (expected.ended, False)


def test_unterminated_reasoning_contains_no_answer() -> None:
    assert body("<think>\n" + THOUGHT) == Extracted("", HEADER, ended=False)


def test_long_reasoning_does_not_truncate_the_answer() -> None:
    thinking = "<think>\n" + "Wait.\n" * MAX_CHARACTERS + "</think>\n"
    assert body(thinking + WHOLE + "1").completion.strip() == WHOLE.strip()


@pytest.mark.parametrize("before", ["", "\n", '"""An area."""\n'])
def test_future_imports_come_before_those_of_the_prompt(before: str) -> None:
    future = "from __future__ import (\n    annotations,\n)\nfrom __future__ import generator_stop  # types\n"
    answer = before + future + WHOLE
    found = body(f"```python\n{answer}```")
    assert found.completion == answer
    assert sorted(found.program) == sorted(IMPORTS + answer)
    assert found.program.index(IMPORTS) > found.program.index("generator_stop")
    compile(found.program, "program", "exec")


def test_a_future_import_in_a_docstring_is_ignored() -> None:
    answer = '"""\nfrom __future__ import annotations\n"""\n' + WHOLE
    assert body(answer).program == IMPORTS + answer
