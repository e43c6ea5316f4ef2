"""What an arm answered: its completions, their scores and metrics, and how its model tells goals apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gcsl_cli.generation.likelihood import completion_log_probs
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.metrics.discrimination import goal_discrimination
from gcsl_cli.metrics.text import distinct_n, empty_share, mean_tokens, perplexity
from gcsl_cli.records import Generation
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import ensure_feedback, no_goal
from gcsl_cli.stages.generate import Arm, ensure_generations
from gcsl_cli.tasks.base import Column

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TEXT_COLUMNS = [
    Column("perplexity", "perplexity under base", "lower", 2),
    Column("distinct_1", "dist-1", "higher"),
    Column("distinct_2", "dist-2", "higher"),
    Column("distinct_3", "dist-3", "higher"),
    Column("tokens", "mean length (tokens)", "", 1),
    Column("empty", "empty", "lower"),
]


@dataclass(frozen=True)
class Answers:
    """An arm's completions, `samples` a prompt, with their scores `(prompts, samples)` and metrics by column name."""

    arm: Arm
    completions: list[list[str]]
    scores: Any
    metrics: dict[str, PerPrompt]


def arm_answers(experiment: Experiment, arm: Arm) -> Answers:
    """The arm's completions, made if they are missing, and everything measured on them."""
    rows = ensure_generations(experiment, arm)
    samples = experiment.config.generation.samples
    groups = [rows[start : start + samples] for start in range(0, len(rows), samples)]
    completions = [[row.completion for row in group] for group in groups]
    scores = experiment.task.score([row.completion for row in rows]).reshape(len(groups), samples)
    nll, tokens = _perplexity_parts(experiment, groups)
    metrics = experiment.task.metrics(completions) | {
        "perplexity": perplexity(nll, tokens),
        "distinct_1": distinct_n(completions, 1),
        "distinct_2": distinct_n(completions, 2),
        "distinct_3": distinct_n(completions, 3),
        "tokens": mean_tokens(np.array([[row.tokens for row in group] for group in groups])),
        "empty": empty_share(completions),
    }
    return Answers(arm, completions, scores, metrics)


def _perplexity_parts(experiment: Experiment, groups: Sequence[Sequence[Generation]]) -> tuple[Any, Any]:
    """Summed negative log-likelihood (nats) and tokens of each prompt's completions under base, without a goal."""
    prompter = experiment.prompter(no_goal(experiment))
    rows = [
        _likelihood_row(prompter.row(row.prompt, None, row.completion, finished=False, max_length=None))
        for group in groups
        for row in group
    ]
    log_probs, counts = completion_log_probs(experiment.base_model, rows)
    shape = (len(groups), -1)
    return -log_probs.reshape(shape).sum(axis=1), counts.reshape(shape).sum(axis=1)


def _likelihood_row(row: Any) -> tuple[list[int], list[int]]:
    return row.input_ids[: row.prompt_tokens], row.input_ids[row.prompt_tokens :]


def discrimination(experiment: Experiment) -> dict[str, Any] | None:
    """Goal discrimination of the trained and the base model on held-out rows; `None` when it is left out."""
    config = experiment.config.evaluation
    held_out = [row for row in ensure_feedback(experiment) if row.split == "validation"]
    if not config.discrimination_rows or not held_out:
        return None
    order = np.random.default_rng(config.seed).permutation(len(held_out))[: config.discrimination_rows]
    rows = [held_out[index] for index in sorted(order.tolist())]
    prompter = experiment.prompter(experiment.spec)

    def log_probs(model: "PreTrainedModel", level: int) -> Any:
        encoded = [prompter.row(r.prompt, level, r.completion, finished=False, max_length=None) for r in rows]
        return completion_log_probs(model, [_likelihood_row(row) for row in encoded])[0]

    def auc(model: "PreTrainedModel") -> dict[str, Any]:
        return goal_discrimination(
            log_probs(model, len(experiment.spec.levels) - 1) - log_probs(model, 0),
            np.array([row.score for row in rows]),
            [row.prompt_id for row in rows],
            resamples=config.bootstrap,
            seed=config.seed,
            cut=config.discrimination_cut,
        ).as_dict()

    return {"trained": auc(experiment.policy), "base": auc(experiment.base_model)}
