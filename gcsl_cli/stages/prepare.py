"""prepare: graded feedback, levels, goal spec, relabelled rows and the batch plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from gcsl_cli.configs.saved import FILE_NAME as CONFIG
from gcsl_cli.configs.schema import Config
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.goals.levels import Levels
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.goals.spec_file import load_spec, save_spec
from gcsl_cli.runs import ranks
from gcsl_cli.runs.files import write_text
from gcsl_cli.stages.experiment import Experiment, plain
from gcsl_cli.stages.feedback import ensure_feedback, evaluation_prompts
from gcsl_cli.stages.fitting import fitted
from gcsl_cli.stages.planning.goal import check_targets, make_goal, training_rows
from gcsl_cli.stages.planning.plan import make_examples, make_plan, plan_budget
from gcsl_cli.stages.rounds.chain import current, later_rounds, rounds_of
from gcsl_cli.stages.trainer import TRIAL_STEPS, check_setup, measured_speed
from gcsl_cli.training.examples import Examples
from gcsl_cli.training.plan import Budget, Plan, load_plan

ROWS = "rows.parquet"
PLAN_FILE = "plan.parquet"
TRIAL = "trial"


@dataclass(frozen=True)
class Prepared:
    """Inputs of training: the rows of both splits, the goal, the examples and their plan."""

    train: FeedbackRows
    validation: FeedbackRows
    spec: GoalSpec
    examples: Examples
    plan: Plan
    notes: Sequence[str] = ()
    """What was done to rows that do not fit the model."""


def run(config: Config) -> dict[str, Any]:
    """Run the stage; existing results are reused."""
    experiment = next(rounds_of(config))
    folder = experiment.training
    check_setup(experiment)
    experiment.make_named_folder()
    rows = ensure_feedback(experiment, config.force)
    with folder.working(config.force) as todo:
        done = not todo or (folder.path / PLAN_FILE).exists()
        prepared = fill(experiment, rows)
    return {
        "stage": "prepare",
        "status": "already done" if done else "done",
        "run": str(folder.path),
        "summary": [*describe(experiment, prepared), *later_rounds(config)],
        "columns": {"rows": len(prepared.train), "steps": prepared.plan.steps},
    }


def fill(experiment: Experiment, rows: FeedbackRows) -> Prepared:
    """Write goal spec, relabelled rows and plan into the run folder, or read them; the caller holds its lock."""
    path, max_length = experiment.training.path, experiment.config.train.max_length
    train, validation = training_rows(experiment.config, rows), rows.of_split("validation")
    if (path / PLAN_FILE).exists():
        spec = load_spec(path)
        fit = fitted(experiment, spec, train, validation, max_length, evaluation_prompts(experiment))
        check_targets(experiment, spec)
        examples = make_examples(experiment, spec, fit.train)
        return Prepared(fit.train, fit.validation, spec, examples, load_plan(path / PLAN_FILE), fit.notes)
    spec, levels = make_goal(experiment.goal_config(rows), rows, train)
    fit = fitted(experiment, spec, train, validation, max_length, evaluation_prompts(experiment))
    check_targets(experiment, spec)
    examples = make_examples(experiment, spec, fit.train)
    plan = make_plan(experiment, examples, spec, levels, _budget(experiment, examples, spec, levels))
    write_text(path / CONFIG, OmegaConf.to_yaml(OmegaConf.create(plain(experiment.config))))
    save_spec(spec, path)
    experiment.method.write_rows(path / ROWS, examples, spec, levels)
    plan.save(path / PLAN_FILE)
    return Prepared(fit.train, fit.validation, spec, examples, plan, fit.notes)


def _budget(experiment: Experiment, examples: Examples, spec: GoalSpec, levels: Levels) -> Budget:
    config = experiment.config.train
    if config.budget.seconds is None:
        return plan_budget(config, 0.0)
    with ranks.together(TRIAL):
        return plan_budget(config, _trial_speed(experiment, examples, spec, levels))


def _trial_speed(experiment: Experiment, examples: Examples, spec: GoalSpec, levels: Levels) -> float:
    trial = make_plan(experiment, examples, spec, levels, Budget(steps=TRIAL_STEPS))
    return measured_speed(experiment, spec, examples, trial)


def take_part_in_trial(config: Config) -> None:
    """In the other processes: run the trial with the leader, which has made the feedback."""
    experiment = current(config)
    rows = ensure_feedback(experiment)
    train = training_rows(config, rows)
    spec, levels = make_goal(experiment.goal_config(rows), rows, train)
    fit = fitted(experiment, spec, train, rows.of_split("validation"), config.train.max_length)
    _trial_speed(experiment, make_examples(experiment, spec, fit.train), spec, levels)


def describe(experiment: Experiment, prepared: Prepared) -> list[list[str]]:
    """Label and value pairs for people: rows, what the method makes of them, and the size of the plan."""
    plan, spec = prepared.plan, prepared.spec
    return [
        ["training rows", f"{len(prepared.train)} (mean {spec.scale.grade(float(prepared.train.scores.mean())):.3f})"],
        ["validation rows", str(len(prepared.validation))],
        *[["fitted", note] for note in prepared.notes],
        *experiment.method.describe(prepared.examples, spec, plan),
        *([["without a goal", f"{int(np.isnan(plan.goal).sum())} planned"]] if spec.dropout else []),
        ["plan", f"{plan.steps} steps, {len(plan.row)} rows, {int(plan.tokens.sum())} tokens"],
    ]
