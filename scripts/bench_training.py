"""Compare training with a bare TRL script on the same plan: python scripts/bench_training.py [--steps 20].

Both run SFTTrainer on the real model and the same micro-batches, alternating; the bare script passes tokens to TRL and
uses TRL's collator. Prints the ratio of wall times with its confidence interval over rounds, the largest difference
between logged losses, and the share of a step spent in our plan and collator.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from trl import SFTTrainer

from gcsl_cli.cli import console
from gcsl_cli.configs import load
from gcsl_cli.models.loading import load_model
from gcsl_cli.runs.progress import progress
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import ensure_feedback
from gcsl_cli.stages.planning.goal import make_goal
from gcsl_cli.stages.planning.plan import make_plan
from gcsl_cli.stages.trainer import train_settings
from gcsl_cli.training.examples import RowExamples
from gcsl_cli.training.loop import common_arguments, train_plan
from gcsl_cli.training.micro_batches import IGNORED, PlanCollator
from gcsl_cli.training.plan import Budget
from gcsl_cli.training.sft import sft_arguments, sft_trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("overrides", nargs="*", help="Hydra overrides: model=local model.uri=FOLDER ...")
    arguments = parser.parse_args()
    console.setup()
    experiment = Experiment(load(arguments.overrides))
    feedback = ensure_feedback(experiment)
    rows = feedback.of_split("train")
    spec, levels = make_goal(experiment.config, feedback, rows)
    row_examples = RowExamples(rows, experiment.prompter(spec), experiment.config.train.max_length)
    plan = make_plan(experiment, row_examples, spec, levels, Budget(steps=arguments.steps))
    batches = row_examples.planned(plan)
    settings = train_settings(experiment)

    def ours(folder: Path) -> tuple[float, list[float]]:
        model = load_model(experiment.base_path)
        with progress("ours", int(plan.tokens.sum()), "tokens") as bar:
            started = time.perf_counter()
            make = sft_trainer(model, experiment.tokenizer, batches, None, None)
            trained = train_plan(make, plan, settings, folder, bar, validated=False)
            seconds = time.perf_counter() - started
        return seconds, [entry["loss"] for entry in trained.history if "loss" in entry]

    def bare(folder: Path) -> tuple[float, list[float]]:
        model = load_model(experiment.base_path)
        examples = [
            {"input_ids": row.input_ids, "labels": [IGNORED] * row.prompt_tokens + row.input_ids[row.prompt_tokens :]}
            for item in batches
            for sequence in item["sequences"]
            for row in sequence.rows
        ]
        args = sft_arguments(common_arguments(settings, folder, validated=False))
        args.per_device_train_batch_size = experiment.config.train.batch_size
        args.gradient_accumulation_steps = 1
        args.remove_unused_columns = True
        args.save_strategy = "no"
        data = Dataset.from_list(examples)
        started = time.perf_counter()
        trainer = SFTTrainer(model=model, args=args, train_dataset=data, processing_class=experiment.tokenizer)
        trainer.train()
        seconds = time.perf_counter() - started
        return seconds, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

    ratios, differences = [], []
    for number in range(arguments.rounds):
        order: list[Any] = [ours, bare] if number % 2 == 0 else [bare, ours]
        with tempfile.TemporaryDirectory() as folder:
            results = {run.__name__: run(Path(folder) / run.__name__) for run in order}
        ratios.append(results["ours"][0] / results["bare"][0])
        differences.append(float(np.abs(np.subtract(results["ours"][1], results["bare"][1])).max()))
        print(
            f"round {number + 1}: ours / bare TRL {ratios[-1]:.3f}, losses differ by {differences[-1]:.1e}", flush=True
        )
    mean, half = float(np.mean(ratios)), 1.96 * float(np.std(ratios, ddof=1)) / len(ratios) ** 0.5
    print(
        f"ratio {mean:.3f}, 95 % interval {mean - half:.3f} to {mean + half:.3f}; "
        f"largest loss difference {max(differences):.1e}"
    )

    collator = PlanCollator(experiment.tokenizer.pad_token_id)
    started = time.perf_counter()
    for item in batches:
        collator([item])
    per_step = (time.perf_counter() - started) / plan.steps
    step = float(np.median([results["ours"][0]])) / plan.steps
    print(
        f"plan and collator: {1000 * per_step:.2f} ms of a step of {1000 * step:.0f} ms: {100 * per_step / step:.2f} %"
    )


if __name__ == "__main__":
    main()
