"""Programs from files and from rollouts: which are taken, and which are none."""

import json
from pathlib import Path

import numpy as np

from gcsl_cli.data.input_files import Faults
from gcsl_cli.data.records import Generation
from gcsl_cli.tasks.code.records import CodeProblem
from gcsl_cli.tasks.code.sources import distinct, given, references, sampled

ADD = CodeProblem("T/0", "def add(a, b):", "add", ("assert add(1, 2) == 3",), reference="\n    return a + b", gap="\n")
OTHER = CodeProblem("T/1", "def other(a):", "other", ("assert other(1)",), gap="\n")
RIGHT, LATE = "    return a + b", "    return a + b\n\nprint(add(1, 2))"


def solutions(folder: Path, *samples: str, most: float = np.inf) -> tuple[list[str], Faults]:
    path = folder / "solutions.jsonl"
    rows = [{"task_id": "T/0", "samples": samples}, {"task_id": "T/1", "completion": "    return a"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    faults = Faults()
    return [made.completion for made in given(path, [ADD, OTHER], {"T/0"}, most, faults)], faults


def test_solutions_of_chosen_problems_up_to_a_number(tmp_path: Path) -> None:
    """The second is the first with a print after it; what is not chosen is no fault."""
    found, faults = solutions(tmp_path, RIGHT, LATE, "    return 1", "    return 2", most=2)

    assert [text.strip() for text in found] == ["return a + b", "return a + b", "return 1"]
    assert not faults.total


def test_what_has_no_program_is_counted(tmp_path: Path) -> None:
    found, faults = solutions(tmp_path, "print(1)\n", RIGHT)
    rollout = Generation("id", ADD.prompt, 0, "\nprint(1)\n", 4, True)

    assert len(found) == 1
    assert not list(sampled([rollout], {"id": ADD}, faults))
    assert faults.counts == {"solutions without a program in it": 1, "rollouts without a program in it": 1}


def test_a_program_counts_once_where_it_came_first() -> None:
    rollout = Generation("id", ADD.prompt, 0, "\n    return a + b", 4, False)
    own, again = references([ADD, OTHER]), list(sampled([rollout], {"id": ADD}, Faults()))

    assert [made.source for made in distinct([*own, *again])] == ["reference"]
    assert own[0].program == again[0].program
