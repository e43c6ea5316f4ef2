"""The trainer callback: progress in planned tokens, complete checkpoints, Ctrl-C, non-finite losses."""

import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from gcsl_cli.cli.stopping import sigterm_as_ctrl_c
from gcsl_cli.errors import TrainingError
from gcsl_cli.training.checkpoints import newest_complete
from gcsl_cli.training.loop import PlanCallback, TrainSettings, _stop_at_step_end
from gcsl_cli.training.plan import Plan

STEP = np.array([0, 0, 1, 1, 2, 2])
PLAN = Plan.of(step=STEP, micro=STEP, row=STEP, goal=STEP.astype(float), tokens=np.array([5, 6, 7, 8, 9, 10]))
"""Three steps of 11, 15 and 19 tokens."""
SETTINGS = TrainSettings(
    learning_rate=0.01,
    lr_schedule="linear",
    warmup_steps=0,
    weight_decay=0.0,
    max_grad_norm=1.0,
    bf16=False,
    gradient_checkpointing=False,
    checkpoint_every=1,
    keep_checkpoints=2,
    log_every=2,
    validate_every=None,
    report_to=[],
    seed=0,
    accumulation=1,
)


class Bar:
    """Record how far it was advanced."""

    def __init__(self) -> None:
        self.steps: list[float] = []

    def advance(self, amount: float = 1) -> None:
        self.steps.append(amount)


@pytest.fixture
def bar() -> Bar:
    return Bar()


@pytest.fixture
def watch(tmp_path: Path, bar: Bar) -> PlanCallback:
    progress: Any = bar
    return PlanCallback(tmp_path, SETTINGS, PLAN, progress)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Install Python's default Ctrl-C handler and restore the previous one afterwards."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def state(step: int) -> Any:
    return SimpleNamespace(global_step=step, max_steps=3)


def control() -> Any:
    return SimpleNamespace(should_save=False, should_training_stop=False)


def test_progress_counts_planned_tokens_including_resumed_steps(watch: PlanCallback, bar: Bar) -> None:
    watch.on_train_begin(None, state(1), control())
    watch.on_step_end(None, state(2), control())
    watch.on_step_end(None, state(3), control())

    assert bar.steps == [11, 15, 19]


def test_training_stops_after_a_step_only_if_interrupted(watch: PlanCallback) -> None:
    plain, stopped = control(), control()
    watch.on_step_end(None, state(1), plain)
    watch.stopped_by = signal.SIGINT
    watch.on_step_end(None, state(2), stopped)

    assert (plain.should_save, plain.should_training_stop) == (False, False)
    assert (stopped.should_save, stopped.should_training_stop) == (True, True)


def test_saved_checkpoint_is_marked_and_older_ones_are_removed(watch: PlanCallback, tmp_path: Path) -> None:
    for step in (1, 2, 3):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"x")
        watch.on_save(None, state(step), control())

    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-3"]
    assert newest_complete(tmp_path) == tmp_path / "checkpoint-3"


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_non_finite_loss_raises_an_error(watch: PlanCallback, loss: float) -> None:
    with pytest.raises(
        TrainingError, match=rf"loss of step 2 is {loss}\. Try a smaller train\.learning_rate \(now 0\.01\)"
    ):
        watch.on_log(None, state(2), control(), {"loss": loss})


def test_non_finite_loss_lists_the_rows_of_its_step(tmp_path: Path, bar: Bar) -> None:
    """Rows with several goals are listed once; of a large batch, only the first rows are listed."""
    rows = np.array([7, 7, 3, *range(100, 170)])
    plan = Plan.of(np.array([0, 1, 1, *[2] * 70]), np.zeros(73, int), rows, np.zeros(73), np.ones(73, int))
    watch = PlanCallback(tmp_path, SETTINGS, plan, cast("Any", bar))

    with pytest.raises(TrainingError, match=r"as in plan\.parquet: 3, 7\.$"):
        watch.on_log(None, state(2), control(), {"loss": float("nan")})
    with pytest.raises(TrainingError, match=r"100, 101, .*, 163 and 6 more\.$"):
        watch.on_log(None, state(3), control(), {"loss": float("nan")})


def test_loss_is_logged_at_intervals(watch: PlanCallback, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gcsl")
    for step in (1, 2, 3):
        watch.on_log(None, state(step), control(), {"loss": step / 4})
    watch.on_log(None, state(2), control(), {"eval_loss": 9.0})

    assert caplog.messages == ["step 2 of 3: loss 0.5000"]


def send(watch: PlanCallback, sent: signal.Signals, times: int) -> None:
    """Send a signal once or twice within a step; only the second one is not survived."""
    survived = 0
    try:
        with _stop_at_step_end(watch):
            for _ in range(times):
                signal.raise_signal(sent)
                survived += 1
    finally:
        assert survived == 1


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_waits_for_the_step_and_second_stops_immediately(
    watch: PlanCallback, interrupts: None, sent: signal.Signals
) -> None:
    with sigterm_as_ctrl_c():
        outside = signal.getsignal(sent)
        for times in (1, 2):
            watch.stopped_by = None
            with pytest.raises(KeyboardInterrupt):
                send(watch, sent, times)
            assert watch.stopped_by == sent

        assert signal.getsignal(sent) is outside


def test_a_signal_that_is_ignored_outside_ends_training_as_well(watch: PlanCallback, interrupts: None) -> None:
    """Python ignores Ctrl-C in a background process; an unfinished training must not count as finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pytest.raises(KeyboardInterrupt):
        send(watch, signal.SIGINT, 1)
