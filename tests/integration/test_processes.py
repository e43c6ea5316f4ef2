"""Several processes make the run that one process makes: the same plan, losses, weights and completions."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import outputs
from tests.commands import gcsl

Lines = Callable[[Path], list[str]]
LORA = ["adapter=lora", "adapter.r=4"]
SHARDED = "distributed.strategy=fsdp2"
VARIANTS = {
    "full checkpointing": ["adapter=none", "train.gradient_checkpointing=true"],
    "control tokens and missed goals": [
        *LORA,
        "goal.wording=token",
        "goal.missed.weight=1",
        "goal.weights=[0.25,1]",
    ],
    "shared prompts": [*LORA, "goal.placement=after_prompt", "train.shared_prefix=on"],
    "tokens per batch and row weights": [
        *LORA,
        "train.micro_batch_size=null",
        "train.tokens_per_batch=300",
        "train.batches_per_step=2",
        "goal.pairing=all",
        "goal.pairing_weight=rows",
        "goal.balance=none",
    ],
    "dpo": [*LORA, "method=dpo", "goal=none"],
    "sharded full": ["adapter=none", SHARDED],
    "sharded control tokens": [*LORA, "goal.wording=token", SHARDED],
    "sharded full control tokens": ["adapter=none", "goal.wording=token", SHARDED],
}


@pytest.fixture(scope="module")
def given(rtp: Path, small_run: Lines, tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """A hundred prompts with two completions each; steps of 8 rows in 4 passes."""
    path = tmp_path_factory.mktemp("graded") / "twice.jsonl"
    rows = [json.loads(line) for line in rtp.read_text(encoding="utf-8").splitlines()]
    others = [
        {**row, "continuation": {"text": " another", "toxicity": 1 - row["continuation"]["toxicity"]}} for row in rows
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows + others), encoding="utf-8")

    def lines(runs: Path) -> list[str]:
        feedback = ["task.feedback.source=rtp", f"task.feedback.path={path}", "task.feedback.texts=null"]
        steps = ["train.batch_size=8", "train.micro_batch_size=2", "train.max_steps=3", "train.precision=fp32"]
        return [*small_run(runs), *feedback, *steps, "--json"]

    return lines


def test_two_processes_train_what_one_trains(given: Lines, tmp_path: Path) -> None:
    """All variants in one test, because starting the processes takes longer than training."""

    def lines(processes: int) -> list[list[str]]:
        runs = [tmp_path / str(processes) / name for name in VARIANTS]
        return [
            ["train", *given(run), *more, f"run={run / 'run'}"]
            for run, more in zip(runs, VARIANTS.values(), strict=True)
        ]

    commands = tmp_path / "commands.json"
    commands.write_text(json.dumps(lines(2)), encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*launcher, "-m", "tests.ranks", str(commands)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    for variant, command in zip(VARIANTS, lines(1), strict=True):
        ended = gcsl(*command)
        assert ended.code == 0, ended.err
        one, two = (tmp_path / processes / variant / "run" for processes in "12")
        assert (one / "plan.parquet").read_bytes() == (two / "plan.parquet").read_bytes(), variant
        assert json.loads((two / "manifest.json").read_text(encoding="utf-8"))["processes"] == 2
        np.testing.assert_allclose(flat(outputs.losses(two)), flat(outputs.losses(one)), atol=1e-6, err_msg=variant)
        ours, theirs = outputs.weights(one / "model"), outputs.weights(two / "model")
        assert ours.keys() == theirs.keys(), variant
        for name, weight in ours.items():
            np.testing.assert_allclose(theirs[name], weight, atol=1e-7, err_msg=f"{variant}: {name}")


def flat(losses: list[tuple[float, ...]]) -> list[float]:
    return [value for entry in losses for value in entry]


def test_two_processes_sample_what_one_samples(small_run: Lines, tmp_path: Path) -> None:
    """Rollouts, base and policy, guided or not; the policy is an adapter. Each shard is sampled by one of the two."""

    def evaluate(name: str, *more: str) -> str:
        lines = [*small_run(tmp_path / name), *LORA, "export.merged=false", "generation.guidance=2"]
        command = [sys.executable, "-m", "gcsl_cli", "evaluate", *lines, "train.micro_batch_size=2", *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    evaluate("one")
    said = evaluate("two", "distributed.processes=2")

    assert "rollouts, in 2 processes: 2/2 shards of this process" in said
    assert len(list((tmp_path / "two").glob("toxicity/feedback-*/shards/*.parquet"))) == 4
    assert "generating: trained, best goal, guidance 2, in 2 processes: 2/2 shards of this process" in said
    one, two = (tmp_path / name for name in ("one", "two"))
    assert outputs.feedback(two) == outputs.feedback(one)
    assert outputs.generations(two) == outputs.generations(one)
    assert len(outputs.generations(two)) == 6


def test_killed_on_two_processes_finished_on_one(given: Lines, tmp_path: Path) -> None:
    """gcsl starts the processes; one is killed as soon as the first checkpoint is complete, and all end."""
    lines = ["train", *given(tmp_path), *LORA, "train.max_steps=6", f"run={tmp_path / 'run'}"]
    command = [sys.executable, "-m", "gcsl_cli", *lines, "distributed.processes=2"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run/checkpoints/checkpoint-2/complete.json").exists():
        assert running.poll() is None, running.communicate()
    os.kill(follower(running.pid), signal.SIGKILL)
    out, err = running.communicate()

    assert running.returncode == 128 + signal.SIGKILL, err
    assert json.loads(out)["message"].startswith("Process 1 of 2 (numbered from 0) was ended by SIGKILL")
    assert "Traceback" not in err
    assert gcsl(*lines).code == 0
    whole = ["run=" + str(tmp_path / "whole")]
    assert gcsl(*lines, *whole).code == 0
    resumed, uninterrupted = (flat(outputs.losses(tmp_path / name)) for name in ("run", "whole"))
    np.testing.assert_allclose(resumed, uninterrupted, atol=1e-6)


def follower(launcher: int) -> int:
    """The process id of rank 1."""
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if f"PPid:\t{launcher}\n" in status.read_text(encoding="utf-8"):
                environment = status.with_name("environ").read_bytes().split(b"\0")
                if b"RANK=1" in environment:
                    return int(status.parent.name)
    raise AssertionError("no rank 1")
