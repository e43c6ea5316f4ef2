"""Held-out graded completions: how likely the models find them under each goal. This needs no sampling."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gcsl_cli.configs.choices import AFTER_PROMPT
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.errors import ConfigError
from gcsl_cli.generation.likelihood import row_log_probs
from gcsl_cli.goals.joint import JointSpec
from gcsl_cli.metrics.bootstrap import interval
from gcsl_cli.metrics.discrimination import goal_discrimination
from gcsl_cli.metrics.likelihood import per_token
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import ensure_feedback
from gcsl_cli.stages.fitting import fitted

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def check_cut(experiment: Experiment) -> None:
    """Check that `evaluation.discrimination_cut` separates good rows from poor ones.

    Raises:
        ConfigError: all held-out rows are on the same side of it.
    """
    config, feedback = experiment.config.evaluation, ensure_feedback(experiment)
    held_out = feedback.of_split("validation")
    if config.discrimination_cut is None or not config.discrimination_rows or not len(held_out):
        return
    scale = experiment.task.grade_scale(feedback)
    good = held_out.scores >= scale.score(config.discrimination_cut)
    if good.all() or not good.any():
        low, high = sorted(scale.grade(float(score)) for score in (held_out.scores.min(), held_out.scores.max()))
        raise ConfigError(
            f"evaluation.discrimination_cut={config.discrimination_cut:g}: all held-out rows are on one side of it; "
            f"their grades run from {low:g} to {high:g}. Choose a cut between them, or null for the median."
        )


@dataclass(frozen=True)
class HeldOut:
    """Graded rows of prompts that training has not seen."""

    experiment: Experiment
    rows: FeedbackRows
    _known: dict[tuple[int, float | None], tuple[Any, Any]] = field(default_factory=dict)
    """What has been measured, by model and goal."""

    @staticmethod
    def of(experiment: Experiment) -> "HeldOut | None":
        """A sample of the validation split; `None` if it is disabled or empty."""
        config = experiment.config.evaluation
        rows = ensure_feedback(experiment)
        none, held_out = rows.take(np.arange(0)), rows.of_split("validation")
        held_out = fitted(experiment, experiment.spec, none, held_out, max_length=None).validation
        if not config.discrimination_rows or not len(held_out):
            return None
        order = np.random.default_rng(config.seed).permutation(len(held_out))[: config.discrimination_rows]
        # Rows of a prompt are neighbours, so that the prompt is computed once.
        side_by_side = order[np.lexsort((order, held_out.prompts[order]))]
        return HeldOut(experiment, held_out.take(side_by_side))

    def discrimination(self) -> dict[str, Any] | None:
        """How well the goal separates good rows from poor ones; not for base if goals are tokens it has never seen."""
        experiment = self.experiment
        if not experiment.spec.has_goal:
            return None
        compared = experiment.config.evaluation.base and experiment.spec.wording != "token"
        base = self.auc(experiment.base_model) if compared else None
        return {"trained": self.auc(experiment.policy), "base": base}

    def parts(self) -> dict[str, dict[str, Any]] | None:
        """For each part of a goal, asked for alone: how well its best over its lowest level separates by each score.

        `None` if the goal has one score. Rows are good from the median of a score on; its name comes second.
        """
        spec, config = self.experiment.spec, self.experiment.config.evaluation
        if not isinstance(spec, JointSpec):
            return None
        asked = {name: [spec.goal({name: end}) for end in ("best", "worst")] for name in spec.names}
        self._measure(self.experiment.policy, [goal for ends in asked.values() for goal in ends])
        prompts = self.rows.table["prompt_id"].to_pylist()

        def separates(ends: Sequence[float], scores: Any) -> dict[str, Any]:
            best, worst = (self._log_probs(self.experiment.policy, goal)[0] for goal in ends)
            found = goal_discrimination(best - worst, scores, prompts, resamples=config.bootstrap, seed=config.seed)
            return found.pooled.as_dict()

        return {
            name: {other: separates(ends, self.rows.part(other)) for other in spec.names}
            for name, ends in asked.items()
        }

    def likelihoods(self, goals: Sequence[float | None]) -> dict[str, Any]:
        """Mean log-probability per token (nats) of the good rows and of the poor rows under each goal."""
        self._measure(self.experiment.policy, goals)
        spec, config = self.experiment.spec, self.experiment.config.evaluation
        prompts = self.rows.table["prompt_id"].to_pylist()
        good = self.rows.scores >= self.cut

        def estimate(goal: float | None, chosen: Any) -> dict[str, Any]:
            log_probs, tokens = self._log_probs(self.experiment.policy, goal)
            metric = per_token(log_probs, tokens, prompts, chosen)
            return interval(metric, resamples=config.bootstrap, seed=config.seed).as_dict()

        return {
            "good": int(good.sum()),
            "poor": int((~good).sum()),
            "levels": [
                {
                    "label": "none" if goal is None else spec.display(goal),
                    "asked": "" if goal is None else spec.meaning(goal),
                    "good": estimate(goal, good),
                    "poor": estimate(goal, ~good),
                }
                for goal in goals
            ],
        }

    @property
    def cut(self) -> float:
        """The score from which a row counts as good."""
        configured = self.experiment.config.evaluation.discrimination_cut
        return (
            float(np.median(self.rows.scores)) if configured is None else self.experiment.spec.scale.score(configured)
        )

    def auc(self, model: "PreTrainedModel") -> dict[str, Any]:
        """Goal discrimination: separate good from poor rows by log p(completion | best) - log p(completion | worst)."""
        spec, config = self.experiment.spec, self.experiment.config.evaluation
        self._measure(model, [spec.best, spec.worst])
        return goal_discrimination(
            self._log_probs(model, spec.best)[0] - self._log_probs(model, spec.worst)[0],
            self.rows.scores,
            self.rows.table["prompt_id"].to_pylist(),
            resamples=config.bootstrap,
            seed=config.seed,
            cut=self.cut,
        ).as_dict()

    def _log_probs(self, model: "PreTrainedModel", goal: float | None) -> tuple[Any, Any]:
        """Summed log-probability and tokens of each row's completion under a goal, both `(rows,)`."""
        return self._known[id(model), goal]

    def _measure(self, model: "PreTrainedModel", goals: Sequence[float | None]) -> None:
        """Measure the goals that have not been measured yet; common prefixes are computed once."""
        asked = [goal for goal in dict.fromkeys(goals) if (id(model), goal) not in self._known]
        if not asked:
            return
        prompter = self.experiment.prompter(self.experiment.spec)
        rows = [replace(row, finished=False) for row in self.rows]
        # Rows that share a prefix must be neighbours: with goals before the prompt, that is the rows of one goal.
        goal_first = self.experiment.config.goal.placement not in AFTER_PROMPT
        runs = [[goal] for goal in asked] if goal_first else [asked]
        for run in runs:
            numbers = np.repeat(self.rows.prompts, len(run))
            encoded = prompter.rows([row for row in rows for _ in run], run * len(rows), None)
            log_probs, tokens = row_log_probs(model, encoded, numbers, self.experiment.tokenizer.pad_token_id)
            for place, goal in enumerate(run):
                self._known[id(model), goal] = log_probs[place :: len(run)], tokens[place :: len(run)]
