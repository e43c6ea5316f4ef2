"""All kinds of goals, from graded rows to requests to the trained model, through the real command line."""

import json
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from gcsl_cli.data.records import read_feedback
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.goals.spec_file import load_spec
from tests import outputs
from tests.commands import Ended, gcsl

WORDINGS = ("language", "token", "number")
FORMULATIONS = ("threshold", "exact")
PLAIN = ("before_prompt", "after_prompt")
CHAT = (*PLAIN, "system", "assistant_prefix", "role")
RAW = ["goal=gcsl_bey", "goal.levels.by=raw", "goal.wording=number", "goal.balance=none"]

Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty prompts with three graded answers each."""
    path = tmp_path_factory.mktemp("graded") / "answers.jsonl"
    rows = [
        {"question": f"What is {number}?", "answer": f"{'yes ' * grade}{number}", "rating": grade}
        for number in range(40)
        for grade in ((1, 3, 5) if number % 2 else (2, 4, 4))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("goals") / "runs"


@pytest.fixture
def run(runs: Path, graded: Path, tiny_model: Path) -> Run:
    """Run a stage on the graded answers with JSON output."""

    def command(stage: str, *overrides: str) -> Ended:
        lines = [
            "task=feedback",
            f"task.path={graded}",
            "model=local",
            f"model.uri={tiny_model}",
            "train.max_steps=2",
            "train.batch_size=4",
            "train.precision=fp32",
            "generation.prompts=2",
            "generation.samples=2",
            "generation.max_new_tokens=4",
            "evaluation.discrimination_rows=12",
            "evaluation.bootstrap=50",
            f"runs_dir={runs}",
        ]
        return gcsl(stage, *lines, *overrides, "--json")

    return command


def folder(ended: Ended) -> Path:
    assert ended.code == 0, ended.err
    return Path(json.loads(ended.out)["run"])


def planned(path: Path) -> list[tuple[int, float]]:
    plan = pq.read_table(path / "plan.parquet").to_pydict()
    return [*zip(plan["row"], plan["goal"], strict=True)]


def train_scores(path: Path) -> list[float]:
    feedback = Path(path.parent) / next(p.name for p in path.parent.glob("feedback-*"))
    return [row.score for row in read_feedback(feedback / "feedback.parquet") if row.split == "train"]


def check_relabelling(path: Path, spec: GoalSpec) -> None:
    """Check that every planned goal is reached by its row and that an exact goal is the highest reached."""
    scores = train_scores(path)
    for row, goal in planned(path):
        reached = [level for level in spec.levels if scores[row] >= level] or [scores[row]]
        assert goal == reached[-1] if spec.formulation == "exact" else goal in reached


def check_template(path: Path, spec: GoalSpec) -> None:
    """Check the exported folder with plain `transformers`: it requests the best goal, another one, or none."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path / "model")
    turn = [{"role": "user", "content": "What is 7?"}]

    def rendered(**goal: Any) -> str:
        return str(tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True, **goal))

    assert spec.text(spec.best) in rendered()
    assert rendered() == rendered(goal="best")
    assert spec.text(spec.worst) in rendered(goal="worst")
    assert spec.text(spec.best) not in rendered(goal="none")
    assert "What is 7?" in rendered(goal="none")


COMBINATIONS = [
    *[
        (wording, formulation, placement, "plain")
        for wording, formulation, placement in product(WORDINGS, FORMULATIONS, PLAIN)
    ],
    *[
        (wording, formulation, placement, "chat")
        for wording, formulation, placement in product(WORDINGS, FORMULATIONS, CHAT)
    ],
]


@pytest.mark.parametrize(("wording", "formulation", "placement", "prompt_format"), COMBINATIONS)
def test_every_combination_is_relabelled_trained_and_exported(
    run: Run, wording: str, formulation: str, placement: str, prompt_format: str
) -> None:
    lines = [
        f"goal.wording={wording}",
        f"goal.formulation={formulation}",
        f"goal.placement={placement}",
        f"task.format={prompt_format}",
    ]
    ended = run("generate", *lines)
    assert ended.code == 0, ended.err
    path = Path(json.loads(ended.out)["run"]).parents[1]
    spec = load_spec(path)

    assert list(spec.levels) == [1, 2, 3, 4, 5]
    check_relabelling(path, spec)
    check_template(path, spec)


