"""Candidates ranked by their likelihood under a model and a goal; results are saved and resumed as generations are.

A row of `likelihoods.parquet`:
    {"prompt_id": "5f2c...", "log_probs": [-31.2, -18.4], "tokens": [9, 7]}
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.records import LIKELIHOODS, FeedbackRow, Prompt, read_table, write_columns
from gcsl_cli.errors import DataError
from gcsl_cli.generation.likelihood import row_log_probs
from gcsl_cli.runs.folders import Folder
from gcsl_cli.runs.progress import progress
from gcsl_cli.stages.evaluation.arms import Arm
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import evaluation_prompts
from gcsl_cli.tasks.base import Measured, RankingTask

FILE = "likelihoods.parquet"

log = logging.getLogger("gcsl")


@dataclass(frozen=True)
class Likelihoods:
    """Summed log-probability (nats) and token count of the candidates of each prompt, each `(candidates,)`."""

    log_probs: list[Floats]
    tokens: list[Floats]


@dataclass(frozen=True)
class Ranking:
    """The candidates of an experiment's evaluation prompts, and their likelihoods."""

    experiment: Experiment
    task: RankingTask
    prompts: list[Prompt]
    candidates: list[list[str]]

    @staticmethod
    def of(experiment: Experiment) -> "Ranking | None":
        """The ranking of an experiment; `None` if its task ranks nothing."""
        task = experiment.task
        if not isinstance(task, RankingTask):
            return None
        prompts = evaluation_prompts(experiment)
        return Ranking(experiment, task, prompts, task.candidates(prompts))

    def measured(self, arm: Arm) -> Measured:
        """Metrics of the ranking by the arm's likelihoods, which are computed on demand.

        Guidance works as in sampling, but on the log-likelihoods of whole completions: against + (1 + guidance) (goal -
        against), where several goals to push away from count with their weights. A ratio arm uses goal - against alone:
        by Bayes' rule, how much the completion raises the odds that the goal was reached.
        """
        asked = self._likelihoods(arm.trained, arm.goal)
        log_probs = asked.log_probs
        if arm.against:
            others = [self._likelihoods(arm.trained, contrast.goal).log_probs for contrast in arm.against]
            against = [np.average(of_prompt, axis=0, weights=arm.shares) for of_prompt in zip(*others, strict=True)]
            pairs = zip(log_probs, against, strict=True)
            kept, weight = (0.0, 1.0) if arm.ratio else (1.0, 1.0 + arm.guidance)
            log_probs = [kept * other + weight * (one - other) for one, other in pairs]
        return self.task.measured(self.prompts, log_probs, asked.tokens)

    def references(self) -> dict[str, Measured]:
        """Metrics of ranking rules that need no language model."""
        return self.task.references(self.prompts)

    def folders(self, arm: Arm) -> list[Folder]:
        """Folders of the likelihoods that an arm needs."""
        goals = [arm.goal, *(contrast.goal for contrast in arm.against)]
        return [self._folder(arm.trained, goal) for goal in goals]

    def _folder(self, trained: bool, goal: float | None) -> Folder:
        owner = self.experiment.training if trained else self.experiment.base
        spec = self.experiment.spec
        asked = None if goal is None else [spec.text(goal), spec.placement, spec.separator]
        texts = [[prompt.prompt_id, *texts] for prompt, texts in zip(self.prompts, self.candidates, strict=True)]
        keys = {"asked": asked, "candidates": hashlib.sha256(json.dumps(texts).encode()).hexdigest()}
        label = "none" if goal is None else spec.label(goal)
        return Folder.named(owner.path / "likelihoods", label, "likelihoods", keys, owner.identity)

    def _likelihoods(self, trained: bool, goal: float | None) -> Likelihoods:
        folder = self._folder(trained, goal)
        with folder.working() as todo:
            if todo or not (folder.path / FILE).exists():
                found = self._measure(trained, goal, folder.path / "shards")
                _write(folder.path / FILE, self.prompts, found)
                folder.finish(candidates=sum(len(texts) for texts in self.candidates))
            return _read(folder.path / FILE)

    def _measure(self, trained: bool, goal: float | None, shards: Path) -> Likelihoods:
        size = self.experiment.config.generation.shard_prompts
        label = f"ranking: {'trained' if trained else 'base'}, {'no goal' if goal is None else f'goal {goal:g}'}"
        found = Likelihoods([], [])
        with progress(label, len(self.prompts), "prompts") as bar:
            for number, start in enumerate(range(0, len(self.prompts), size)):
                part = slice(start, start + size)
                path = shards / f"{number:05d}.parquet"
                made = _finished(path)
                if made is None:
                    made = self._score(trained, goal, self.prompts[part], self.candidates[part])
                    _write(path, self.prompts[part], made)
                found.log_probs.extend(made.log_probs)
                found.tokens.extend(made.tokens)
                bar.advance(len(made.tokens))
        return found

    def _score(
        self, trained: bool, goal: float | None, prompts: Sequence[Prompt], candidates: Sequence[Sequence[str]]
    ) -> Likelihoods:
        model = self.experiment.policy if trained else self.experiment.base_model
        prompter = self.experiment.prompter(self.experiment.spec)
        # The end token is part of a candidate, or a candidate that is a prefix of another would count for both.
        rows = [
            FeedbackRow(prompt.text, text, 0.0, "", "")
            for prompt, texts in zip(prompts, candidates, strict=True)
            for text in texts
        ]
        counts = np.array([len(texts) for texts in candidates])
        index = np.repeat(np.arange(len(prompts)), counts)
        encoded = prompter.rows(rows, [goal] * len(rows), None)
        log_probs, tokens = row_log_probs(model, encoded, index, self.experiment.tokenizer.pad_token_id)
        ends = np.cumsum(counts)[:-1]
        return Likelihoods(np.split(log_probs, ends), np.split(tokens.astype(np.float64), ends))


def _write(path: Path, prompts: Sequence[Prompt], found: Likelihoods) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "prompt_id": [prompt.prompt_id for prompt in prompts],
        "log_probs": [values.tolist() for values in found.log_probs],
        "tokens": [values.tolist() for values in found.tokens],
    }
    write_columns(path, LIKELIHOODS, columns)


def _read(path: Path) -> Likelihoods:
    table = read_table(path, LIKELIHOODS)
    arrays = {
        name: [np.array(values, dtype=np.float64) for values in table[name].to_pylist()]
        for name in ("log_probs", "tokens")
    }
    return Likelihoods(**arrays)


def _finished(path: Path) -> Likelihoods | None:
    """Read a finished shard; `None` if it is missing or damaged."""
    if not path.exists():
        return None
    try:
        return _read(path)
    except DataError as error:
        log.warning("%s", error)
        return None
