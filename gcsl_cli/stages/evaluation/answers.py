"""The answers of an arm: its completions, their scores and metrics."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.metrics.attainment import above_share
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.metrics.text import distinct_n, empty_share, mean_tokens, perplexity
from gcsl_cli.stages.evaluation.arms import Arm
from gcsl_cli.stages.evaluation.completions import arm_folder, ensure_generations, grouped, log_probs
from gcsl_cli.stages.evaluation.parts import part_columns, part_metrics, part_scores
from gcsl_cli.stages.evaluation.ranking import Ranking
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import evaluation_prompts
from gcsl_cli.tasks.base import Column, RankingTask, flat, grader

TEXT_COLUMNS = [
    Column("perplexity", "perplexity under base", "lower", 2),
    Column("distinct_1", "dist-1", "higher", detail=True),
    Column("distinct_2", "dist-2", "higher"),
    Column("distinct_3", "dist-3", "higher", detail=True),
    Column("tokens", "mean length (tokens)", "", 1, detail=True),
    Column("empty", "empty", "lower", detail=True),
]
BEYOND = Column("above_training_maximum", "above every training score", "higher")
DIVERGENCE = Column("divergence", "divergence from base (nats/token)", "lower")
"""log p(completion) of the trained model minus that of base without a goal, of the trained model's own completions: its
Kullback-Leibler divergence from base, estimated on samples. With guidance, the distribution is not the model's own."""
ABOVE_FIRST = Column("above_first_round", "above every score of round 1", "higher")


def result_columns(experiment: Experiment) -> list[Column]:
    """Columns of the results table, the main metric first."""
    task = experiment.task
    ranked = task.ranking_columns() if isinstance(task, RankingTask) else []
    if not experiment.config.evaluation.generations:
        return ranked
    bounded = grader(task) is not None and experiment.config.train.score_below is not None
    return [
        *ranked,
        *task.result_columns(),
        *part_columns(experiment),
        *([BEYOND] if bounded else []),
        *([ABOVE_FIRST] if grader(task) is not None and experiment.config.in_rounds else []),
        *TEXT_COLUMNS,
        *([DIVERGENCE] if experiment.config.measures_divergence else []),
    ]


@dataclass(frozen=True)
class Answers:
    """An arm's completions, `samples` a prompt, with their scores `(prompts, samples)` and metrics by column name.

    Scores are missing if the task has no scorer; completions are missing if the arm only ranks candidates.
    """

    arm: Arm
    completions: list[list[str]]
    scores: Any
    metrics: dict[str, PerPrompt]
    parts: dict[str, Floats] = field(default_factory=dict)
    """Several scores by name, `(prompts, samples)` each, where the task has them."""


def all_answers(experiment: Experiment, arms: Sequence[Arm]) -> list[Answers]:
    """Sample and rank for every arm, reusing what exists; then rank by the task's reference rules."""
    ranking = Ranking.of(experiment)
    # First of all, because the engine of a backend may need the memory of the models that completions are scored by.
    with experiment.engines.kept():
        for arm in arms:
            if samples(experiment, arm):
                ensure_generations(experiment, arm)
    answers = [_arm_answers(experiment, arm, ranking) for arm in arms]
    if ranking is not None:
        for label, found in ranking.references().items():
            arm = Arm(label.replace(" ", "-"), label, False, None, reference=True)
            answers.append(Answers(arm, [], None, found.metrics))
    return answers


def answer_identities(experiment: Experiment, arms: Sequence[Arm]) -> list[str]:
    """Identities of everything that the arms answer."""
    ranking = Ranking.of(experiment)
    sampled = [arm_folder(experiment, arm).identity for arm in arms if samples(experiment, arm)]
    return sampled + [folder.identity for arm in arms if ranking for folder in ranking.folders(arm)]


def samples(experiment: Experiment, arm: Arm) -> bool:
    """Whether the arm samples completions."""
    return experiment.config.evaluation.generations and not arm.ratio


def _arm_answers(experiment: Experiment, arm: Arm, ranking: Ranking | None) -> Answers:
    sampled = _sampled(experiment, arm) if samples(experiment, arm) else Answers(arm, [], None, {})
    if ranking is None:
        return sampled
    found = ranking.measured(arm)
    scores = sampled.scores if found.scores is None else found.scores
    return replace(sampled, scores=scores, metrics=found.metrics | sampled.metrics)


def _sampled(experiment: Experiment, arm: Arm) -> Answers:
    """The arm's completions, created on demand, and all metrics computed on them."""
    rows = ensure_generations(experiment, arm)
    groups = grouped(rows, experiment.config.generation.samples)
    completions = [[row.completion for row in group] for group in groups]
    task, prompts, scores = experiment.task, evaluation_prompts(experiment), None
    if (grading := grader(task)) is not None:
        each, texts, shape = flat(prompts, completions)
        scores = grading.score(each, texts).reshape(shape)
    parts = part_scores(experiment, completions)
    under_base, tokens = log_probs(experiment.base_model, experiment.plain_prompter, None, groups)
    metrics = {
        **task.metrics(prompts, completions),
        **part_metrics(experiment, parts),
        "perplexity": perplexity(-under_base, tokens),
        "distinct_1": distinct_n(completions, 1),
        "distinct_2": distinct_n(completions, 2),
        "distinct_3": distinct_n(completions, 3),
        "tokens": mean_tokens(np.array([[row.tokens for row in group] for group in groups])),
        "empty": empty_share(completions),
    }
    if scores is not None and experiment.config.train.score_below is not None:
        metrics[BEYOND.name] = above_share(experiment.spec.training_range[1], scores)
    if experiment.config.measures_divergence and arm.trained and not arm.guidance:
        under_policy, _ = log_probs(experiment.policy, experiment.prompter(experiment.spec), arm.goal, groups)
        metrics[DIVERGENCE.name] = PerPrompt(under_policy - under_base, tokens.astype(np.float64))
    if scores is not None and experiment.config.in_rounds:
        metrics[ABOVE_FIRST.name] = above_share(experiment.first.spec.training_range[1], scores)
    return Answers(arm, completions, scores, metrics, parts)