@pytest.mark.parametrize(
    ("lines", "levels"),
    [
        (["goal.levels.by=quantile", "goal.levels.quantiles=[0.5]"], (1, 3)),
        (["goal.levels.by=fixed", "goal.levels.values=[2,4.5]"], (1, 2, 4.5)),
        (["goal.levels.by=distinct"], (1, 2, 3, 4, 5)),
        (["goal.levels.by=quantile", "goal.pairing=all"], None),
        (["goal.dropout=0.5"], (1, 2, 3, 4, 5)),
        (["goal.weights=[0,0.5,1,1,2]"], (1, 2, 3, 4, 5)),
    ],
)
def test_levels_pairing_and_balance(run: Run, lines: list[str], levels: tuple[float, ...] | None) -> None:
    path = folder(run("train", *lines))
    spec = load_spec(path)

    assert levels is None or spec.levels == levels
    goals = [goal for _, goal in planned(path)]
    assert all(np.isnan(goal) or goal in spec.levels for goal in goals)


def test_quantiles_within_each_prompt(run: Run) -> None:
    """The best of three answers beats both others; with two equal answers at the top, none does."""
    lines = ["goal.levels.by=quantile", "goal.levels.per=prompt", "goal.levels.quantiles=[0.5,1]"]
    ended = run("evaluate", *lines, "evaluation.levels=all")
    assert ended.code == 0, ended.err
    path = Path(json.loads(ended.out)["run"]).parents[1]
    spec = load_spec(path)

    assert (spec.levels, spec.per) == ((0, 0.5, 1), "prompt")
    assert spec.texts[1] == "Give a response whose quality beats at least 50% of the other responses."
    highest = {1: 0, 2: 0, 3: 0.5, 4: 0.5, 5: 1}
    scores = train_scores(path)
    assert all(goal <= highest[int(scores[row])] for row, goal in planned(path))


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_raw_scores_accept_any_number(run: Run, formulation: str) -> None:
    lines = [*RAW, f"goal.formulation={formulation}", "goal.template='score {level:.1f}:'"]
    path = folder(run("train", *lines))
    spec = load_spec(path)
    check_relabelling_raw = [(row, goal) for row, goal in planned(path)]
    scores = train_scores(path)

    assert all(
        goal == scores[row] if formulation == "exact" else goal <= scores[row] for row, goal in check_relabelling_raw
    )
    assert spec.levels == ()
    check_template(path, spec)
    assert run("generate", *lines, "generation.target=7.5", "generation.guidance=1", "generation.against=-2").code == 0


def test_guidance_against_the_prompt_without_a_goal_and_against_a_level(run: Run) -> None:
    for against in ("none", "worst", "3"):
        ended = run("generate", "goal.dropout=0.5", "generation.guidance=1.5", f"generation.against={against}")
        assert ended.code == 0, ended.err
        name = Path(json.loads(ended.out)["run"]).name
        assert name.startswith("best-w1.5-" if against == "worst" else f"best-w1.5-{against}-")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["generation.target=2.5"], "target=2.5: not a level of this model. Nearest: 2 and 3"),
        (["generation.guidance=1", "generation.against=9"], "target=9: not a level of this model. Nearest: 5 and 4"),
        (["evaluation.levels=[worst,6]"], "target=6: not a level"),
        (["task.format=plain", "goal.placement=system"], "a plain text has no system turn"),
        (["task.format=plain", "goal.placement=role"], "a plain text has no roles"),
        (["goal.template='be good'"], "no placeholder identifies the level"),
        (["goal.template='{grade}'"], "{grade}: no such placeholder"),
        (["goal.sentences=[a,b]"], "There are 5 levels but only 2 sentences"),
        (["goal.weights=[1,2,3,4,5,6]"], "6 weights for 5 levels"),
        (["goal.levels.values=[9]"], "no row reaches the level 9"),
        (
            ["goal.template='{level} " + "very " * 200 + "'"],
            "leave no room for 4 tokens (generation.max_new_tokens) in the model's context of 512",
        ),
        (["goal.levels.by=quantile", "goal.levels.quantiles=[0]"], "leaves one level"),
    ],
)
def test_impossible_goal_is_rejected_before_training(run: Run, lines: list[str], message: str) -> None:
    ended = run("evaluate", *lines)

    assert ended.code == 2
    assert message in json.loads(ended.out)["message"]


def test_edited_or_newer_goal_json_is_rejected(run: Run, runs: Path) -> None:
    lines = ["seed=77"]
    path = folder(run("train", *lines)) / "goal.json"
    original = path.read_text(encoding="utf-8")

    path.write_text(original.replace("at least 5", "at least 500"), encoding="utf-8")
    edited = run("generate", *lines)
    path.write_text(original.replace('"format_version": 2', '"format_version": 3'), encoding="utf-8")
    newer = run("generate", *lines)

    assert (edited.code, newer.code) == (2, 2)
    assert "The file was edited" in json.loads(edited.out)["message"]
    assert "format version 3; this gcsl reads version 2. Update gcsl" in json.loads(newer.out)["message"]


