"""A function of yours as scorer, with the signature of TRL's reward functions.

    def reward(prompts, completions, **columns):
        return [1.0 / (1 + len(completion.split())) for completion in completions]

Prompts and completions are texts, or lists of chat messages if the prompts are conversations. Each other column of the
prompts' file is a list too, `reference` among them. None is no grade.
"""

import importlib.util
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gcsl_cli.configs import ranges
from gcsl_cli.data.artifacts import content
from gcsl_cli.errors import ConfigError, did_you_mean, first_line
from gcsl_cli.scorers.base import Example
from gcsl_cli.scorers.cached import CachedScorer, Done


@dataclass
class PythonScorer(CachedScorer):
    """Calls `function`, which is `file.py:name`, on batches."""

    name: str = "python"
    function: str = "???"
    batch_size: int = 64

    runs_custom_code: ClassVar[bool] = True

    def grade_new(self, examples: Sequence[Example], done: Done) -> None:
        """Call the function on one batch after another."""
        for start in range(0, len(examples), self.batch_size):
            batch = examples[start : start + self.batch_size]
            done(range(start, start + len(batch)), self._call(batch))

    def keys(self) -> dict[str, Any]:
        """The content of the file in place of its path."""
        path, name = self._path_and_name()
        kept = {key: value for key, value in super().keys().items() if key != "batch_size"}
        return kept | {"function": [content(path), name]}

    def check(self) -> None:
        """Raise `ConfigError` if there is no such file or function, or a batch has no row."""
        for problem in ranges.count("scorer.batch_size", self.batch_size):
            raise ConfigError(problem)
        self._function  # noqa: B018  # loads it

    @cached_property
    def _function(self) -> Callable[..., Any]:
        path, name = self._path_and_name()
        spec = importlib.util.spec_from_file_location(Path(path).stem, path)
        if spec is None or spec.loader is None:
            raise ConfigError(f"scorer.function={self.function}: {path} is not a Python file. Write FILE.py:NAME.")
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise ConfigError(f"scorer.function={self.function}: running {path} failed ({reason}).") from error
        functions = {key: value for key, value in vars(module).items() if callable(value)}
        if name not in functions:
            hint = f" It has a value {name}." if hasattr(module, name) else did_you_mean(name, functions)
            raise ConfigError(f"scorer.function={self.function}: {path} has no function {name}.{hint}")
        function: Callable[..., Any] = functions[name]
        return function

    def _path_and_name(self) -> tuple[str, str]:
        path, _, name = self.function.rpartition(":")
        if not path or not name:
            raise ConfigError(f"scorer.function={self.function}: write FILE.py:NAME, for example rewards.py:reward.")
        if not Path(path).is_file():
            raise ConfigError(f"scorer.function={self.function}: there is no file {path}.")
        return path, name

    def _call(self, batch: Sequence[Example]) -> list[float]:
        chat = batch[0].format == "messages"  # they are of one file
        names = sorted({name for example in batch for name in example.columns})
        arguments: dict[str, Any] = {name: [example.columns.get(name) for example in batch] for name in names}
        arguments |= {
            "prompts": [one.conversation() if chat else one.prompt for one in batch],
            "completions": [one.messages()[-1:] if chat else one.completion for one in batch],
            "reference": [example.reference for example in batch],
        }
        taken = inspect.signature(self._function).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
            arguments = {name: values for name, values in arguments.items() if name in taken}
        try:
            found = list(self._function(**arguments))
            grades = [np.nan if grade is None else float(grade) for grade in found]
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise ConfigError(
                f"scorer.function={self.function} failed on a batch of {len(batch)} ({reason}). It takes prompts and "
                "completions and returns a number or None for each."
            ) from error
        if len(grades) != len(batch):
            raise ConfigError(
                f"scorer.function={self.function}: {len(grades)} grades for {len(batch)} completions. It has to return "
                "one number, or None, for each."
            )
        if missing := sum(not np.isfinite(grade) for grade in grades):
            self.ungraded["the function has no grade"] += missing
        return grades
