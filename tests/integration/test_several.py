"""Several scores per row, from a file shaped like HelpSteer2 to a model that is asked for combinations."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from gcsl_cli.goals.combinations import combination
from gcsl_cli.goals.joint import JointSpec
from gcsl_cli.goals.spec_file import load_spec
from tests.commands import Ended, gcsl

Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def helpsteer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty prompts, two responses each, graded from 0 to 4; some have no verbosity, and none is long and helpful."""
    path, draw = tmp_path_factory.mktemp("helpsteer") / "helpsteer.jsonl", random.Random(0)
    rows = []
    for number in range(60):
        for _ in range(2):
            helpfulness = draw.randint(0, 4)
            verbosity = draw.randint(0, 4 - helpfulness)
            words = " ".join(["yes"] * helpfulness + ["well"] * (2 * verbosity) + [str(number)])
            grades = {"helpfulness": helpfulness, "correctness": helpfulness, "coherence": 4, "complexity": 1}
            row = {"prompt": f"What is {number}?", "response": words, **grades, "verbosity": verbosity}
            rows.append(row if number % 10 else row | {"verbosity": None})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("several") / "runs"


@pytest.fixture
def run(runs: Path, helpsteer: Path, tiny_model: Path) -> Run:
    """Run a stage on the file with JSON output."""

    def command(stage: str, *overrides: str) -> Ended:
        lines = [
            "task=feedback",
            f"task.path={helpsteer}",
            "task.columns.scores=[helpfulness,verbosity]",
            "model=local",
            f"model.uri={tiny_model}",
            "train.max_steps=2",
            "train.batch_size=8",
            "train.precision=fp32",
            "generation.prompts=2",
            "generation.samples=2",
            "generation.max_new_tokens=4",
            "evaluation.bootstrap=20",
            f"runs_dir={runs}",
        ]
        return gcsl(stage, "--json", *lines, *overrides)

    return command


def result(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


@pytest.mark.parametrize("goal", ["best", "verbosity=1", "helpfulness=worst,verbosity=best", None])
def test_a_model_of_two_scores_can_be_talked_to(run: Run, goal: str | None) -> None:
    trained = result(run("train"))["run"]
    asked = [] if goal is None else ["--goal", goal]
    ended = gcsl("chat", trained, *asked, "--guidance", "1", "--prompt", "What is 1?", "--tokens", "3")

    assert ended.code == 0, ended.err


def test_an_unknown_part_in_a_chat_is_explained(run: Run) -> None:
    trained = result(run("train"))["run"]
    ended = gcsl("chat", trained, "--goal", "verbose=1", "--prompt", "What is 1?")

    assert ended.code == 2
    assert "verbose" in ended.err
    assert "verbosity" in ended.err


def test_a_model_is_trained_on_two_scores_and_asked_for_both(run: Run) -> None:
    trained = Path(result(run("train"))["run"])
    spec = load_spec(trained)
    assert isinstance(spec, JointSpec)
    plan = pq.read_table(trained / "plan.parquet")
    goals = combination(plan["goal"].to_numpy(), spec.counts)

    assert spec.names == ("helpfulness", "verbosity")
    assert spec.text(spec.best) == (
        "Give a response whose helpfulness is at least 4 of 4 and whose verbosity is at least 4 of 4."
    )
    assert (goals[:, 0] >= 0).any()
    assert (goals < 0).any(), "some parts are left open"
    assert np.isfinite(plan["missed"].to_numpy()).any()

    asked = run("generate", "generation.target.helpfulness=best", "generation.target.verbosity=4")
    assert "No training row reached helpfulness 4, verbosity 4 together. The nearest that rows had:" in asked.err
    assert dict(result(asked)["summary"])["goal"] == spec.text(spec.best)
    once_more = run("generate", "generation.target.helpfulness=best", "generation.target.verbosity=4")
    assert "No training row reached" not in once_more.err

    alone = run("generate", "generation.target.verbosity=1", "generation.guidance=1", "generation.against.verbosity=4")
    assert dict(result(alone)["summary"])["goal"] == "Give a response whose verbosity is at least 1 of 4."
    weighted = run("generate", "generation.guidance.verbosity=2", "generation.guidance.helpfulness=1")
    assert dict(result(weighted)["summary"])["guidance"] == "verbosity 2, helpfulness 1"
    assert "best-w-verbosity=2,helpfulness=1" in result(weighted)["run"]
    reachable = dict(result(run("generate", "generation.target=reachable"))["summary"])["goal"]
    assert reachable != spec.text(spec.best)


def test_the_exported_template_takes_the_goal_of_each_part(run: Run) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(Path(result(run("train"))["run"]) / "model")
    chat = [{"role": "user", "content": "What is 5?"}]

    def rendered(**goal: Any) -> str:
        return str(tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, **goal))

    assert "helpfulness is at least 4 of 4 and whose verbosity is at least 4 of 4.\nWhat is 5?" in rendered()
    assert "Give a response whose verbosity is at least 1 of 4.\n" in rendered(goal={"verbosity": 1})
    assert "Give" not in rendered(goal="none")