def test_file_without_a_scorer_is_evaluated_by_likelihood(run: Run) -> None:
    ended = run("evaluate", "evaluation.generations=false")
    result = json.loads(ended.out)["result"]

    assert ended.code == 0, ended.err
    assert result["arms"] == []
    assert set(result["discrimination"]) == {"trained", "base"}
    assert [level["label"] for level in result["likelihoods"]["levels"]] == ["1", "5"]
    assert result["likelihoods"]["good"] + result["likelihoods"]["poor"] == 12
    assert all(level[group]["value"] < 0 for level in result["likelihoods"]["levels"] for group in ("good", "poor"))
    shown = run("evaluate")
    assert json.loads(shown.out)["result"]["attainment"] is None
    assert "perplexity under base" in json.loads(shown.out)["columns"]


def test_dry_run_shows_file_scores_and_goals(run: Run, runs: Path) -> None:
    before = sorted(runs.rglob("*")) if runs.exists() else []
    ended = run("train", "dry_run=true", "seed=5")
    summary = json.loads(ended.out)["summary"]
    lines: dict[str, list[str]] = {}
    for label, value in summary:
        lines.setdefault(label, []).append(value)

    assert ended.code == 0, ended.err
    assert lines["columns"] == ["prompt=question, completion=answer, score=rating"]
    assert lines["prompts"] == ["40, 40 of them with several grades"]
    assert lines["scores"][0].startswith("1: ")
    assert ["[supervised: " in text for text in lines["example"]] == [True, True, True, False]
    assert all("[goal: Give a response" in text for text in lines["example"])
    assert re.search(r"\[goal: Give .* at least 5 .*\[pushed down: ", lines["example"][-1], re.DOTALL)
    assert sorted(runs.rglob("*")) == before


def test_faults_stop_the_run_or_are_skipped(run: Run, tmp_path: Path, graded: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text(graded.read_text(encoding="utf-8") + '{"question": "a", "answer": "b", "rating": "x"}\n')

    refused = run("train", f"task.path={broken}")
    skipped = run("train", f"task.path={broken}", "task.on_error=skip")

    assert refused.code == 2
    assert 'rating is not a number: broken.jsonl:121 rating="x"' in json.loads(refused.out)["message"]
    kept = folder(skipped).parent.glob("feedback-broken-*/rejected.jsonl")
    assert [json.loads(file.read_text(encoding="utf-8"))["line"] for file in kept] == [121]


def test_control_tokens_resume_from_a_checkpoint(tmp_path: Path, run: Run) -> None:
    import signal

    from tests.commands import gcsl_until

    lines = ["goal.wording=token", "goal.tokens=2", "train.control_token_learning_rate=0.01"]
    lines += ["train.max_steps=4", "train.checkpoint_every=2", "seed=9"]
    whole = folder(run("train", *lines))
    sent = json.loads((whole / "manifest.json").read_text(encoding="utf-8"))["command"]
    arguments = [part for part in sent.split()[2:] if not part.startswith(("runs_dir", "--"))]
    stopped = gcsl_until(
        "*/checkpoint-4/complete.json", signal.SIGKILL, tmp_path, "train", *arguments, f"runs_dir={tmp_path}"
    )
    assert stopped.code == -signal.SIGKILL, stopped.err
    again = gcsl("train", *arguments, f"runs_dir={tmp_path}", "--json")
    outputs.assert_same_training(folder(again), whole)


def test_configured_scorer_grades_completions_like_the_file(run: Run) -> None:
    """Lower grades are better, so the best goal is the lowest grade; achieved values are scores."""
    ended = run(
        "evaluate",
        "task.score_direction=lower",
        "scorer=profanity",
        "generation.target=2",
    )
    result = json.loads(ended.out)["result"]

    assert ended.code == 0, ended.err
    assert result["columns"][0]["name"] == "mean_grade"
    assert [level["label"] for level in result["attainment"]["levels"]] == ["5", "2", "1"]
    assert result["attainment"]["levels"][-1]["asked"].startswith("Give a response whose quality is at most 1 ")
    assert all(-1 <= level["mean"]["value"] <= 0 for level in result["attainment"]["levels"])
    assert any(arm["name"] == "2" for arm in result["arms"])
