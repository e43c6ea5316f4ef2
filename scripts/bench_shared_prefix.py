"""Measure what prompt sharing saves: python scripts/bench_shared_prefix.py [--rounds 3] [--settings 200/15/12/5].

Trains all weights of the real model on the same feedback rows under k goals each: with shared prompts, with separate
rows (TRL's SFTTrainer, both as is and with the head on supervised positions only), and on plain rows without goals. The
arms alternate, each at its fastest micro-batch size. Prints the median over rounds next to the theoretical bound
(linear layers on all tokens, head on supervised tokens, attention free), then the largest difference between losses,
peak memory, and the speedup of `score_completions`.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from datasets import Dataset
from trl import SFTTrainer

from gcsl_cli.cli import console
from gcsl_cli.configs import load
from gcsl_cli.generation.likelihood import completion_log_probs, score_completions
from gcsl_cli.models.loading import load_model
from gcsl_cli.models.prompting import EncodedRow
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import ensure_feedback
from gcsl_cli.stages.planning.goal import make_goal
from gcsl_cli.stages.trainer import train_settings
from gcsl_cli.training.branches import Branched
from gcsl_cli.training.loop import TrainSettings, common_arguments
from gcsl_cli.training.micro_batches import IGNORED, PlannedBatches
from gcsl_cli.training.sft import sft_arguments, sft_trainer
from gcsl_cli.training.trl_internals import head_on_supervised_positions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SETTINGS = ("200/15/12/5", "200/15/12/quantiles", "400/15/12/5", "200/1/12/5", "toxicity")
ROWS_PER_PASS = (2, 8)
"""Micro-batch sizes that each arm tries: separate rows, or feedback rows in the shared arm."""
Group = tuple[EncodedRow, ...]
"""A feedback row under its goals."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=5, help="feedback rows per step")
    parser.add_argument("--settings", default=",".join(SETTINGS), help="prompt/goal/completion/k, or toxicity")
    parser.add_argument("--memory", metavar="ARM", help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", help="Hydra overrides: runs_dir=FOLDER ...")
    arguments = parser.parse_args()
    console.setup()
    experiment = Experiment(load([*arguments.overrides, "goal.placement=after_prompt", "adapter=none"]))
    bench = Bench(experiment, train_settings(experiment))
    if arguments.memory:
        group = groups("200/15/12/5", 4, experiment)
        bench.arms(group)[arguments.memory](4 if arguments.memory == "shared" else 6)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        return
    print("setting: bound, shared prompts against separate rows (supervised head; TRL as is)")
    for setting in arguments.settings.split(","):
        bench.compare(setting, groups(setting, arguments.rows, experiment), arguments.rounds)
    peaks = {arm: memory(arm, arguments.overrides) for arm in ("shared", "written out")}
    peaks_text = ", ".join(f"{arm} {peak} MiB" for arm, peak in peaks.items())
    print(f"peak memory, 4 rows of 335 tokens against 6 of 227 per pass: {peaks_text}")
    scoring(experiment.base_model.float(), len(experiment.tokenizer), arguments.rounds)


def groups(setting: str, count: int, experiment: Experiment) -> list[Group]:
    """Feedback rows under their goals: random tokens of the given lengths, or rows of the toxicity task."""
    generator = np.random.default_rng(0)
    if setting == "toxicity":
        return _of_task(experiment, count * 4, generator)
    prompt, goal, completion, goals = setting.split("/")

    def tokens(length: str) -> list[int]:
        return cast("list[int]", generator.integers(3, len(experiment.tokenizer), int(length)).tolist())

    rows = []
    for index in range(count):
        first, last = tokens(prompt), tokens(completion)
        k = index % 5 + 1 if goals == "quantiles" else int(goals)
        rows.append(tuple(_row(first + tokens(goal), last) for _ in range(k)))
    return rows


def _of_task(experiment: Experiment, count: int, generator: np.random.Generator) -> list[Group]:
    feedback = ensure_feedback(experiment)
    rows = feedback.of_split("train")
    spec, levels = make_goal(experiment.config, feedback, rows)
    chosen = generator.permutation(len(rows))[:count]
    highest = levels.highest(rows.scores, rows.prompts)[chosen]
    prompter = experiment.prompter(spec)
    return [
        tuple(prompter.rows([rows[int(row)]] * (level + 1), list(spec.levels[: level + 1]), None))
        for row, level in zip(chosen, highest.tolist(), strict=True)
    ]


def _row(prompt: list[int], completion: list[int]) -> EncodedRow:
    return EncodedRow(prompt + completion, len(prompt), truncated=False, retokenized=False)


def shared(group: Group) -> Branched:
    """Pack the rows of a group into one sequence."""
    if len(group) == 1:
        return Branched(group, 0)
    limit = min(row.prompt_tokens for row in group) - 1
    prefix = next((index for index in range(limit) if len({row.input_ids[index] for row in group}) > 1), limit)
    return Branched(group, prefix)


@dataclass(frozen=True)
class FixedBatches:
    """Precomputed micro-batches in place of `PlannedBatches`."""

    items: Sequence[Sequence[Branched]]
    share: float | None
    weighted: bool = False

    def dataset(self) -> Dataset:
        """Wrap the items in the dataset that TRL requires."""
        index = Dataset.from_dict({"index": range(len(self.items))})
        return index.with_transform(lambda rows: {"sequences": [self.items[index] for index in rows["index"]]})


@dataclass(frozen=True)
class Bench:
    """Time one training step over all rows."""

    experiment: Experiment
    settings: TrainSettings

    def arms(self, rows: list[Group]) -> dict[str, Callable[[int], tuple[float, float]]]:
        """The arms: functions from a micro-batch size to seconds and loss."""
        alone = [Branched((row,), 0) for group in rows for row in group]
        return {
            "shared": partial(self._ours, [shared(group) for group in rows], 1.0),
            "written out": partial(self._ours, alone, None),
            "TRL": partial(self._trl, [row for group in rows for row in group]),
        }

    def compare(self, setting: str, rows: list[Group], rounds: int) -> None:
        """Compare the arms in one setting and print one line."""
        arms = self.arms(rows)
        plain = [_row(group[0].input_ids[: shared(group).shared or 1], _completion(group[0])) for group in rows]
        arms["plain"] = partial(self._ours, [Branched((row,), 0) for row in plain], None)
        tried = {name: {size: arm(size)[0] for size in ROWS_PER_PASS} for name, arm in arms.items()}
        best = {name: min(seconds, key=lambda size: seconds[size]) for name, seconds in tried.items()}
        times: dict[str, list[float]] = {name: [] for name in arms}
        losses = {}
        for number in range(rounds):
            for name in list(arms)[:: 1 if number % 2 == 0 else -1]:
                seconds, losses[name] = arms[name](best[name])
                times[name].append(seconds)
        model = self.experiment.base_model
        cost = {
            "shared": bound(model, [shared(group).tokens for group in rows], list(rows)),
            "written out": bound(model, [len(row.input_ids) for group in rows for row in group], rows),
            "plain": bound(model, [len(row.input_ids) for row in plain], [(row,) for row in plain]),
        }

        def ratio(one: str, other: str) -> float:
            return statistics.median(a / b for a, b in zip(times[one], times[other], strict=True))

        bound_ratio, saved = cost["written out"] / cost["shared"], ratio("written out", "shared")
        difference = abs(losses["shared"] - losses["written out"]) / losses["written out"]
        print(
            f"{setting}: bound {bound_ratio:.2f}, measured {saved:.2f} ({saved / bound_ratio:.0%} of it), TRL as is "
            f"{ratio('TRL', 'shared'):.2f}; against plain rows {ratio('shared', 'plain'):.2f}, bound "
            f"{cost['shared'] / cost['plain']:.2f}; losses differ by {difference:.0e}; micro-batches {best}",
            flush=True,
        )

    def _ours(self, sequences: list[Branched], share: float | None, size: int) -> tuple[float, float]:
        ordered = sorted(sequences, key=lambda sequence: sequence.tokens)
        items = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        batches = cast("PlannedBatches", FixedBatches(items, share))
        with tempfile.TemporaryDirectory() as folder:
            make = sft_trainer(load_model(self.experiment.base_path), self.experiment.tokenizer, batches, None, None)
            trainer = make(self._arguments(len(items), folder), [])
            with head_on_supervised_positions():
                return _timed(trainer)

    def _trl(self, rows: list[EncodedRow], size: int) -> tuple[float, float]:
        ordered = sorted(rows, key=lambda row: len(row.input_ids))
        data = [
            {"input_ids": row.input_ids, "labels": [IGNORED] * row.prompt_tokens + _completion(row)} for row in ordered
        ]
        with tempfile.TemporaryDirectory() as folder:
            args = sft_arguments(self._arguments(-(-len(data) // size), folder))
            args.per_device_train_batch_size, args.remove_unused_columns = size, True
            trainer = SFTTrainer(
                model=load_model(self.experiment.base_path),
                args=args,
                train_dataset=Dataset.from_list(data),
                processing_class=self.experiment.tokenizer,
            )
            return _timed(trainer)

    def _arguments(self, passes: int, folder: str) -> dict[str, Any]:
        """Arguments for one step of `passes` forward passes without checkpoints."""
        settings = replace(self.settings, accumulation=passes, gradient_checkpointing=False)
        return common_arguments(settings, Path(folder), validated=False) | {"save_strategy": "no"}


def _timed(trainer: Any) -> tuple[float, float]:
    started = time.perf_counter()
    trainer.train()
    return time.perf_counter() - started, trainer.state.log_history[0]["loss"]


def _completion(row: EncodedRow) -> list[int]:
    return row.input_ids[row.prompt_tokens :]


def bound(model: "PreTrainedModel", tokens: Sequence[int], rows: Sequence[Group]) -> float:
    """Multiplications of a forward pass: linear layers on all tokens, the head on supervised tokens."""
    head = model.get_output_embeddings().weight.numel()
    linear = sum(module.weight.numel() for name, module in model.named_modules() if isinstance(module, torch.nn.Linear))
    return float(sum(tokens) * (linear - head) + sum(row.supervised for group in rows for row in group) * head)


def memory(arm: str, overrides: Sequence[str]) -> int:
    """Peak memory (MiB) of a step, measured in a subprocess."""
    command = [sys.executable, __file__, "--memory", arm, *overrides]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def scoring(model: "PreTrainedModel", vocabulary: int, rounds: int) -> None:
    """Compare scoring 20 candidates of 12 tokens after a prompt of 200 tokens with one forward pass per candidate."""
    generator = np.random.default_rng(0)
    prompt = generator.integers(3, vocabulary, 200).tolist()
    candidates = generator.integers(3, vocabulary, (20, 12)).tolist()
    ratios, differences = [], []
    for _ in range(max(rounds, 3)):
        started = time.perf_counter()
        together = score_completions(model, prompt, candidates)[0]
        middle = time.perf_counter()
        alone = np.array([completion_log_probs(model, [(prompt, candidate)])[0][0] for candidate in candidates])
        ratios.append((time.perf_counter() - middle) / (middle - started))
        differences.append(float(np.abs(together - alone).max()))
    print(f"score_completions: {statistics.median(ratios):.1f} times faster, differs by {max(differences):.0e} nats")


if __name__ == "__main__":
    main()
