"""generate: sample completions of the evaluation prompts under a goal, in resumable shards, saved as Parquet."""

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gcsl_cli.configs.schema import Config
from gcsl_cli.data.records import Generation, read_generations, write_generations
from gcsl_cli.generation.sampling import Sampling
from gcsl_cli.runs.folders import Folder, identity
from gcsl_cli.stages.arms import Arm, configured_arm
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import check_evaluated, evaluation_prompts, sample_completions
from gcsl_cli.stages.train import ensure_trained
from gcsl_cli.stages.trainer import control_ids

if TYPE_CHECKING:
    pass

FILE = "generations.parquet"
NAMED = ("target", "guidance", "against", "split", "prompts")
"""Settings that are part of an arm instead."""

log = logging.getLogger("gcsl")


def run(config: Config) -> dict[str, Any]:
    """Run the stage: completions of the trained model under the configured goal."""
    experiment = Experiment(config)
    check_evaluated(experiment)
    ensure_trained(experiment)
    arm = configured_arm(experiment)
    folder = arm_folder(experiment, arm)
    done = not config.force and folder.done()
    rows = ensure_generations(experiment, arm, config.force)
    message = f"These completions are finished: {folder.path} (force=true samples them again)."
    return {
        "stage": "generate",
        "status": "already done" if done else "done",
        "run": str(folder.path),
        **({"message": message} if done else {}),
        "summary": [
            ["goal", "none" if arm.goal is None else experiment.spec.meaning(arm.goal)],
            ["guidance", f"{arm.guidance:g}"],
            ["completions", str(len(rows))],
            ["tokens", str(sum(row.tokens for row in rows))],
            ["file", str(folder.path / FILE)],
        ],
        "columns": {"completions": len(rows)},
    }


def arm_folder(experiment: Experiment, arm: Arm) -> Folder:
    """Folder of an arm's completions: below the run, or below the base model, where all runs share them."""
    owner = experiment.training if arm.trained else experiment.base
    spec = experiment.spec

    def words(goal: float | None) -> list[str] | None:
        return None if goal is None else [spec.text(goal), spec.placement, spec.separator]

    generation = experiment.config.generation
    keys = {
        "asked": words(arm.goal),
        "against": words(arm.against) if arm.guidance else None,
        "guidance": arm.guidance,
        "prompts": [prompt.prompt_id for prompt in evaluation_prompts(experiment)],
        **{key: value for key, value in asdict(generation).items() if key not in NAMED},
    }
    name = f"{arm.name}-{identity('generation', keys, owner.identity)[:8]}"
    return Folder(owner.path / "generations" / name, "generation", keys, owner.identity)


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
    config = experiment.config.generation
    prompts = evaluation_prompts(experiment)
    texts = [prompt.text for prompt in prompts]
    prompter = experiment.prompter(experiment.spec)
    sampling = Sampling(
        config.samples,
        config.max_new_tokens,
        config.temperature,
        config.top_p,
        arm.guidance,
        config.batch_size,
        tuple(control_ids(experiment, experiment.spec)) if arm.trained else (),
    )
    return sample_completions(
        experiment,
        f"generating: {arm.label}",
        lambda: experiment.policy if arm.trained else experiment.base_model,
        prompter,
        prompts,
        prompter.all_prompt_ids(texts, arm.goal, config.max_new_tokens),
        prompter.all_prompt_ids(texts, arm.against, config.max_new_tokens) if arm.guidance else None,
        sampling,
        folder.path / "shards",
        shard_prompts=config.shard_prompts,
        seed=config.seed,
    )
