"""Graded feedback of a task: made once, kept as `feedback.parquet`, shared by all runs that use it."""

import logging
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from gcsl_cli import console
from gcsl_cli.errors import DataError
from gcsl_cli.generation.sampling import Sampled, Sampling, sample_prompts
from gcsl_cli.generation.shards import sample_in_shards
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.models import end_tokens
from gcsl_cli.records import FEEDBACK, FeedbackRow, Generation, Prompt, read_feedback, write_records
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.tasks.base import RolloutSettings

FILE = "feedback.parquet"

log = logging.getLogger("gcsl")


def ensure_feedback(experiment: Experiment, force: bool = False) -> list[FeedbackRow]:
    """The feedback rows of the splits `train` and `validation`, made if they are missing.

    Raises:
        DataError: the source is broken, or has no row of one of the splits.
    """
    folder = experiment.feedback
    experiment.task.rollouts_planned()  # a source that cannot be used is refused before a folder is made
    with folder.working(force) as todo:
        if todo or not (folder.path / FILE).exists():
            rows = experiment.task.graded_rows(lambda prompts, settings: _rollouts(experiment, prompts, settings))
            _check(rows)
            write_records(folder.path / FILE, FEEDBACK, rows)
            folder.finish(rows=len(rows), mean_score=float(np.mean([row.score for row in rows])))
            log.info("%d graded rows in %s", len(rows), folder.path)
        return read_feedback(folder.path / FILE)


def _rollouts(experiment: Experiment, prompts: Sequence[Prompt], settings: RolloutSettings) -> list[Generation]:
    """Continuations of the untouched base model, without a goal."""
    prompter = experiment.prompter(no_goal(experiment))
    ids = {prompt.prompt_id: prompter.prompt_ids(prompt.text, None, settings.max_new_tokens) for prompt in prompts}
    values = {key: value for key, value in asdict(settings).items() if key not in ("shard_prompts", "seed")}
    sampling = Sampling(**values, guidance=0.0)

    def sample(chosen: Sequence[Prompt], seed: int) -> Sequence[Sequence[Sampled]]:
        model = experiment.base_model
        ends = end_tokens(experiment.tokenizer, model)
        shard = [ids[prompt.prompt_id] for prompt in chosen]
        return sample_prompts(model, experiment.tokenizer, shard, None, ends, sampling, seed)

    with console.progress("rollouts", len(prompts) * settings.samples, "completions") as bar:
        return sample_in_shards(
            prompts,
            [len(ids[prompt.prompt_id]) for prompt in prompts],
            experiment.feedback.path / "shards",
            shard_prompts=settings.shard_prompts,
            seed=settings.seed,
            sample=sample,
            advance=bar.advance,
        )


def no_goal(experiment: Experiment) -> GoalSpec:
    """A spec that only says how prompts of the task are formatted; it has no level to ask for."""
    task = experiment.task
    return GoalSpec(
        task=task.name,
        formulation="none",
        wording="none",
        levels=(),
        sentences=(),
        placement="before_prompt",
        separator="",
        pairing="none",
        balance="none",
        target="best",
        direction=task.direction,
        prompt_format=task.format,
        instruction=task.instruction,
        training_range=(0.0, 0.0),
    )


def _check(rows: Sequence[FeedbackRow]) -> None:
    for split in ("train", "validation"):
        if not any(row.split == split for row in rows):
            raise DataError(
                f"No feedback row is in the split {split!r} ({len(rows)} rows in all). Give more prompts, or another "
                "task.split."
            )
