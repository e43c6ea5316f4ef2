"""The checks for a GPU, tried at a tiny size on the CPU."""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def gpu_check(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module; its own folder is on the path when it is run."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    return importlib.import_module("gpu_check")


def test_the_checks_run_and_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu_check: Any) -> None:
    """gcsl and bare TRL train the same plan, shared prompts give the losses of separate rows, and an error is kept."""
    arms = ("bare TRL", "gcsl", "separate rows", "shared prompts", "fsdp2")
    chosen = {arm: gpu_check.ARMS[arm] for arm in arms} | {"nf4": ["adapter.name=dora"]}
    monkeypatch.setattr(gpu_check, "ARMS", chosen)
    monkeypatch.setattr(gpu_check, "SHAPES", {"llama3.1-8b": gpu_check.SHAPES["llama3.1-8b"]})
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "")
    output = tmp_path / "found.json"
    program = ["gpu_check", "--tiny", "--device", "cpu", "--steps", "2", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", program)

    gpu_check.main()

    found = json.loads(output.read_text(encoding="utf-8"))
    assert (found["device"], found["steps"]) == ("cpu", 2)
    checks = found["llama3.1-8b"]["checks"]
    assert sorted(found[gpu_check.TINY]["checks"]) == sorted(arms[:-1])
    assert all(len(checks[arm]["losses"]) == 2 and checks[arm]["tokens_per_second"] > 0 for arm in arms[:-1])
    assert checks["shared prompts"]["shares_prompts"]
    assert checks["shared prompts"]["tokens_per_step"] < checks["separate rows"]["tokens_per_step"]
    assert checks["fsdp2"] == {"skipped": "accelerate offers FSDP2 on GPUs only"}
    assert "adapter.name=dora: no such adapter" in checks["nf4"]["error"]
    differences = found[gpu_check.TINY]["differences"]
    assert sorted(differences) == ["gcsl / bare TRL", "shared prompts / separate rows"]
    assert max(value for one in differences.values() for value in one.values()) < 1e-5


def test_no_check_starts_when_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu_check: Any) -> None:
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "")
    output = tmp_path / "found.json"
    program = ["gpu_check", "--tiny", "--device", "cpu", "--seconds", "-1", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", program)

    gpu_check.main()

    assert json.loads(output.read_text(encoding="utf-8"))["seconds"] == 0


def test_differences_are_relative(gpu_check: Any) -> None:
    """Losses 2 and 3 against 1 and 3 differ by all of the 1; gradient norms 4 and 5 by a fifth."""
    one = {"losses": [2.0, 3.0], "gradient_norms": [4.0, 1.0]}
    other = {"losses": [1.0, 3.0], "gradient_norms": [5.0, 1.0]}
    expected = {"loss": 1.0, "first loss": 1.0, "first gradient norm": pytest.approx(0.2)}
    assert gpu_check.difference(one, other) == expected
