"""Rounds of feedback on the tiny model: sampled, graded and trained again, and killed in the middle."""

import json
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gcsl_cli.data.merging import round_numbers
from gcsl_cli.data.records import read_feedback
from tests import outputs
from tests.commands import gcsl, gcsl_until

Lines = Callable[[Path], list[str]]
EXPERIMENT = ["adapter=none", "rounds.count=2", "generation.guidance=1", "train.learning_rate=0.01"]
FIRST, SECOND = "toxicity/threshold-language-local-s0-[!r]*", "toxicity/threshold-language-local-s0-round2-*"


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, small_run: Lines) -> Path:
    """The runs folder of two rounds that nothing disturbed."""
    runs = tmp_path_factory.mktemp("chain") / "runs"
    ended = gcsl("evaluate", *small_run(runs), *EXPERIMENT)
    assert ended.code == 0, ended.err
    return runs


def evaluation(runs: Path, run: str) -> dict[str, object]:
    found: dict[str, object] = outputs.without_circumstances(
        json.loads(outputs.only(runs, f"{run}/evaluations/*/metrics.json").read_text(encoding="utf-8"))
    )
    return found


def test_the_second_round_samples_the_first_policy_under_the_mix(chain: Path) -> None:
    """40 prompts, 2 samples: one asked for the best goal, one with guidance or for one of the two lower levels."""
    shards = outputs.only(chain, "toxicity/feedback-rollouts-texts-round2-*") / "shards"
    sampled = {path.name: len(list(path.glob("*.parquet"))) for path in shards.iterdir()}

    assert sampled == {"best-1": 4, "best-w2-1": 2, "0.5-1": 1, "worst-1": 1}


def test_the_second_round_trains_on_the_feedback_of_both(chain: Path) -> None:
    first = read_feedback(outputs.only(chain, "toxicity/feedback-rollouts-texts-[!r]*/feedback.parquet"))
    second = read_feedback(outputs.only(chain, "toxicity/feedback-rollouts-texts-round2-*/feedback.parquet"))
    new = second.take(np.flatnonzero(round_numbers(second) == 2))

    assert list(second)[: len(first)] == list(first)
    assert Counter(row.source for row in new) == {"round 2: rollouts": len(new)}
    assert {row.prompt_id for row in new} <= {row.prompt_id for row in first}
    before = {(row.prompt_id, row.completion) for row in first}
    assert len(new) > 70
    assert not before & {(row.prompt_id, row.completion) for row in new}


def test_both_rounds_are_runs_with_a_model(chain: Path) -> None:
    one, two = (outputs.weights(outputs.only(chain, run) / "model") for run in (FIRST, SECOND))

    assert any(not np.array_equal(one[name], two[name]) for name in one)


def test_the_report_has_the_curve(chain: Path, tiny_model: Path) -> None:
    found = evaluation(chain, SECOND)
    points = found["rounds"]
    assert isinstance(points, list)

    assert [(point["round"], point["arm"]) for point in points] == [
        (0, "base"),
        (1, "best"),
        (1, "best-w1"),
        (2, "best"),
        (2, "best-w1"),
    ]
    _, plain, guided, later, _ = points
    assert later["rollout_tokens"] > plain["rollout_tokens"] > 0
    assert later["training_tokens"] > plain["training_tokens"] > 0
    # Trained, the model prefers its own completions; with guidance it is not its own distribution.
    assert plain["metrics"]["divergence"]["value"] > 0
    assert "divergence" not in guided["metrics"]
    assert (plain["against_guided"], set(later["against_guided"]) > {"perplexity", "distinct_2"}) == (None, True)
    difference = later["metrics"]["mean_toxicity"]["value"] - guided["metrics"]["mean_toxicity"]["value"]
    assert later["against_guided"]["mean_toxicity"]["value"] == pytest.approx(difference)
    assert "| round 2, guidance 1 |" in outputs.only(chain, f"{SECOND}/evaluations/*/report.md").read_text("utf-8")


def test_one_round_is_the_first_of_several(chain: Path, small_run: Lines) -> None:
    """It is trained already; only its evaluation, which has no rounds, is new."""
    ended = gcsl("train", *small_run(chain), *EXPERIMENT, "rounds.count=1", "--json")

    assert json.loads(ended.out)["status"] == "already done"


