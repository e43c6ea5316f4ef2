"""Code generation through the real command line on a tiny model: graded feedback, pass@k, what cannot be used."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.data.records import read_feedback
from gcsl_cli.tasks.code.sandbox.process import Backend
from tests.commands import Ended, gcsl

PROBLEMS = 12
RIGHT, WRONG, HALF = "    return n + {0}\n", "    return n\n", "    return n + {0} if n else 17\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Problems that ask for another sum each, one for training and one for evaluation with a solution that fails."""
    folder = tmp_path_factory.mktemp("programs")
    problems = [
        {
            "task_id": f"T/{number}",
            "prompt": f'def plus{number}(n):\n    """{number} more."""\n',
            "tests": [f"assert plus{number}(5) == {5 + number}", f"assert plus{number}(0) == {number}"],
            "entry_point": f"plus{number}",
            "solution": RIGHT.format("bad" if number in (10, 12) else number),
        }
        for number in range(1, PROBLEMS + 1)
    ]
    solutions = [
        {"task_id": problem["task_id"], "samples": [WRONG, HALF.format(number), "", WRONG]}
        for number, problem in enumerate(problems, 1)
    ]
    for name, rows in (("problems", problems), ("solutions", [*solutions, {"task_id": "other", "completion": "x"}])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder / "problems.jsonl", folder / "solutions.jsonl"


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, files: tuple[Path, Path]) -> list[str]:
    """Overrides of a small run."""
    return [
        *("task=code", f"task.problems={files[0]}", f"task.feedback.solutions={files[1]}", "task.feedback.samples=1"),
        *("task.feedback.max_new_tokens=8", "task.split.minimum=2", "model=local", f"model.uri={tiny_model}"),
        *("adapter=none", "train.precision=fp32", "train.max_steps=3", "train.batch_size=4", "train.rows_per_prompt=4"),
        *("goal=threshold", "goal.placement=after_prompt", "generation.samples=6", "generation.max_new_tokens=6"),
        *("evaluation.bootstrap=50", "evaluation.discrimination_cut=1", f"runs_dir={tmp_path_factory.mktemp('runs')}"),
    ]


@pytest.fixture(scope="module")
def result(lines: list[str], bubblewrap: None) -> dict[str, Any]:
    """What an evaluation finds."""
    ended = gcsl("evaluate", *lines, "--json")
    assert ended.code == 0, ended.err
    failing = "1 x a problem whose reference fails its tests (exception NameError)"
    assert f"{failing}: T/10" in ended.err
    assert f"{failing}, kept because it is evaluated: T/12" in ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


def test_feedback_is_graded_by_tests(result: dict[str, Any], lines: list[str]) -> None:
    """A problem's own solution passes both, n for n + k none, and the half right one the first."""
    runs = Path(lines[-1].partition("=")[2])
    (path,) = runs.glob("code/feedback-rollouts-solutions-*/feedback.parquet")
    rows = [row for row in read_feedback(path) if row.source != "rollouts"]
    kinds: dict[str, dict[str, list[float]]] = {"reference": {}, "solutions": {}}
    for row in rows:
        kinds[row.source].setdefault(row.prompt, []).append(row.score)

    assert set(map(tuple, kinds["reference"].values())) == {(1.0,)}
    assert set(map(tuple, kinds["solutions"].values())) == {(0.0, 0.5)}
    assert {row.split for row in rows} == {"train", "validation"}
    assert not any("plus10" in row.prompt or "plus12" in row.prompt for row in rows)


def test_arms_have_pass_at_k(result: dict[str, Any]) -> None:
    """Six samples: pass@10 is undefined and says so."""
    found = result["result"]
    assert [column["name"] for column in found["columns"]][:4] == ["pass_1", "pass_5", "pass_10", "tests_passed"]
    assert [arm["name"] for arm in found["arms"]] == ["base", "base-best", "worst", "best"]
    for arm in found["arms"]:
        assert arm["metrics"]["pass_1"]["value"] is not None
        assert arm["metrics"]["pass_10"]["value"] is None
        assert arm["metrics"]["pass_10"]["left_out"] == arm["metrics"]["pass_1"]["n"]
    assert found["discrimination"]["trained"]["pooled"]["value"] is not None
    assert [level["label"] for level in found["attainment"]["levels"]] == ["0", "1"]


