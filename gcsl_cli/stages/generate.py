"""generate: sample completions of the evaluation prompts under a goal, in resumable shards, saved as Parquet."""

from typing import Any

from gcsl_cli.configs.schema import Config
from gcsl_cli.stages.evaluation.arms import configured_arm
from gcsl_cli.stages.evaluation.completions import FILE, arm_folder, ensure_generations
from gcsl_cli.stages.feedback import check_evaluated
from gcsl_cli.stages.rounds.chain import Rounds
from gcsl_cli.stages.train import ensure_trained


def run(config: Config) -> dict[str, Any]:
    """Run the stage: completions of the trained model under the configured goal."""
    rounds = Rounds(config)
    for experiment in rounds:
        check_evaluated(experiment)
        ensure_trained(experiment)
    experiment = rounds.chosen
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
            ["guidance", ", ".join(f"{one.part} {one.weight:g}".strip() for one in arm.against) or "0"],
            ["completions", str(len(rows))],
            ["tokens", str(sum(row.tokens for row in rows))],
            ["file", str(folder.path / FILE)],
        ],
        "columns": {"completions": len(rows)},
    }