def test_rounds_are_compared(chain: Path, small_run: Lines) -> None:
    ended = gcsl("compare", *small_run(chain), *EXPERIMENT, "--json")
    assert ended.code == 0, ended.err
    found = {row["label"]: row for row in json.loads(ended.out)["rows"]}

    assert list(found) == [
        "base",
        "threshold-language, guidance 1",
        "threshold-language, round 2, guidance 1",
    ]
    tokens = [row["costs"]["training_tokens"]["value"] for label, row in found.items() if label != "base"]
    assert tokens[1] > tokens[0]


KILLED = ["*-round2-*/shards/best-w2-1/00001.parquet", "*-round2-*/checkpoint-4/complete.json"]


@pytest.mark.parametrize("point", KILLED)
def test_killed_in_the_second_round_the_same_command_goes_on(
    tmp_path: Path, small_run: Lines, chain: Path, point: str
) -> None:
    shutil.copytree(chain, tmp_path / "runs", ignore=shutil.ignore_patterns("*round2*", ".hydra"))
    lines = [*small_run(tmp_path / "runs"), *EXPERIMENT]
    stopped = gcsl_until(point, signal.SIGKILL, tmp_path, "evaluate", *lines)
    assert stopped.code == -signal.SIGKILL
    first = outputs.only(tmp_path / "runs", f"{FIRST}/manifest.json")
    made = first.stat().st_mtime_ns

    ended = gcsl("evaluate", *lines)
    assert ended.code == 0, ended.err
    assert first.stat().st_mtime_ns == made
    outputs.assert_same_training(*(outputs.only(runs, SECOND) for runs in (tmp_path / "runs", chain)))
    assert evaluation(tmp_path / "runs", SECOND) == evaluation(chain, SECOND)


@pytest.mark.parametrize(
    "overrides", [["method=dpo", "rounds.start=last"], ["method=sft", "method.select=best_per_prompt"]]
)
def test_methods_without_goals(tmp_path: Path, small_run: Lines, overrides: list[str]) -> None:
    """Iterative DPO and expert iteration: the policy is sampled as it is, DPO's reference is the model before."""
    ended = gcsl("train", *small_run(tmp_path / "runs"), "rounds.count=2", "adapter=none", *overrides)
    assert ended.code == 0, ended.err

    shards = outputs.only(tmp_path / "runs", "toxicity/feedback-*-round2-*") / "shards"
    assert [path.name for path in shards.iterdir()] == ["trained-2"]


def test_rounds_end_early_and_say_so(tmp_path: Path, small_run: Lines) -> None:
    """After four steps nothing is a tenth better, so the first round is the result."""
    lines = [*small_run(tmp_path / "runs"), "rounds.count=3", "rounds.stop.gain=0.1"]
    ended = gcsl("train", *lines, "--json")
    found = json.loads(ended.out)

    assert [Path(run).name.split("-")[-2] for run in found["rounds"]] == ["s0", "round2"]
    assert found["run"] == found["rounds"][0]
    assert "after round 2: its mean score on validation prompts is" in dict(found["summary"])["rounds ended"]


def test_prepare_shows_the_first_round_and_says_so(tmp_path: Path, small_run: Lines) -> None:
    for more in (["prepare"], ["train", "dry_run=true"]):
        ended = gcsl(*more, *small_run(tmp_path / "runs"), "rounds.count=2")
        assert (ended.code, "2; this is the first." in ended.out) == (0, True), ended.err


def test_a_file_has_nothing_to_sample(tmp_path: Path, small_run: Lines, rtp: Path) -> None:
    given = ["task.feedback.source=rtp", f"task.feedback.path={rtp}"]
    for more in (["train"], ["train", "dry_run=true"], ["evaluate"], ["prepare"]):
        ended = gcsl(*more, *small_run(tmp_path / "runs"), *given, "rounds.count=2")
        assert (ended.code, "whose feedback is given" in ended.err) == (2, True), ended.err
    assert not (tmp_path / "runs" / "toxicity").exists()
