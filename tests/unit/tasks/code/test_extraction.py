"""Bodies that continue the prompt's function; all expected texts were written by hand."""

import pytest

from gcsl_cli.tasks.code.extraction import Extracted, extract
from tests.unit.tasks.code.toy import BODY, HEADER, body, program


@pytest.mark.parametrize(
    "after",
    [
        "\n\ndef volume(r):\n    return r**3\n",
        "class Circle:\n    pass\n",
        "@cached\ndef volume(r):\n    return r**3\n",
        "print(area(1))\n",
        "\nassert area(0) == 0\nassert area(",
        'if __name__ == "__main__":\n    area(1)\n',
        "# Tests\n# of area\n",
        "#\n    \nfor r in range(3):\n    area(r)\n",
        "import numpy as np\nfrom.models import Circle\n",
        "from tkinter import *\n",
        '"""\nSettings of a project.\n"""\n',
        "That's the area of a circle (of radius r.\n",
        "```\n\nIt multiplies.\n\n```python\nprint(area(1))\n```\n",
        "~~~\n",
        "<|im_end|>\n<|im_start|>user\n",
        "</s>",
        "    <|endoftext|>",
        "\x0cdef volume(r):\n    return r**3\n",
        "def area(r):\n    return 0\n",
    ],
)
def test_a_body_ends_before_a_statement_at_column_0(after: str) -> None:
    assert body(BODY + after) == Extracted(BODY, HEADER + BODY, ended=True)


@pytest.mark.parametrize("after", ["", "\n", "\n\n    \n", "\r\n"])
def test_a_body_at_the_end_may_have_been_cut_off(after: str) -> None:
    assert body(BODY + after) == Extracted(BODY, HEADER + BODY, ended=False)


def test_a_special_token_ends_a_body_within_its_line() -> None:
    assert body("    return r<|im_end|>\n").completion == "    return r"
    assert body("    return r  # wrong<|im_end|>\n    more").completion == "    return r  # wrong"
    assert body("    return '<|im_end|></s>'\n").completion == "    return '<|im_end|></s>'\n"


@pytest.mark.parametrize(
    "completion",
    [
        "    numbers = [\n1,\n2,\n]\n    return numbers\n",
        '    text = """\nprint(1)\n# No comment.\n"""\n    return text\n',
        "    text = '''it's \\''' \"\"\"\nx'''\n    return text\n",
        "    return 'a\\\nb'\n",
        "    return 'a\\\r\nb'\r\n",
        "    return 1 + \\\n1\n",
        "# First the square.\n    square = r * r\n\n# Now the area.\n    return math.pi * square\n",
        "    return ')', \"'\", r'\\', '#', {'(': 1}  # it's (\n",
        "    return f'{r!r:>{1}}' f\"{'('}\"\n",
        "\tif r:\r\n\t\treturn 1\r\n",
        "    a = 1\n\x0c\n    return a\n",
    ],
)
def test_text_at_column_0_that_belongs_to_a_body(completion: str) -> None:
    assert body(completion + "\nprint(1)\n") == Extracted(completion, HEADER + completion, ended=True)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("    return [1\n\n\ndef f():\n    return [2]\n", "    return [1\n"),
        ("    return [1\n\nprint(2))\n\nprint(3)\n", "    return [1\n"),
        ('    """Of a circle.\n    return 1\n\nprint("""2""")\n', '    """Of a circle.\n    return 1\n'),
        ("    retrun 1\n\nprint(2)\n", "    retrun 1\n"),
        ("    return '\ud800'\nprint(1)\n", "    return '\ud800'\n"),
        ("    return '\0'\nprint(1)\n", "    return '\0'\n"),
        ("    x = [\n1,\n2", "    x = [\n"),
    ],
)
def test_a_broken_body_ends_at_the_first_line_at_column_0(completion: str, expected: str) -> None:
    assert body(completion) == Extracted(expected, HEADER + expected, ended=True)


@pytest.mark.parametrize(
    ("completion", "kept"),
    [
        ("    return pi() * r\n\n\ndef pi():\n    return 3\n\n\ndef e():\n    return 2\n", 5),
        ("    return pi() * r\n\n\ndef e():\n    return 2\n\n\ndef pi():\n    return 3\n", 9),
        ("    return pi() * r\ndef pi():\n    return three\n# 3\nthree = 3\nfour = 4\n", 5),
        ("    return pi() * r\n@cache\ndef pi():\n    return 3\nfrom functools import lru_cache as cache\ne = 2\n", 5),
        ("    return np.pi * r\nimport numpy as np\nimport torch\n", 2),
        ("    return PI[0] * r\n\nPI: list[int] = [\n3\n]\nprint(PI)\n", 5),
        ("    return area.pi * r\n\n\narea.pi = 3\narea.e = 2\n", 4),
        ("    area.e = 3\n    return area.e\narea.e = 2\n", 2),
        ("    return os.cpu_count()\nimport os.path\nimport sys\n", 2),
        ("    return r\ndef r():\n    return 3\n", 1),
        ("    return Pi().pi * r\nclass Pi:\n    pi = 3\nclass Pi:\n    pi = 4\n", 3),
        ("    return pi() * r\nprint(3)\ndef pi():\n    return 3\n", 1),
        ("    return pi() * r\ndef pi(:\n    return 3\n", 1),
        ("    return pi() * r\nfrom pies import *\n", 1),
        ("    return sum([r.pi])\ndef sum(values):\n    return 0\ndef pi():\n    return 3\n", 1),
        ("    return area(r - 1) if r else 0\ndef area(r):\n    return 2\n", 1),
    ],
)
def test_helpers_after_a_body_are_kept_if_it_needs_them(completion: str, kept: int) -> None:
    """The solution is the first `kept` lines of the completion."""
    expected = "".join(completion.splitlines(keepends=True)[:kept])
    assert body(completion).completion == expected
    assert program("def area(r):\n" + completion).completion == "def area(r):\n" + expected


def test_a_helper_of_the_prompt_is_not_replaced() -> None:
    assert body("    return one()\ndef one():\n    return 2\n").completion == "    return one()\n"


@pytest.mark.parametrize(
    "completion", ["\n\n    return 1\n", "\r\n    return 1\n", " return 1\n", "   return 1\n", "        return 1\n"]
)
def test_indentation_of_a_body_is_unchanged(completion: str) -> None:
    assert body(completion) == Extracted(completion, HEADER + completion, ended=False)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("square = r * r\nreturn square\n\nprint(1)\n", "square = r * r\nreturn square\n"),
        ("if r:\n    return 1\nreturn 2\n\n# Test\n", "if r:\n    return 1\nreturn 2\n"),
        ("return r<|im_end|>", "return r"),
        ("I cannot (say", "I cannot (say"),
        ("\n\ndef volume(r):\n    return r**3\n", ""),
        ("<|endoftext|>", ""),
        ("\n \n", ""),
        ("", ""),
    ],
)
def test_text_that_is_not_a_body_is_kept(completion: str, expected: str) -> None:
    ended = bool(completion.strip()) and completion != expected
    assert body(completion) == Extracted(expected, HEADER + expected, ended)


def test_a_prompt_that_ends_within_a_line_or_a_docstring() -> None:
    assert extract("def f(x):", " return x\nprint(1)", "f") == Extracted(
        " return x\n", "def f(x): return x\n", ended=True
    )
    assert extract("def f(x):\n    ", "return x", "f").program == "def f(x):\n    return x"
    prompt = 'def f(x):\n    """Its\n'
    assert extract(prompt, 'value.\n    """\n    return x\nf(1)\n', "f").completion == 'value.\n    """\n    return x\n'