def test_compare_and_plain_fine_tuning(result: dict[str, Any], lines: list[str]) -> None:
    taken = [line for line in lines if not line.startswith("goal")]
    ended = gcsl("evaluate", *taken, "method=sft", "method.select=min_score", "method.min_score=1", "--json")
    assert ended.code == 0, ended.err
    compared = gcsl("compare", "task=code", lines[-1], "--json")
    assert compared.code == 0, compared.err
    assert "pass_1" in compared.out


SLOW = "    for k in range(300000): n -= k\n    return n + 44999850000 + {0}\n"


def timed(lines: list[str], folder: Path, *bodies: str) -> list[str]:
    """Overrides of a run whose programs are timed, except those for problem 1; the file has solutions with `bodies`."""
    inputs = [
        {
            "task_id": f"T/{number}",
            "prompt": f"def plus{number}(n):",
            "input_generator": "def generate_input(size, lid, cid): return size,",
            "input_levels": "100 1000",
            "reference_solution": RIGHT.format(number),
        }
        for number in range(2, PROBLEMS + 1)
    ]
    solutions = [
        {"task_id": f"T/{number}", "samples": [body.format(number) for body in bodies]}
        for number in range(1, PROBLEMS + 1)
    ]
    for name, rows in (("inputs", inputs), ("solutions", solutions)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    asked = [line for line in lines if not line.startswith(("task.feedback", "runs_dir", "task="))]
    asked += ["task=code_speed", "task.feedback.samples=0", f"task.feedback.solutions={folder / 'solutions.jsonl'}"]
    asked += [f"task.speed.inputs={folder / 'inputs.jsonl'}", "task.speed.repeats=3", f"runs_dir={folder / 'runs'}"]
    return asked


def test_speed_is_a_part_of_the_score(lines: list[str], tmp_path: Path, bubblewrap: None) -> None:
    """A detour through 300,000 numbers for one more is slower than n + k, which is as fast as the inputs' reference.

    Known are both and the reference: n + k is faster than one of three and about as fast as the two others, so that it
    has 1.5 at least; the detour is as fast as itself, 1 + 1/3/2. Problem 1 has no inputs: speed adds nothing.
    """
    asked = [*timed(lines, tmp_path, SLOW), "task.levels=[1.5]", "task.sentences=[slow,fast]"]
    ended = gcsl("prepare", *asked)
    assert ended.code == 0, ended.err

    (path,) = tmp_path.glob("runs/code_speed/feedback-solutions-*/feedback.parquet")
    found: dict[str, dict[str, float]] = {"reference": {}, "solutions": {}}
    for row in read_feedback(path):
        found[row.source][row.prompt.partition("(")[0]] = row.score
    without = {name: found[name].pop("def plus1", 1.0) for name in found}
    assert without == {"reference": 1.0, "solutions": 1.0}
    assert min(found["reference"].values()) >= 1.5
    assert set(found["solutions"].values()) == {1 + 1 / 6}


def test_tests_passed_and_speed_are_two_scores(lines: list[str], tmp_path: Path, bubblewrap: None) -> None:
    """A program that fails a test has no speed, and neither has one for problem 1."""
    asked = [*timed(lines, tmp_path, SLOW, HALF), "task.scores=[tests,speed]", "generation.prompts=1"]
    ended = gcsl("evaluate", *asked, "evaluation.base=false", "generation.target.speed=best", "--json")
    assert ended.code == 0, ended.err

    (path,) = tmp_path.glob("runs/code_speed/feedback-solutions-*/feedback.parquet")
    rows = [row for row in read_feedback(path) if "def plus1(" not in row.prompt]
    known = {row.scores["tests"]: {"speed" in one.scores for one in rows if one.score == row.score} for row in rows}
    assert known == {1.0: {True}, 0.5: {False}}
    found = json.loads(ended.out)["result"]
    assert set(found["several"]["scores"]) == {"tests", "speed"}
    asked_for = {arm["asked"] for arm in found["arms"]}
    assert any(text.startswith("# This program passes all of its tests and runs faster than") for text in asked_for)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.speed.repeats=0", "must be above 0"),
        ("task.speed.inputs=none.csv", "none.csv"),
        ("task=code_speed", "Give task.speed.inputs=FILE"),
        ("task.sandbox.kind=chroot", "no such sandbox"),
        ("task.sandbox.memory_mib=1", "too small"),
        ("task.feedback.per_problem=0", "must be at least 1"),
        ("task.feedback.temperature=0", "must be a number from 0.001 to 1000"),
        ("goal.target=2", "the scale of share of tests passed runs from 0 to 1"),
        ("task.problems=none.jsonl", "none.jsonl"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_made(
    override: str, message: str, lines: list[str], tmp_path: Path, bubblewrap: None
) -> None:
    ended = gcsl("prepare", *lines, f"runs_dir={tmp_path}", override)

    assert ended.code == 2
    assert message in ended.err


def prepared(lines: list[str], folder: Path, prompt: str, test: str, solution: str) -> Ended:
    """Prepare problems whose texts have a number for `#`, with their solutions alone."""
    rows = [{"task_id": f"S/{n}", "prompt": prompt, "tests": [test], "solution": solution} for n in range(PROBLEMS)]
    texts = [json.dumps(row).replace("#", str(number)) for number, row in enumerate(rows)]
    (folder / "problems.jsonl").write_text("\n".join(texts), encoding="utf-8")
    kept = [line for line in lines if not line.startswith(("task.problems", "task.feedback", "runs_dir"))]
    own = ["task.feedback.samples=0", f"task.problems={folder / 'problems.jsonl'}", f"runs_dir={folder}"]
    return gcsl("prepare", *kept, *own)


def test_problems_graded_in_one_process_are_counted_with_the_reason(
    lines: list[str], tmp_path: Path, bubblewrap: None
) -> None:
    """Their solutions change the argument in place."""
    ended = prepared(lines, tmp_path, "def put#(a):\n", "a = []\nput#(a)\nassert a == [#]", "    a.append(#)\n")

    because = "graded in one process: 12 x a problem, because its reference fails apart from them (wrong answer): S/"
    assert because in ended.err
    assert re.search(r"(\d+) distinct programs, \1 solve their problem; \1 of these have verdicts", ended.err)


def test_without_a_usable_program_the_reasons_are_told(lines: list[str], tmp_path: Path, bubblewrap: None) -> None:
    ended = prepared(lines, tmp_path, "def one#():\n", "assert one#() == #", "    return -1\n")

    assert ended.code == 2
    assert "No program is left to grade" in ended.err
    assert re.search(r"\n  \d+ x a problem whose reference fails its tests \(wrong answer\): S/", ended.err)


def test_problems_that_are_both_are_refused(lines: list[str], files: tuple[Path, Path], tmp_path: Path) -> None:
    ended = gcsl("prepare", *lines, f"task.test_problems={files[0]}", f"runs_dir={tmp_path}")

    assert ended.code == 2
    assert "12 training problems are evaluation problems as well" in ended.err
    assert "task.allow_overlap=true" in ended.err


def test_stricter_tests_need_all_evaluated_problems(lines: list[str], files: tuple[Path, Path], tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text(files[0].read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    ended = gcsl("prepare", *lines, f"task.stricter={few}", f"runs_dir={tmp_path}")

    assert ended.code == 2
    assert "evaluated problems are not in it (first: T/" in ended.err


def test_without_a_sandbox_nothing_is_sampled_and_nothing_run(
    lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Backend("bubblewrap", ["/no/such/bwrap"])
    monkeypatch.setattr("gcsl_cli.tasks.code.sandbox.backends.bubblewrap", lambda *_: broken)
    ended = gcsl("prepare", *lines, f"runs_dir={tmp_path}")

    assert ended.code == 2
    assert "apt-get install bubblewrap" in ended.err
    assert not list(tmp_path.glob("code/*/shards"))
