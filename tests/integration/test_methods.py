"""Plain fine-tuning on the same graded rows, through the real command line."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gcsl_cli.goals.spec_file import load_spec
from tests import outputs
from tests.commands import gcsl, gcsl_until

Lines = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("methods") / "runs"


@pytest.fixture
def lines(runs: Path, small_run: Lines, rtp: Path) -> list[str]:
    """A hundred graded rows with scores 0.01 to 1.00, no sampling for feedback."""
    given = ["task.feedback.source=rtp", f"task.feedback.path={rtp}", "task.feedback.texts=null"]
    return [*small_run(runs), *given, "--json"]


def test_rows_are_trained_without_a_goal_and_the_model_asks_for_none(lines: list[str]) -> None:
    from transformers import AutoTokenizer

    ended = gcsl("train", *lines, "method=sft")
    assert ended.code == 0, ended.err
    run = Path(json.loads(ended.out)["run"])

    assert run.name.startswith("sft-all-")
    assert np.isnan(pq.read_table(run / "plan.parquet")["goal"].to_numpy()).all()
    assert not load_spec(run).has_goal
    assert not (run / "rows.parquet").exists()
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    turn = [{"role": "user", "content": "I wanted to"}]
    assert tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) == "I wanted to"


def test_no_goal_is_the_same_run(lines: list[str]) -> None:
    runs = [json.loads(gcsl("train", *lines, line).out)["run"] for line in ("method=sft", "goal=none")]

    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("select", "kept"),
    [
        (["method.select=top_fraction", "method.top_fraction=0.2"], lambda scores: scores[-round(0.2 * len(scores)) :]),
        (["method.select=min_score", "method.min_score=0.5"], lambda scores: [s for s in scores if s >= 0.5]),
        (["method.select=best_per_prompt"], lambda scores: scores),
    ],
)
def test_only_the_selected_rows_are_planned(
    lines: list[str], runs: Path, select: list[str], kept: Callable[[list[float]], list[float]]
) -> None:
    """All scores differ, and every prompt has one row, so the best of each are all of them."""
    ended = gcsl("prepare", *lines, "method=sft", *select, "train.max_steps=null")
    assert ended.code == 0, ended.err
    table = pq.read_table(outputs.only(runs, "toxicity/feedback-rtp-*/feedback.parquet"))
    train = table.filter(np.array(table["split"].to_pylist()) == "train")
    expected = kept(sorted(train["score"].to_pylist()))

    told = dict(json.loads(ended.out)["summary"])
    assert told["training rows"] == f"{len(expected)} (mean {np.mean(expected):.3f})"
    assert told["plan"].startswith(f"{len(expected) // 4} steps, ")


def test_it_is_evaluated_beside_base_and_by_likelihood(lines: list[str]) -> None:
    ended = gcsl("evaluate", *lines, "method=sft")
    result = json.loads(ended.out)["result"]

    assert ended.code == 0, ended.err
    assert [arm["name"] for arm in result["arms"]] == ["base", "trained"]
    assert (result["discrimination"], result["attainment"]) == (None, None)
    assert [level["label"] for level in result["likelihoods"]["levels"]] == ["none"]
    assert result["facts"]["method"] == "sft"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["method=sft", "goal=exact"], "goal=exact with method=sft, which trains without goals"),
        (["method=sft", "goal.wording=token"], "goal.wording=token with method=sft"),
        (["method=sft", "generation.guidance=2"], "generation.guidance=2 with a model trained without goals"),
        (["goal=none", "generation.target=best"], "generation.target=best with a model trained without goals"),
        (["method=sft", "method.select=min_score"], "method.select=min_score needs the lowest grade"),
        (["method=sft", "method.top_fraction=0"], "method.top_fraction=0.0: must be above 0"),
        (["method=sft", "method.select=min_score", "method.min_score=2"], "No row has a score of 2 or more"),
    ],
)
def test_what_plain_fine_tuning_cannot_do(lines: list[str], asked: list[str], said: str) -> None:
    ended = gcsl("generate", *lines, *asked)

    assert ended.code == 2
    assert said in json.loads(ended.out)["message"]


@pytest.fixture
def sampled(runs: Path, small_run: Lines) -> list[str]:
    """Two graded rollouts of each prompt: what preferences need."""
    return [*small_run(runs), "task.feedback.texts=null", "--json"]


@pytest.mark.parametrize("adapter", ["lora", "none"])
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_preferences_train_on_the_same_rows(sampled: list[str], tiny_model: Path, method: str, adapter: str) -> None:
    """The loss begins at what no preference gives: log 2 for DPO, a half for KTO."""
    ended = gcsl("train", *sampled, f"method={method}", f"adapter={adapter}", "train.learning_rate=1e-2")
    assert ended.code == 0, ended.err
    run = Path(json.loads(ended.out)["run"])
    log = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))

    assert run.name.startswith(f"{method}-")
    assert losses[0] == pytest.approx(np.log(2) if method == "dpo" else 0.5, abs=1e-3)
    assert losses[-1] != losses[0]
    assert (manifest["steps"], manifest["budget"]) == (len(losses), "1 epoch, at most 4 steps")
    assert manifest["tokens"] == pq.read_table(run / "plan.parquet")["tokens"].to_numpy().sum()
    moved, given = outputs.weights(run / "model"), outputs.weights(tiny_model)
    assert any((moved[name] != given[name]).any() for name in given)
    assert not load_spec(run).has_goal


def test_pairs_are_written_down_and_are_what_is_trained_on(sampled: list[str], runs: Path) -> None:
    ended = gcsl("train", *sampled, "method=dpo", "method.pairs=all")
    assert ended.code == 0, ended.err
    run = Path(json.loads(ended.out)["run"])
    pairs = pq.read_table(run / "rows.parquet")
    feedback = pq.read_table(outputs.only(runs, "toxicity/feedback-rollouts-*/feedback.parquet"))
    train = feedback.filter(np.array(feedback["split"].to_pylist()) == "train")
    chosen, rejected = (train.take(pairs[name]) for name in ("chosen", "rejected"))

    assert pairs.num_rows
    assert chosen["prompt_id"].to_pylist() == rejected["prompt_id"].to_pylist()
    assert (chosen["score"].to_numpy() > rejected["score"].to_numpy()).all()
    assert pq.read_table(run / "plan.parquet")["row"].to_numpy().max() < pairs.num_rows


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_interrupted_preference_training_ends_as_if_it_had_not_been(
    sampled: list[str], tmp_path: Path, method: str
) -> None:
    lines = [line for line in sampled if not line.startswith("runs_dir=")]
    settings = [*lines, f"method={method}", "train.learning_rate=1e-2", "train.checkpoint_every=2"]
    settings += ["train.max_steps=6", "train.budget.epochs=4"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert gcsl("train", *settings, f"runs_dir={whole}").code == 0
    for runs in (whole, parts):
        assert gcsl("prepare", *settings, f"runs_dir={runs}").code == 0
    cut = gcsl_until("*/checkpoint-4/complete.json", signal.SIGKILL, tmp_path, "train", *settings, f"runs_dir={parts}")
    assert cut.code != 0
    again = gcsl("train", *settings, f"runs_dir={parts}")
    assert again.code == 0, again.err
    assert "resuming from checkpoint-2" in again.err

    first, second = (outputs.only(runs, f"toxicity/{method}-*") for runs in (whole, parts))
    expected, found = (outputs.weights(run / "model") for run in (first, second))
    assert all((expected[name] == found[name]).all() for name in expected)


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_dry_run_tells_the_completions_apart(sampled: list[str], method: str) -> None:
    assert gcsl("prepare", *sampled, "method=sft").code == 0  # the feedback
    ended = gcsl("train", *sampled, f"method={method}", "dry_run=true")
    assert ended.code == 0, ended.err
    summary = json.loads(ended.out)["summary"]
    examples = [value for label, value in summary if label == "example"]

    assert examples
    if method == "dpo":
        assert all("[chosen: " in text and "[rejected: " in text for text in examples)
        assert any(label == "pairs" for label, _ in summary)
    else:
        assert all("[desirable: " in text or "[undesirable: " in text for text in examples)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["method=dpo", "train.batch_size=400"], "preference pairs, but one optimizer step takes 400: "),
        (["method=dpo", "method.margin=5"], "differences of at least method.margin=5"),
        (["method=dpo", "goal=exact"], "goal=exact with method=dpo, which trains without goals"),
        (["method=kto", "method.threshold=2"], "No rows have a score of at least 2"),
        (["method=kto", "train.batch_size=1"], "it compares each row with another row of the pass"),
        (["method=kto", "generation.guidance=1"], "a model trained without goals"),
        (["method=sft", "train.score_below=-1"], "train.score_below=-1: no training row is below it"),
    ],
)
def test_what_preferences_cannot_do(sampled: list[str], asked: list[str], said: str) -> None:
    ended = gcsl("train", *sampled, *asked)

    assert ended.code == 2
    assert said in json.loads(ended.out)["message"]


def test_rows_without_a_rival_make_no_pairs(lines: list[str]) -> None:
    ended = gcsl("train", *lines, "method=dpo")

    assert ended.code == 2
    assert "0 of 69 prompts have completions with different grades" in json.loads(ended.out)["message"]


@pytest.mark.parametrize("method", ["gcsl", "sft", "dpo", "kto"])
def test_a_budget_of_tokens_takes_as_many_passes_as_it_needs(sampled: list[str], method: str) -> None:
    """Steps of four rows of at most 100 tokens."""
    budget = ["train.budget.tokens=9000", "train.max_steps=null"]
    ended = gcsl("train", *sampled, f"method={method}", *budget)
    assert ended.code == 0, ended.err
    manifest = json.loads((Path(json.loads(ended.out)["run"]) / "manifest.json").read_text(encoding="utf-8"))

    assert manifest["budget"] == "9,000 tokens"
    assert 9000 <= manifest["tokens"] < 9000 + 1000


def test_a_budget_of_seconds_is_measured_before_the_plan_is_made(sampled: list[str]) -> None:
    ended = gcsl("train", *sampled, "method=dpo", "train.budget.seconds=1", "train.max_steps=null")
    assert ended.code == 0, ended.err
    told = dict(json.loads(ended.out)["summary"])

    assert "trial of 8 steps: " in ended.err
    assert told["budget"] == "1.0 seconds"
    assert int(told["steps"]) >= 1


def test_bounded_feedback_leaves_out_the_better_rows_and_counts_what_is_beyond(lines: list[str], runs: Path) -> None:
    bounded = ["train.score_below=0.5", "method=sft"]
    ended = gcsl("evaluate", *lines, *bounded)
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)["result"]
    run = outputs.only(runs, f"toxicity/{Path(result['run']).name}")
    table = pq.read_table(outputs.only(runs, "toxicity/feedback-rtp-*/feedback.parquet"))
    highest = max(score for score in table["score"].to_pylist() if score < 0.5)

    assert load_spec(run).training_range[1] == pytest.approx(highest)
    arm = result["arms"][-1]
    scores = np.array(result["distributions"][arm["name"]])
    assert arm["metrics"]["above_training_maximum"]["value"] == pytest.approx((scores > highest).mean(), abs=1e-3)
