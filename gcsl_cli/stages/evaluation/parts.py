"""Several scores of new completions, and their means as columns of the results."""

from collections.abc import Mapping, Sequence

from gcsl_cli.data.arrays import Floats
from gcsl_cli.metrics.attainment import mean_score
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import ensure_feedback, evaluation_prompts
from gcsl_cli.tasks.base import Column, PartsTask, flat

COLUMN = "score_"
"""Beginning of the names of these columns."""


def graded_parts(experiment: Experiment) -> list[str]:
    """The scores that new completions get by name; empty if there is one, or no way to grade them."""
    return experiment.task.graded_scores() if isinstance(experiment.task, PartsTask) else []


def part_scores(experiment: Experiment, completions: Sequence[Sequence[str]]) -> dict[str, Floats]:
    """The scores of the completions of the evaluation prompts, `(prompts, samples)` each."""
    task = experiment.task
    if not graded_parts(experiment) or not isinstance(task, PartsTask):
        return {}
    prompts, texts, shape = flat(evaluation_prompts(experiment), completions)
    return {name: scores.reshape(shape) for name, scores in task.part_scores(prompts, texts).items()}


def part_metrics(experiment: Experiment, scores: Mapping[str, Floats]) -> dict[str, PerPrompt]:
    """The mean grade in each score, by the name of its column."""
    parts = experiment.task.parts(ensure_feedback(experiment)) if scores else {}
    return {f"{COLUMN}{name}": mean_score(parts[name].grades(found)) for name, found in scores.items()}


def part_columns(experiment: Experiment) -> list[Column]:
    """The columns of `part_metrics`."""
    names = graded_parts(experiment)
    parts = experiment.task.parts(ensure_feedback(experiment)) if names else {}
    return [
        Column(f"{COLUMN}{name}", f"mean {name}", "lower" if parts[name].scale.lower_is_better else "higher")
        for name in names
    ]
