"""Completions of an arm: sampled in resumable shards, saved as Parquet, and their likelihood under a model."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcsl_cli.configs.schema import GenerationConfig
from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.data.records import Generation, Prompt, read_generations, write_generations
from gcsl_cli.generation.likelihood import completion_log_probs
from gcsl_cli.generation.sampling import Sampling
from gcsl_cli.models.prompting import Prompter
from gcsl_cli.runs.folders import Folder
from gcsl_cli.stages.evaluation.arms import Arm
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import evaluation_prompts
from gcsl_cli.stages.sampling import sample_completions
from gcsl_cli.stages.trainer import control_ids
from gcsl_cli.tasks.base import RolloutSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FILE = "generations.parquet"
log = logging.getLogger("gcsl")

NAMED = ("target", "guidance", "against", "split", "prompts", "backend", "vllm")
"""Settings that are part of an arm instead, or of `GenerationConfig.backend_keys`."""


def arm_folder(experiment: Experiment, arm: Arm) -> Folder:
    """Folder of an arm's completions: below the run, or below the base model, where all runs share them."""
    owner = experiment.training if arm.trained else experiment.base
    spec = experiment.spec

    def words(goal: float | None) -> list[str] | None:
        return None if goal is None else [spec.text(goal), spec.placement, spec.separator]

    generation = experiment.config.generation
    keys = {
        "asked": words(arm.goal),
        **_guided_by([words(contrast.goal) for contrast in arm.against], [contrast.weight for contrast in arm.against]),
        "prompts": [prompt.prompt_id for prompt in evaluation_prompts(experiment)],
        **{key: value for key, value in asdict(generation).items() if key not in NAMED},
        **generation.backend_keys,
    }
    return Folder.named(owner.path / "generations", arm.name, "generation", keys, owner.identity)


def _guided_by(others: Sequence[Any], weights: Sequence[float]) -> dict[str, Any]:
    """What guidance adds to the identity of completions: the other goal and its weight, or lists of several."""
    if len(others) > 1:
        return {"against": list(others), "guidance": list(weights)}
    return {"against": others[0] if others else None, "guidance": weights[0] if weights else 0.0}


def ensure_generations(experiment: Experiment, arm: Arm, force: bool = False) -> list[Generation]:
    """The arm's completions, prompts in order and samples of a prompt together; created on demand."""
    folder = arm_folder(experiment, arm)
    with folder.working(force) as todo:
        if todo or not (folder.path / FILE).exists():
            rows = _generate(experiment, arm, folder)
            write_generations(folder.path / FILE, rows)
            folder.finish(FILE, completions=len(rows), tokens=sum(row.tokens for row in rows))
        return read_generations(folder.verified(FILE))


def _generate(experiment: Experiment, arm: Arm, folder: Folder) -> list[Generation]:
    prompts, config = evaluation_prompts(experiment), experiment.config.generation
    if arm.trained and arm.goal is not None and (unseen := experiment.spec.unseen(arm.goal)) is not None:
        log.warning("%s", unseen)
    return sample_arm(experiment, arm, prompts, config, folder.path / "shards", seed=config.seed)


def sample_arm(
    experiment: Experiment,
    arm: Arm,
    prompts: Sequence[Prompt],
    config: GenerationConfig | RolloutSettings,
    folder: Path,
    *,
    seed: int,
    label: str = "generating",
) -> list[Generation]:
    """Sample completions of `prompts` from an arm, in shards below `folder`."""
    prompter = experiment.prompter(experiment.spec)
    sampling = Sampling(
        samples=config.samples,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        guidance=arm.guidance,
        batch_size=config.batch_size,
        suppress=tuple(control_ids(experiment, experiment.spec)) if arm.trained else (),
        shares=arm.shares or (1.0,),
    )
    against = [
        ids
        for contrast in arm.against
        for ids in prompter.all_prompt_ids(prompts, contrast.goal, config.max_new_tokens)
    ]
    return sample_completions(
        experiment,
        prompts,
        sampling,
        folder,
        label=f"{label}: {arm.label}",
        trained=arm.trained,
        ids=prompter.all_prompt_ids(prompts, arm.goal, config.max_new_tokens),
        against=against or None,
        ends=prompter.end,
        shard_prompts=config.shard_prompts,
        seed=seed,
    )


def log_probs(
    model: "PreTrainedModel", prompter: Prompter, goal: float | None, groups: Sequence[Sequence[Generation]]
) -> tuple[Floats, Ints]:
    """Summed log-probability (nats) and tokens of each prompt's completions, asked for a goal: both `(prompts,)`."""
    rows = [
        prompter.row(row.prompt, goal, row.completion, finished=False, max_length=None)
        for group in groups
        for row in group
    ]
    found, counts = completion_log_probs(model, [(row.prompt_ids, row.completion_ids) for row in rows])
    shape = (len(groups), -1)
    return found.reshape(shape).sum(axis=1), counts.reshape(shape).sum(axis=1)


def grouped(rows: Sequence[Generation], samples: int) -> list[Sequence[Generation]]:
    """The completions of each prompt, whose samples are adjacent."""
    return [rows[start : start + samples] for start in range(0, len(rows), samples)]
