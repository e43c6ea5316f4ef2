"""The ways to ask for a goal, to train and to be fed, each through the real command line on a tiny model."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from gcsl_cli.data.records import read_feedback
from gcsl_cli.generation import likelihood
from gcsl_cli.models import loading
from gcsl_cli.stages import experiment
from tests import outputs
from tests.commands import gcsl, gcsl_until
from tests.inputs import write_rtp

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Lines = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One runs folder for all, so that feedback is sampled once."""
    return tmp_path_factory.mktemp("variants") / "runs"


def train(runs: Path, small_run: Lines, *overrides: str) -> Path:
    """Train with the overrides; returns the run folder."""
    ended = gcsl("train", *small_run(runs), *overrides, "--json")
    assert ended.code == 0, ended.err
    run = Path(json.loads(ended.out)["run"])
    assert outputs.finished(run)
    return run


def goal(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "goal.json").read_text(encoding="utf-8"))
    return found


def given(rtp: Path) -> list[str]:
    return ["task.feedback.source=rtp", f"task.feedback.path={rtp}", "task.feedback.texts=null"]


def test_lora_trains_every_linear_layer(runs: Path, small_run: Lines, tiny_model: Path) -> None:
    """The adapter is merged: the exported model has the base's tensors, and embeddings and norms are the base's."""
    run = train(runs, small_run, "adapter=lora", "adapter.r=4")
    before, after = outputs.weights(tiny_model), outputs.weights(run / "model")
    assert before.keys() == after.keys()
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved == {name for name in before if name.endswith("_proj.weight")}


def test_lora_goes_on_from_a_checkpoint(tmp_path: Path, runs: Path, small_run: Lines) -> None:
    lines = ["adapter=lora", "adapter.r=4"]
    stopped = gcsl_until(
        "*/checkpoint-4/complete.json", signal.SIGKILL, tmp_path, "train", *small_run(tmp_path / "runs"), *lines
    )
    assert stopped.code == -signal.SIGKILL
    outputs.assert_same_training(train(tmp_path / "runs", small_run, *lines), train(runs, small_run, *lines))


def test_chat_format(runs: Path, small_run: Lines) -> None:
    """The exported template opens the user's turn with the best goal, and the model is sampled through it."""
    from transformers import AutoTokenizer

    lines = ["task.format=chat", "task.instruction='Go on: {prompt}'"]
    run = train(runs, small_run, *lines)
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    turn = [{"role": "user", "content": "I wanted to"}]
    text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    assert text == f"<|user|>{goal(run)['texts'][-1]}\nGo on: I wanted to<|end|><|assistant|>"
    assert gcsl("generate", *small_run(runs), *lines).code == 0


def shared(err: str) -> list[str]:
    """What the log says about prompts."""
    return [line for line in err.splitlines() if "shared prompts: " in line or "prompts are not shared" in line]


def test_goals_after_the_prompt_share_it_unasked(runs: Path, small_run: Lines, rtp: Path) -> None:
    """The manifest, the log and the preview agree; the plan has the goals of a row side by side."""
    lines = [*small_run(runs), *given(rtp), "goal.placement=after_prompt"]
    preview = gcsl("train", *lines, "dry_run=true")
    ended = gcsl("train", *lines, "--json")
    assert ended.code == 0, ended.err
    run = Path(json.loads(ended.out)["run"])
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    times = f"{manifest['tokens_written_out'] / manifest['tokens']:.1f} times fewer tokens"
    plan = pq.read_table(run / "plan.parquet")

    assert manifest["tokens"] < manifest["tokens_written_out"]
    assert sum(plan["tokens"].to_pylist()) == manifest["tokens"]
    assert len(set(plan["sequence"].to_pylist())) < len(plan)
    assert len(shared(ended.err)) == 1
    assert times in shared(ended.err)[0]
    assert times in preview.out


@pytest.mark.parametrize("placement", ["after_prompt", "before_prompt"])
def test_what_held_out_rows_have_in_common_is_computed_once(
    tmp_path: Path, small_run: Lines, rtp: Path, monkeypatch: pytest.MonkeyPatch, placement: str
) -> None:
    """A prompt, or a goal and a prompt; discrimination and likelihoods are those of one row after another.

    In float32: in bfloat16 the two ways round differently, and close rows change places.
    """
    twice = tmp_path / "twice.jsonl"
    once = rtp.read_text(encoding="utf-8")
    twice.write_text(once + once.replace(" number", " another"), encoding="utf-8")
    lines = [*small_run(tmp_path / "runs"), *given(twice), f"goal.placement={placement}"]
    lines += ["evaluation.generations=false", "evaluation.discrimination_rows=1000"]
    passes = []
    shared = likelihood.shared_log_probs

    def counted(model: "PreTrainedModel", rows: Any, index: Any) -> Any:
        neighbours = np.flatnonzero(np.diff(index)) + 1
        passes.append((len(rows), len(np.unique(index)), len(neighbours) + 1))
        return shared(model, rows, index)

    monkeypatch.setattr(likelihood, "shared_log_probs", counted)
    for module in (experiment, loading):  # the base and the trained model
        monkeypatch.setattr(module, "inference_dtype", lambda: torch.float32)
    results = []
    for shares in (True, False):
        if not shares:
            monkeypatch.setattr(likelihood, "unshared_reason", lambda *_: "a test")
        ended = gcsl("evaluate", *lines, "force=true", "--json")
        assert ended.code == 0, ended.err
        results.append(json.loads(ended.out)["result"])
    together, alone = results

    assert passes
    for rows, prompts, groups in passes:
        assert rows == prompts * (4 if placement == "after_prompt" else 2), "two completions, under two goals"
        assert groups == prompts
    assert together["discrimination"]["trained"]["pooled"]["value"] == pytest.approx(
        alone["discrimination"]["trained"]["pooled"]["value"], abs=1e-9
    )
    for one, other in zip(together["likelihoods"]["levels"], alone["likelihoods"]["levels"], strict=True):
        assert one["good"]["value"] == pytest.approx(other["good"]["value"], rel=1e-4)