def test_the_evaluation_tells_the_parts_apart_on_held_out_rows(run: Run) -> None:
    ended = run("evaluate", "evaluation.base=false")
    found = result(ended)["result"]

    assert [arm["name"] for arm in found["arms"]] == [
        "worst",
        "helpfulness=worst,verbosity=best",
        "helpfulness=best,verbosity=worst",
        "best",
    ]
    assert found["arms"][1]["goal"] == {"helpfulness": 0.0, "verbosity": 4.0}
    assert set(found["part_discrimination"]["verbosity"]) == {"helpfulness", "verbosity"}
    assert found["part_discrimination"]["helpfulness"]["helpfulness"]["n"] > 0


@pytest.mark.parametrize("wording", ["token", "number"])
def test_other_wordings(run: Run, wording: str) -> None:
    trained = Path(result(run("train", f"goal.wording={wording}"))["run"])
    spec = load_spec(trained)

    expected = {"token": "<|goal_0_4|><|goal_1_4|>", "number": "helpfulness: 4, verbosity: 4"}
    assert spec.text(spec.best) == expected[wording]


def test_steerlm_writes_all_attributes(run: Run) -> None:
    prepared = Path(
        result(run("prepare", "goal=steerlm", "task.columns.scores=[helpfulness,correctness,verbosity]"))["run"]
    )
    spec = load_spec(prepared)

    assert spec.text(spec.best) == "helpfulness:4,correctness:4,verbosity:4"
    assert spec.placement == "assistant_prefix"


def test_one_part_or_the_mean_can_be_trained_alone(run: Run) -> None:
    alone = load_spec(Path(result(run("prepare", "goal.parts.names=[verbosity]"))["run"]))
    mean = load_spec(Path(result(run("prepare", "goal.parts.names=[]"))["run"]))

    assert alone.text(alone.goal(3)) == "Give a response whose verbosity is at least 3 of 4."
    assert not isinstance(mean, JointSpec)
    assert mean.scale.name == "mean of the scores"


def test_the_dry_run_shows_the_combinations(run: Run) -> None:
    ended = gcsl_lines(run("train", "dry_run=true"))

    table = ended["helpfulness 4, verbosity"]
    assert re.fullmatch(
        r"(open: \d+ \(\d+\), )?0: [1-9]\d* \(\d+\), 1: 0 \(0\), .*, 4: 0 \(0\) rows \(planned\)", table
    )
    assert ended["not graded"] == "verbosity: 12 rows"
    assert "No training row reached helpfulness 4, verbosity 4 together" in ended["best of all parts"]


def test_new_completions_are_graded_in_all_scores(small_run: Callable[[Path], list[str]], tmp_path: Path) -> None:
    lines = ["task.scores=[politeness,length]", "task.feedback.cut=true", "goal.parts.levels={length: [4]}"]
    ended = gcsl("evaluate", "--json", *small_run(tmp_path), *lines, "evaluation.base=false", "evaluation.levels=all")
    several = result(ended)["result"]["several"]

    assert several["scores"]["length"] == {"lower_is_better": True, "low": 0.0, "high": 20.0}
    assert len(several["arms"]) == 6, "three levels of politeness, two of length"
    assert several["arms"][-1]["asked"] == {"politeness": 0.9, "length": 4.0}
    assert set(several["front"]) <= {arm["name"] for arm in several["arms"]}
    assert 0 < several["hypervolume"]["value"] < 1
    assert set(several["parts"][1]["moves"]) == {"politeness", "length"}
    report = (Path(result(ended)["run"]) / "report.md").read_text(encoding="utf-8")
    assert "## Several scores" in report
    assert "## How the parts of the goal interact" in report


def gcsl_lines(ended: Ended) -> dict[str, str]:
    return dict(result(ended)["summary"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task.columns.scores=[helpfulness,verbose]"], "has no such column. Did you mean verbosity?"),
        (["task.columns.scores=[helpfulness,coherence]"], "coherence: All "),
        (["generation.target.verbosity=9", "seed=1"], "target.verbosity=9: not a level of this model"),
        (["goal.parts.frame=Text:"], "goal.parts.frame='Text:': needs the placeholder {parts} exactly once"),
        (["goal.parts.frame=''"], "goal.parts.frame='': needs the placeholder {parts} exactly once"),
        (["goal.parts.levels={verbosity: [9]}"], "verbosity: goal.parts.levels.verbosity: no row reaches the level 9"),
        (
            ["goal.parts.templates={verbosity: long}"],
            "verbosity: goal.parts.templates.verbosity='long': no placeholder identifies",
        ),
    ],
)
def test_what_the_data_does_not_allow(run: Run, overrides: list[str], message: str) -> None:
    ended = run("train", *overrides)

    assert ended.code == 2
    assert message in ended.err


def test_a_score_that_nobody_gave_is_named(run: Run, helpsteer: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) | {"verbosity": None} for line in helpsteer.read_text().splitlines()]
    (tmp_path / "none.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ended = run("train", f"task.path={tmp_path / 'none.jsonl'}")

    assert ended.code == 2
    assert "No training row has a score for verbosity" in ended.err
    assert "goal.parts.names=[helpfulness]" in ended.err
