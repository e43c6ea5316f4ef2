"""How good a round is on validation prompts, and whether another one is worth it."""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from gcsl_cli.configs.choices import EvaluationSplit
from gcsl_cli.configs.schema import StopConfig
from gcsl_cli.errors import ConfigError
from gcsl_cli.runs.files import read_json, write_json
from gcsl_cli.runs.folders import identity
from gcsl_cli.stages.evaluation.arms import configured_arm
from gcsl_cli.stages.evaluation.completions import arm_folder, ensure_generations, grouped, log_probs
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import check_evaluated, evaluation_prompts
from gcsl_cli.tasks.base import grader


@dataclass(frozen=True, slots=True)
class Validated:
    """Mean score of the completions of validation prompts, and their divergence from base (nats per token)."""

    score: float
    divergence: float


def reason_to_stop(stop: StopConfig, results: Sequence[Validated]) -> str:
    """Why no further round is trained after these results, one per round; empty if nothing speaks against it."""
    last = results[-1]
    if stop.divergence is not None and last.divergence > stop.divergence:
        return (
            f"its divergence from base is {last.divergence:.3f} nats per token, above "
            f"rounds.stop.divergence={stop.divergence:g}"
        )
    if stop.gain is not None and len(results) > 1:
        before = max(result.score for result in results[:-1])
        if last.score < before + stop.gain:
            return (
                f"its mean score on validation prompts is {last.score:.3f} after {before:.3f}, a gain below "
                f"rounds.stop.gain={stop.gain:g}"
            )
    return ""


def validated(experiment: Experiment) -> Validated:
    """Sample the trained model on all validation prompts, asked for the configured goal without guidance.

    The result is saved beside the completions.

    Raises:
        ConfigError: the task cannot grade completions, or has no validation prompts.
    """
    if (grading := grader(experiment.task)) is None:
        raise ConfigError("rounds.stop needs a task with a scorer. Leave it out.")
    config = experiment.config
    generation = replace(config.generation, split=EvaluationSplit.validation, prompts=None, guidance=0.0)
    held_out = copy.copy(experiment)
    held_out.config, held_out.prompts = replace(config, generation=generation), None
    check_evaluated(held_out)
    arm = configured_arm(held_out)
    measures = identity("validation", experiment.task.evaluation_keys())
    path = arm_folder(held_out, arm).path / f"validation-{measures}.json"
    if path.exists():
        return Validated(**read_json(path))
    rows = ensure_generations(held_out, arm)
    by_id = {prompt.prompt_id: prompt for prompt in evaluation_prompts(held_out)}
    scores = grading.score([by_id[row.prompt_id] for row in rows], [row.completion for row in rows])
    groups = grouped(rows, generation.samples)
    under_policy, tokens = log_probs(held_out.policy, held_out.prompter(held_out.spec), arm.goal, groups)
    under_base, _ = log_probs(held_out.base_model, held_out.plain_prompter, None, groups)
    divergence = (under_policy - under_base).sum() / max(1, tokens.sum())
    found = Validated(float(np.nanmean(scores)), float(divergence))
    write_json(path, asdict(found))
    return found
