"""The Python interface: the example of docs/python.md runs, its results are typed, nothing global changes."""

import math
import os
import random
import re
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcsl_cli import EvaluateResult, GenerateResult, PrepareResult, TrainResult, compose, evaluate, train
from gcsl_cli.errors import ConfigError
from tests import outputs
from tests.commands import gcsl

Lines = Callable[[Path], list[str]]
PAGE = Path(__file__).parents[2] / "docs/python.md"


def surroundings() -> dict[str, Any]:
    """Global state. Of the environment only GCSL_* and HYDRA_*: importing scikit-learn sets variables too."""
    import torch

    return {
        "argv": list(sys.argv),
        "environ": {key: value for key, value in os.environ.items() if key.startswith(("GCSL_", "HYDRA_"))},
        "folder": Path.cwd(),
        "interrupt": signal.getsignal(signal.SIGINT),
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),  # type: ignore[index]
        "torch": torch.get_rng_state().tolist(),
        "dtype": torch.get_default_dtype(),
    }


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory, small_run: Lines) -> dict[str, Any]:
    """Run the example on the tiny model; the names it defines, its output, and global state before and after."""
    overrides = small_run(tmp_path_factory.mktemp("python") / "runs")
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert '"debug=tiny"' in code
    found: dict[str, Any] = {"before": surroundings()}
    with redirect_stdout(StringIO()) as printed:
        exec(code.replace('"debug=tiny"', ", ".join(map(repr, overrides))), found)
    return found | {"after": surroundings(), "printed": printed.getvalue(), "overrides": overrides}


def test_the_example_prints_what_it_says(names: dict[str, Any]) -> None:
    printed = names["printed"]
    assert re.search(r"^\d+ training rows, 4 steps$", printed, re.MULTILINE)
    assert re.search(r"^base: \d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]$", printed, re.MULTILINE)
    assert printed.rstrip().endswith("report.html")


def test_results_hold_what_is_on_disk(names: dict[str, Any]) -> None:
    prepared: PrepareResult = names["prepared"]
    trained: TrainResult = names["trained"]
    generated: GenerateResult = names["generated"]
    evaluated: EvaluateResult = names["evaluated"]

    assert prepared.run == trained.run
    assert all(path.is_file() for path in (prepared.goal, prepared.plan, trained.log, evaluated.report))
    assert "plan" in prepared.summary
    assert not any(result.reused for result in (prepared, trained, generated, evaluated))
    assert (trained.steps, (trained.model / "config.json").exists()) == (4, True)
    assert 0 < trained.supervised_tokens < trained.tokens
    losses = [entry[1] for entry in outputs.losses(trained.run) if len(entry) == 4]
    assert trained.training_loss == pytest.approx(losses[-1], abs=1e-4)
    assert trained.validation_loss is not None
    assert generated.count == len(generated.completions) == 16
    assert generated.completions[0].prompt_id == generated.completions[1].prompt_id


def test_metrics_are_those_of_the_report(names: dict[str, Any]) -> None:
    evaluated: EvaluateResult = names["evaluated"]

    assert list(evaluated.metrics) == [arm["name"] for arm in evaluated.result["arms"]]
    assert list(evaluated.differences) == list(evaluated.metrics)[1:]
    for arm in evaluated.result["arms"]:
        for metric, written in arm["metrics"].items():
            estimate = evaluated.metrics[arm["name"]][metric]
            assert estimate.as_dict() == written
            assert math.isnan(estimate.value) == (written["value"] is None)


def test_nothing_global_changes(names: dict[str, Any]) -> None:
    assert names["after"] == names["before"]


def test_the_command_line_finds_the_same_run(names: dict[str, Any]) -> None:
    """Work done in Python is reused by the command line and vice versa."""
    ended = gcsl("evaluate", "task=toxicity", "goal=threshold", *names["overrides"])
    assert (ended.code, ended.out.startswith("This evaluation is finished: ")) == (0, True)
    again = evaluate(names["config"])
    assert again.reused
    assert again.metrics == names["evaluated"].metrics


def test_a_changed_config_is_checked_again(names: dict[str, Any]) -> None:
    config = compose(*names["overrides"])
    config.train.batch_size = 0
    with pytest.raises(ConfigError, match="batch_size"):
        train(config)


def test_a_dry_run_is_refused(names: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="dry_run"):
        train(compose(*names["overrides"], "dry_run=true"))


def test_ctrl_c_raises_and_the_next_call_resumes(tmp_path: Path, small_run: Lines, names: dict[str, Any]) -> None:
    """The signal arrives while the first checkpoint is written, after two of four steps."""
    config = compose("task=toxicity", "goal=threshold", *small_run(tmp_path / "runs"))
    sent: list[bool] = []

    def interrupt(event: str, details: tuple[Any, ...]) -> None:
        if event == "os.rename" and "checkpoint" in str(details[1]) and not sent:
            sent.append(True)
            os.kill(os.getpid(), signal.SIGINT)

    sys.addaudithook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    assert sent
    resumed = train(config)
    assert (resumed.reused, resumed.steps) == (False, 4)
    outputs.assert_same_training(names["trained"].run, resumed.run)
