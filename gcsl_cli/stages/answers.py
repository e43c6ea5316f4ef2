"""The answers of an arm: its completions, their scores and metrics."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gcsl_cli.data.records import Generation
from gcsl_cli.generation.likelihood import completion_log_probs
from gcsl_cli.metrics.attainment import above_share
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.metrics.text import distinct_n, empty_share, mean_tokens, perplexity
from gcsl_cli.stages.arms import Arm
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import evaluation_prompts
from gcsl_cli.stages.generate import arm_folder, ensure_generations
from gcsl_cli.stages.ranking import Ranking
from gcsl_cli.tasks.base import Column, RankingTask, grader

TEXT_COLUMNS = [
    Column("perplexity", "perplexity under base", "lower", 2),
    Column("distinct_1", "dist-1", "higher", detail=True),
    Column("distinct_2", "dist-2", "higher"),
    Column("distinct_3", "dist-3", "higher", detail=True),
    Column("tokens", "mean length (tokens)", "", 1, detail=True),
    Column("empty", "empty", "lower", detail=True),
]
BEYOND = Column("above_training_maximum", "above every training score", "higher")


def result_columns(experiment: Experiment) -> list[Column]:
    """Columns of the results table, the main metric first."""
    task = experiment.task
    ranked = task.ranking_columns() if isinstance(task, RankingTask) else []
    if not experiment.config.evaluation.generations:
        return ranked
    bounded = grader(task) is not None and experiment.config.train.score_below is not None
    return [*ranked, *task.result_columns(), *([BEYOND] if bounded else []), *TEXT_COLUMNS]


@dataclass(frozen=True)
class Answers:
    """An arm's completions, `samples` a prompt, with their scores `(prompts, samples)` and metrics by column name.

    Scores are missing if the task has no scorer; completions are missing if the arm only ranks candidates.
    """

    arm: Arm
    completions: list[list[str]]
    scores: Any
    metrics: dict[str, PerPrompt]


def all_answers(experiment: Experiment, arms: Sequence[Arm]) -> list[Answers]:
    """Sample and rank for every arm, reusing what exists; then rank by the task's reference rules."""
    ranking = Ranking.of(experiment)
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
    samples = experiment.config.generation.samples
    groups = [rows[start : start + samples] for start in range(0, len(rows), samples)]
    completions = [[row.completion for row in group] for group in groups]
    task, prompts, scores = experiment.task, evaluation_prompts(experiment), None
    if (grading := grader(task)) is not None:
        each = [prompt for prompt in prompts for _ in range(samples)]
        scores = grading.score(each, [row.completion for row in rows]).reshape(len(groups), samples)
    nll, tokens = _perplexity_parts(experiment, groups)
    metrics = task.metrics(prompts, completions) | {
        "perplexity": perplexity(nll, tokens),
        "distinct_1": distinct_n(completions, 1),
        "distinct_2": distinct_n(completions, 2),
        "distinct_3": distinct_n(completions, 3),
        "tokens": mean_tokens(np.array([[row.tokens for row in group] for group in groups])),
        "empty": empty_share(completions),
    }
    if scores is not None and experiment.config.train.score_below is not None:
        metrics[BEYOND.name] = above_share(experiment.spec.training_range[1], scores)
    return Answers(arm, completions, scores, metrics)


def _perplexity_parts(experiment: Experiment, groups: Sequence[Sequence[Generation]]) -> tuple[Any, Any]:
    """Summed negative log-likelihood (nats) and tokens of each prompt's completions under base, without a goal."""
    prompter = experiment.plain_prompter
    rows = [
        prompter.row(row.prompt, None, row.completion, finished=False, max_length=None)
        for group in groups
        for row in group
    ]
    texts = [(row.prompt_ids, row.completion_ids) for row in rows]
    log_probs, counts = completion_log_probs(experiment.base_model, texts)
    shape = (len(groups), -1)
    return -log_probs.reshape(shape).sum(axis=1), counts.reshape(shape).sum(axis=1)