def test_rows_of_a_prompt_share_it_under_a_goal_before_it(
    runs: Path, small_run: Lines, rtp: Path, tmp_path: Path
) -> None:
    """Under one goal; the loss of a step, which takes most rows, is that of the same rows one by one."""
    twice = tmp_path / "twice.jsonl"
    once = rtp.read_text(encoding="utf-8")
    twice.write_text(once + once.replace(" number", " another"), encoding="utf-8")
    lines = [*small_run(runs), *given(twice), "goal=exact", "goal.placement=before_prompt", "train.rows_per_prompt=4"]
    step = ["train.batch_size=64", "train.max_steps=1"]
    plans, manifests = [], []
    for shared_prefix in ("auto", "off"):
        ended = gcsl("train", *lines, f"train.shared_prefix={shared_prefix}", *step, "--json")
        assert ended.code == 0, ended.err
        run = Path(json.loads(ended.out)["run"])
        plans.append(pq.read_table(run / "plan.parquet").to_pydict())
        manifests.append(json.loads((run / "manifest.json").read_text(encoding="utf-8")))
    plan, (together, alone) = plans[0], manifests
    sequences = set(plan["sequence"])

    assert sorted(plan["row"]) == sorted(plans[1]["row"])
    assert len(set(zip(plan["sequence"], plan["goal"], strict=True))) == len(sequences) < len(plan["row"])
    assert together["tokens"] < together["tokens_written_out"] == alone["tokens"]
    assert together["training_loss"] == pytest.approx(alone["training_loss"], rel=1e-4)


def test_prompts_are_not_shared_where_that_is_not_exact(tmp_path: Path, small_run: Lines, rtp: Path) -> None:
    """Dropout draws other values for every row: said in a line, refused where it was asked for."""
    lines = [*small_run(tmp_path / "runs"), *given(rtp), "goal.placement=after_prompt", "adapter=lora"]
    lines += ["adapter.r=4", "adapter.dropout=0.1"]
    refused = gcsl("train", *lines, "train.shared_prefix=on")
    assert refused.code == 2
    assert "train.shared_prefix=on with adapter.dropout=0.1: dropout differs from row to row" in refused.err
    ended = gcsl("train", *lines, "--json")
    assert ended.code == 0, ended.err
    run = Path(json.loads(ended.out)["run"])
    planned = pq.read_table(run / "plan.parquet")["tokens"].to_numpy().sum()
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["tokens"] == planned, "a budget of tokens counts what is computed"
    assert len(shared(ended.err)) == 1
    assert "prompts are not shared between rows: adapter.dropout=0.1 drops other values in every row" in ended.err


def test_prompts_are_not_shared_when_that_is_off(tmp_path: Path, small_run: Lines, rtp: Path) -> None:
    lines = [*small_run(tmp_path / "runs"), *given(rtp), "goal.placement=after_prompt"]
    ended = gcsl("train", *lines, "train.shared_prefix=off", "--json")
    assert ended.code == 0, ended.err
    manifest = json.loads((Path(json.loads(ended.out)["run"]) / "manifest.json").read_text(encoding="utf-8"))

    assert shared(ended.err) == []
    assert "tokens_written_out" not in manifest


def test_forward_passes_by_tokens_and_rows_that_count_once(tmp_path: Path, small_run: Lines, rtp: Path) -> None:
    lines = [*small_run(tmp_path / "runs"), *given(rtp), "goal=gcsl_bey", "goal.placement=after_prompt"]
    more = ["train.tokens_per_batch=320", "train.batches_per_step=2", "goal.pairing_weight=rows", "goal.balance=none"]
    ended = gcsl("train", *lines, *more, "--json")
    assert ended.code == 0, ended.err
    plan = pq.read_table(Path(json.loads(ended.out)["run"]) / "plan.parquet").to_pydict()
    tokens = np.bincount(plan["micro"], weights=plan["tokens"])

    assert tokens.max() <= 320
    assert max(plan["micro"]) + 1 == 2 * (max(plan["step"]) + 1)
    assert len(set(plan["weight"])) > 1


