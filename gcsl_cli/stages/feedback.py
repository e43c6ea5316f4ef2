"""Graded feedback of a task: made once, saved as `feedback.parquet`, and shared across runs."""

import logging
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from gcsl_cli.data.records import FeedbackRows, Generation, Prompt, read_feedback, write_table
from gcsl_cli.errors import DataError
from gcsl_cli.generation.sampling import Sampled, Sampling, sample_prompts
from gcsl_cli.generation.shards import sample_in_shards
from gcsl_cli.models.loading import end_tokens
from gcsl_cli.runs.progress import progress
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.tasks.base import RolloutSettings

FILE = "feedback.parquet"

log = logging.getLogger("gcsl")


def ensure_feedback(experiment: Experiment, force: bool = False) -> FeedbackRows:
    """The feedback rows of all splits, created on demand.

    Raises:
        DataError: the source is broken, or a split has no row.
    """
    if experiment.rows is not None and not force:
        return experiment.rows
    folder = experiment.feedback
    experiment.task.rollouts_planned()  # fails before a folder is made if the source is unusable
    with folder.working(force) as todo:
        if todo or not (folder.path / FILE).exists():
            rows = experiment.task.graded_rows(
                lambda prompts, settings: _rollouts(experiment, prompts, settings), folder.path
            )
            check_splits(rows)
            write_table(folder.path / FILE, rows.table)
            folder.finish(rows=len(rows), mean_score=float(np.mean(rows.scores)))
            log.info("%d graded rows in %s", len(rows), folder.path)
            experiment.rows = rows
        else:
            experiment.rows = read_feedback(folder.path / FILE)
    return experiment.rows


def evaluation_prompts(experiment: Experiment) -> list[Prompt]:
    """The prompts to evaluate, at most `generation.prompts` of them."""
    if experiment.prompts is None:
        experiment.prompts = experiment.task.evaluation_prompts(ensure_feedback(experiment))
    return experiment.prompts[: experiment.config.generation.prompts]


def _rollouts(experiment: Experiment, prompts: Sequence[Prompt], settings: RolloutSettings) -> list[Generation]:
    """Sample continuations from the untouched base model, without a goal."""
    prompter = experiment.plain_prompter
    ids = {prompt.prompt_id: prompter.prompt_ids(prompt.text, None, settings.max_new_tokens) for prompt in prompts}
    values = {key: value for key, value in asdict(settings).items() if key not in ("shard_prompts", "seed")}
    sampling = Sampling(**values, guidance=0.0)

    def sample(chosen: Sequence[Prompt], seed: int) -> Sequence[Sequence[Sampled]]:
        model = experiment.base_model
        ends = sorted({*end_tokens(experiment.tokenizer, model), *prompter.end})
        shard = [ids[prompt.prompt_id] for prompt in chosen]
        return sample_prompts(model, experiment.tokenizer, shard, None, ends, sampling, seed)

    with progress("rollouts", len(prompts) * settings.samples, "completions") as bar:
        return sample_in_shards(
            prompts,
            [len(ids[prompt.prompt_id]) for prompt in prompts],
            experiment.feedback.path / "shards",
            shard_prompts=settings.shard_prompts,
            seed=settings.seed,
            sample=sample,
            advance=bar.advance,
        )


def check_splits(rows: FeedbackRows) -> None:
    """Reject feedback that leaves nothing to train or to validate on.

    Raises:
        DataError: the training or the validation split has no row.
    """
    for split in ("train", "validation"):
        if not len(rows.of_split(split)):
            raise DataError(
                f"No feedback row is in the split {split!r} ({len(rows)} rows in all). Give more prompts, or another "
                "task.split."
            )
