"""Training on goals that rows miss, through the real command line on a tiny model."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests import outputs
from tests.commands import gcsl, gcsl_until

Lines = Callable[[Path], list[str]]
MISSED = "goal.missed.weight=1"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("missed") / "runs"


@pytest.fixture(scope="module")
def graded(rtp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred prompts with two completions each, whose grades add up to 1."""
    path = tmp_path_factory.mktemp("graded") / "twice.jsonl"
    rows = [json.loads(line) for line in rtp.read_text(encoding="utf-8").splitlines()]
    others = [
        {**row, "continuation": {"text": " another", "toxicity": 1 - row["continuation"]["toxicity"]}} for row in rows
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows + others), encoding="utf-8")
    return path


@pytest.fixture
def lines(runs: Path, small_run: Lines, graded: Path) -> list[str]:
    given = ["task.feedback.source=rtp", f"task.feedback.path={graded}", "task.feedback.texts=null"]
    return [*small_run(runs), *given, "--json"]


def train(lines: list[str], *more: str) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Train; return the run folder, its plan and its manifest."""
    ended = gcsl("train", *lines, *more)
    assert ended.code == 0, ended.err
    run = Path(json.loads(ended.out)["run"])
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    return run, pq.read_table(run / "plan.parquet").to_pydict(), manifest


@pytest.mark.parametrize(
    "more",
    [
        ["train.micro_batch_size=2"],
        ["goal=exact"],
        ["goal.wording=token", "adapter=lora", "adapter.r=4"],
        ["goal.wording=number", "goal.missed.level=sample"],
        ["goal.dropout=0.5", "goal.weights=[1,0.5,2]"],
        ["goal.placement=after_prompt"],
        ["goal.placement=after_prompt", "goal.pairing=sample", "adapter=lora", "adapter.r=4"],
        ["goal.placement=after_prompt", "goal.pairing=sample", "train.rows_per_prompt=2"],
        ["goal=exact", "train.rows_per_prompt=2"],
        ["train.tokens_per_batch=320", "train.batches_per_step=2", "goal.placement=after_prompt"],
        ["train.tokens_per_batch=320", "train.rows_per_prompt=2"],
        ["goal.levels.per=prompt", "goal.levels.by=quantile", "goal.levels.quantiles=[0,1]"],
        ["goal=gcsl_bey", "goal.levels.by=raw", "goal.wording=number", "goal.balance=none", "goal.missed.gap=0.3"],
        ["task.format=chat", "goal.placement=assistant_prefix"],
    ],
    ids=" ".join,
)
def test_every_kind_of_goal(lines: list[str], more: list[str]) -> None:
    """Copies are planned under a better goal, and all tokens of the plan are the processed ones."""
    run, plan, manifest = train(lines, MISSED, *more)
    goal, missed = np.array(plan["goal"]), np.array(plan["missed"])
    copied = ~np.isnan(missed)

    assert copied.any()
    assert not copied.all()
    assert (missed[copied] > goal[copied]).all()
    assert sum(plan["tokens"]) == manifest["tokens"]
    assert np.isfinite([step[1] for step in outputs.losses(run)]).all()


def test_a_copy_costs_its_goal_and_completion_where_the_prompt_is_shared(lines: list[str]) -> None:
    """The same rows and goals; without sharing, a copy costs its prompt too."""
    shared = ["goal.placement=after_prompt", "goal.pairing=sample", "train.batch_size=64", "train.max_steps=1"]
    _, _, plain = train(lines, *shared, "goal.missed.weight=0")
    _, _, together = train(lines, *shared, MISSED)
    _, _, alone = train(lines, *shared, MISSED, "train.shared_prefix=off")

    assert plain["tokens"] < together["tokens"] < together["tokens_written_out"] == alone["tokens"]
    assert together["supervised_tokens"] == alone["supervised_tokens"] == plain["supervised_tokens"]
    assert together["training_loss"] == pytest.approx(alone["training_loss"], rel=1e-4)
    assert together["training_loss"] > plain["training_loss"]


def test_accumulation_does_not_change_the_loss(lines: list[str]) -> None:
    step = [MISSED, "train.batch_size=8", "train.max_steps=2"]
    losses = [outputs.losses(train(lines, *step, f"train.micro_batch_size={size}")[0]) for size in (8, 2)]

    assert [loss for _, loss, *_ in losses[0]] == pytest.approx([loss for _, loss, *_ in losses[1]], rel=1e-4)


def test_it_goes_on_from_a_checkpoint(lines: list[str], tmp_path: Path, small_run: Lines, graded: Path) -> None:
    given = ["task.feedback.source=rtp", f"task.feedback.path={graded}", "task.feedback.texts=null", MISSED]
    other = [*small_run(tmp_path / "runs"), *given]
    stopped = gcsl_until("*/checkpoint-4/complete.json", signal.SIGKILL, tmp_path, "train", *other)
    assert stopped.code == -signal.SIGKILL

    outputs.assert_same_training(train([*other, "--json"])[0], train(lines, MISSED)[0])


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (["method=rwr"], "weights"),
        (["method=rwr", "method.temperature=0.1", "method.max_weight=5"], "weights"),
        (["method=unlikelihood", "method.threshold=0.3", "method.weight=0.5"], "labels"),
    ],
    ids=" ".join,
)
def test_baselines_without_goals(
    lines: list[str], method: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # no example is wrapped
    ended = gcsl("evaluate", *lines, *method)
    assert ended.code == 0, ended.err
    preview = gcsl("train", *(line for line in lines if line != "--json"), *method, "dry_run=true")

    assert json.loads(ended.out)["result"]["facts"]["method"] == method[0].removeprefix("method=")
    assert f"\n{said} " in preview.out
    assert ("[pushed down: " in preview.out) == ("method=unlikelihood" in method)


def test_validation_prompts_can_be_evaluated_instead_of_test_prompts(lines: list[str]) -> None:
    """The same trained run, with completions of prompts that the test split does not have."""
    results = [
        json.loads(gcsl("evaluate", *lines, f"generation.split={split}").out) for split in ("test", "validation")
    ]
    prompts = [{example["prompt"] for example in one["result"]["examples"]} for one in results]

    assert results[0]["result"]["run"] == results[1]["result"]["run"]
    assert results[0]["run"] != results[1]["run"]
    assert prompts[0].isdisjoint(prompts[1])


def test_the_validation_loss_counts_all_levels_alike(lines: list[str]) -> None:
    """Weights from 0.25 to 1 and copies change the training loss of an unchanged model, but not its validation loss."""
    unchanged = ["train.max_steps=1", "train.learning_rate=1e-12"]
    pushed, plain = (train(lines, f"goal={name}", *unchanged)[2] for name in ("threshold", "gcsl_bey"))

    assert pushed["validation_loss"] == pytest.approx(plain["validation_loss"], rel=1e-5)
    assert pushed["training_loss"] != pytest.approx(plain["training_loss"], rel=1e-2)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([f"{MISSED[:-1]}-1"], "goal.missed.weight=-1"),
        ([MISSED, "goal.missed.margin=0"], "goal.missed.margin=0"),
        ([MISSED, "goal.missed.gap=-1"], "goal.missed.gap=-1"),
        ([MISSED, "goal=none"], f"{MISSED} with method=sft, which trains without goals"),
        ([MISSED, "method=dpo"], f"{MISSED} with method=dpo, which trains without goals"),
        ([MISSED, "goal=gcsl_bey", "goal.levels.by=raw", "goal.wording=number", "goal.balance=none"], "missed.gap=0.2"),
        ([MISSED, "goal.levels.values=[-1]"], "leaves one level"),
        (["method=rwr", "method.temperature=0"], "method.temperature=0"),
        (["method=unlikelihood", "method.threshold=nan"], "method.threshold=nan"),
    ],
)
def test_bad_settings_are_refused(lines: list[str], overrides: list[str], message: str) -> None:
    ended = gcsl("train", *lines, *overrides)

    assert ended.code == 2
    assert message in ended.err
