"""Graded feedback of a task: made once, saved as `feedback.parquet`, and shared across runs."""

import logging
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from gcsl_cli.data.records import FeedbackRows, Generation, Prompt, read_feedback, write_table
from gcsl_cli.data.splits import SplitConfig
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.generation.sampling import Sampling
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.fitting import fitting_prompts
from gcsl_cli.stages.samplers import check_backend
from gcsl_cli.stages.sampling import sample_completions
from gcsl_cli.tasks.base import RolloutSettings, Task

FILE = "feedback.parquet"
SHARDS = "shards"

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
            rows = experiment.collect(lambda prompts, settings: _rollouts(experiment, prompts, settings), folder.path)
            check_splits(rows, experiment.task)
            write_table(folder.path / FILE, rows.table)
            folder.finish(FILE, rows=len(rows), mean_score=float(np.mean(rows.scores)))
            log.info("%d graded rows in %s", len(rows), folder.path)
            experiment.rows = rows
        else:
            experiment.rows = read_feedback(folder.verified(FILE))
    return experiment.rows


def evaluation_prompts(experiment: Experiment) -> list[Prompt]:
    """The prompts to evaluate, at most `generation.prompts` of them."""
    if experiment.prompts is None:
        rows, split = ensure_feedback(experiment), str(experiment.config.generation.split)
        experiment.prompts = fitting_prompts(experiment, experiment.task.evaluation_prompts(rows, split), rows)
    return experiment.prompts[: experiment.config.generation.prompts]


def _rollouts(experiment: Experiment, prompts: Sequence[Prompt], settings: RolloutSettings) -> list[Generation]:
    """Sample continuations from the untouched base model, without a goal."""
    prompter = experiment.plain_prompter
    values = {key: value for key, value in asdict(settings).items() if key not in ("shard_prompts", "seed")}
    return sample_completions(
        experiment,
        prompts,
        Sampling(**values, guidance=0.0),
        experiment.feedback.path / SHARDS,
        label="rollouts",
        trained=False,
        ids=prompter.all_prompt_ids(prompts, None, settings.max_new_tokens),
        against=None,
        ends=prompter.end,
        shard_prompts=settings.shard_prompts,
        seed=settings.seed,
    )


def check_splits(rows: FeedbackRows, task: Task) -> None:
    """Reject feedback that leaves nothing to train or to validate on, unless the task asks for no validation.

    Raises:
        DataError: the training or the validation split has no row.
    """
    split = getattr(task, "split", None)
    unvalidated = isinstance(split, SplitConfig) and not split.validation
    for name in ("train",) if unvalidated else ("train", "validation"):
        if not len(rows.of_split(name)):
            raise DataError(
                f"No feedback row is in the split {name!r} ({len(rows)} rows in all). Give more prompts, or another "
                "task.split."
            )


def check_evaluated(experiment: Experiment) -> None:
    """Before training, make sure that completions can be sampled, and that there is something to sample them for.

    Raises:
        ConfigError: there are no evaluation prompts, or vLLM cannot be used.
        DependencyError: vLLM cannot be used.
    """
    if not experiment.training.done():
        check_backend(experiment.config)
    if not evaluation_prompts(experiment):
        raise ConfigError(
            f"task.split: the split {experiment.config.generation.split} has no prompts to evaluate on. Use gcsl "
            "train, or hold some prompts out, for example task.split.test=0.1."
        )