def test_the_goal_after_the_prompt(runs: Path, small_run: Lines, rtp: Path) -> None:
    ended = gcsl("train", *small_run(runs), *given(rtp), "goal.placement=after_prompt", "dry_run=true")
    assert ended.code == 0, ended.err
    shown = " ".join(ended.out.split("example", 1)[1].split())
    assert re.match(r"[a-z ]+ \[goal: The [^]]+\] ?\[supervised: ", shown)
    run = train(runs, small_run, *given(rtp), "goal.placement=after_prompt")
    assert goal(run)["placement"] == "after_prompt"


def test_all_reached_levels(runs: Path, small_run: Lines, rtp: Path) -> None:
    """Scores are 0.01 to 1.00, levels the minimum and 0.5; a row comes once with each that it reaches.

    The plan leaves out less than one batch, because every step has as many rows as the others.
    """
    lines = ["goal.pairing=all", "goal.balance=none", "goal.levels.values=[0.5]", "train.max_steps=null"]
    run = train(runs, small_run, *given(rtp), *lines)
    plan = pq.read_table(run / "plan.parquet").to_pydict()
    rows = pq.read_table(run / "rows.parquet").to_pydict()
    levels = goal(run)["levels"]
    planned = [*zip(plan["row"], plan["goal"], strict=True)]
    reached = [(row, levels[level]) for row, level in zip(rows["row"], rows["level"], strict=True)]
    assert len(planned) == len(set(planned)) == 4 * (len(reached) // 4)
    assert set(planned) <= set(reached)
    scores = [row.score for row in read_feedback(feedback_file(run)) if row.split == "train"]
    assert rows["row"].count(0) == 1 + (scores[0] >= 0.5)
    assert len(rows["row"]) == len(scores) + sum(score >= 0.5 for score in scores)


def test_balanced_levels_get_equal_shares(runs: Path, small_run: Lines, rtp: Path) -> None:
    lines = ["goal.pairing=sample", "goal.balance=levels", "goal.levels.values=[0.5,0.9]", "train.max_steps=null"]
    run = train(runs, small_run, *given(rtp), *lines)
    asked, drawn = np.unique(pq.read_table(run / "plan.parquet")["goal"].to_numpy(), return_counts=True)
    assert asked.tolist() == goal(run)["levels"]
    assert drawn.max() - drawn.min() <= 1


def test_quantile_levels(runs: Path, small_run: Lines, rtp: Path) -> None:
    """A level at quantile q is reached by a share 1 - q of the training rows, whose scores all differ."""
    run = train(runs, small_run, *given(rtp), "goal.levels.by=quantile", "goal.levels.quantiles=[0,0.5]")
    scores = sorted(row.score for row in read_feedback(feedback_file(run)) if row.split == "train")
    assert goal(run)["levels"] == [scores[0], scores[len(scores) // 2]]


def test_distinct_levels(tmp_path: Path, small_run: Lines) -> None:
    write_rtp(tmp_path / "rtp.jsonl", [0.0, 0.25, 1.0] * 30)
    run = train(tmp_path / "runs", small_run, *given(tmp_path / "rtp.jsonl"), "goal.levels.by=distinct")
    assert goal(run)["levels"] == [0.0, 0.75, 1.0]
    assert len(goal(run)["texts"]) == 3


def test_micro_batches_change_nothing_but_memory(tmp_path: Path, small_run: Lines) -> None:
    """Two forward passes of two rows a step: the same plan of rows, and weights that agree up to rounding."""
    whole = train(tmp_path / "whole", small_run, "adapter=none")
    parts = train(tmp_path / "parts", small_run, "adapter=none", "train.micro_batch_size=2")
    plans = [pq.read_table(run / "plan.parquet").to_pydict() for run in (whole, parts)]
    assert sorted(zip(plans[0]["step"], plans[0]["row"], strict=True)) == sorted(
        zip(plans[1]["step"], plans[1]["row"], strict=True)
    )
    ours, theirs = outputs.weights(whole / "model"), outputs.weights(parts / "model")
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=2e-5, err_msg=name)


def test_real_rtp_rows(tmp_path: Path, small_run: Lines, real_rtp: Path) -> None:
    """RealToxicityPrompts' own rows: read, graded, split, trained on for a few steps."""
    run = train(tmp_path / "runs", small_run, *given(real_rtp), "task.feedback.rows=600")
    rows = outputs.feedback(tmp_path / "runs")
    assert 300 < len(rows) <= 600
    assert min(row.score for row in rows) < 0.2 < 0.8 < max(row.score for row in rows)
    assert goal(run)["levels"][0] == min(row.score for row in rows if row.split == "train")


def feedback_file(run: Path) -> Path:
    """Where the feedback of a run is."""
    return Path(json.loads((run / "manifest.json").read_text(encoding="utf-8"))["feedback"]) / "feedback.parquet"
