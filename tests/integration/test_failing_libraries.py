"""A library that raises in the middle of a stage: an exit code of the table, nothing half-written, and it goes on."""

import contextlib
import functools
import importlib
import inspect
import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from tests import outputs
from tests.commands import Ended, gcsl

Lines = Callable[[Path], list[str]]
SHORT = ["adapter=lora", "train.max_steps=3", "generation.guidance=1"]
CALLS = [
    ("transformers:PreTrainedTokenizerFast.from_pretrained", 1),
    ("transformers:LlamaForCausalLM.from_pretrained", 1),
    ("transformers:LlamaForCausalLM.forward", 3),
    ("transformers:GenerationMixin.generate", 2),
    ("transformers:TokenizersBackend.__call__", 3),
    ("transformers:TokenizersBackend.decode", 5),
    ("datasets:Dataset.from_dict", 1),
    ("peft:get_peft_model", 1),
    ("torch:Tensor.backward", 3),
    ("torch.optim:AdamW.step", 2),
    ("torch:save", 3),
    ("transformers:PreTrainedModel.save_pretrained", 1),
    ("profanity_check:predict_prob", 1),
    ("pyarrow.parquet:write_table", 2),
    ("pyarrow.parquet:read_table", 1),
    ("json:dumps", 3),
    ("json:loads", 2),
    ("matplotlib.figure:Figure.savefig", 2),
]
"""Functions of libraries, and at which of its calls each fails.

Of `json`, which libraries use too and whose errors they may swallow, calls of gcsl count.
"""
ERRORS = (RuntimeError, OSError, MemoryError, ValueError)
TABLE = {0, 1, 2}
MODEL = (
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "goal.json",
)


class FailingLibraries:
    """Lets every function fail once per stage, after it has done its work; inactive outside of `running`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.failed: list[tuple[str, str]] = []
        """Stage and function."""
        self.stage = ""
        self.calls: Counter[str] = Counter()
        self.errors = itertools.cycle(ERRORS)
        for name, place in CALLS:
            module, path = name.split(":")
            *inside, attribute = path.split(".")
            owner = functools.reduce(getattr, inside, importlib.import_module(module))
            real = getattr(owner, attribute)
            failing = self._failing(real, name, place)
            patch.setattr(owner, attribute, staticmethod(failing) if inspect.ismethod(real) else failing)

    @contextlib.contextmanager
    def running(self, stage: str) -> Iterator[None]:
        self.stage = stage
        self.calls.clear()
        yield
        self.stage = ""

    def _failing(self, real: Callable[..., Any], name: str, place: int) -> Callable[..., Any]:
        @functools.wraps(real)
        def call(*arguments: Any, **named: Any) -> Any:
            result = real(*arguments, **named)
            if name.startswith("json:") and not sys._getframe(1).f_globals["__name__"].startswith("gcsl_cli."):
                return result
            self.calls[name] += 1
            if self.stage and self.calls[name] == place and (self.stage, name) not in self.failed:
                self.failed.append((self.stage, name))
                self.stage = ""
                raise next(self.errors)(f"{name} is out of order")
            return result

        return call


def assert_whole(runs: Path) -> None:
    """No file is half-written: none is left under a temporary name, and those under their own can be read."""
    assert list(runs.rglob("*.part")) == []
    for path in runs.rglob("*.parquet"):
        pq.read_table(path)
    for path in runs.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    for path in runs.glob("*/*/model"):
        assert set(MODEL) <= {one.name for one in path.iterdir()}
        load_file(path / MODEL[0])


def test_every_library_fails_once_in_every_stage(
    tmp_path: Path, small_run: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, whole = tmp_path / "runs", tmp_path / "whole"
    assert gcsl("evaluate", *small_run(whole), *SHORT).code == 0
    libraries = FailingLibraries(monkeypatch)
    for stage in ("prepare", "train", "generate", "evaluate"):
        ended = Ended(1, "", "")
        while ended.code:
            before = len(libraries.failed)
            with libraries.running(stage):
                ended = gcsl(stage, *small_run(runs), *SHORT)
            assert ended.code in TABLE, ended.err
            assert (ended.code != 0) == (len(libraries.failed) > before) == ("Error: " in ended.err), ended.err
            assert "Traceback" not in ended.err
            assert_whole(runs)

    assert {name for _, name in libraries.failed} == {name for name, _ in CALLS}
    outputs.assert_same_training(outputs.training(runs), outputs.training(whole))
    assert outputs.generations(runs) == outputs.generations(whole)
    assert outputs.metrics(runs) == outputs.metrics(whole)
