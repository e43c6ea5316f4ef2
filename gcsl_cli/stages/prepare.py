"""prepare: graded feedback, levels, goal spec, relabelled rows and the batch plan, all before any training."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import OmegaConf

from gcsl_cli.files import whole_file, write_text
from gcsl_cli.goals.levels import make_levels
from gcsl_cli.goals.spec import GoalSpec, load_spec, pick_sentences
from gcsl_cli.records import GOAL_ROWS, FeedbackRow, Prompt
from gcsl_cli.relabel import Floats, highest_reached, reached_pairs
from gcsl_cli.schema import Config
from gcsl_cli.stages.experiment import Experiment, plain
from gcsl_cli.stages.feedback import ensure_feedback
from gcsl_cli.training.plan import Plan, build_plan, load_plan

ROWS = "rows.parquet"
PLAN_FILE = "plan.parquet"
CONFIG = "config.yaml"
CHUNK = 65_536

log = logging.getLogger("gcsl")


@dataclass(frozen=True)
class Prepared:
    """What training needs: the rows of both splits, the goal and the plan."""

    train: list[FeedbackRow]
    validation: list[FeedbackRow]
    spec: GoalSpec
    plan: Plan


def run(config: Config) -> dict[str, Any]:
    """The stage: make what is missing, or show what would be made."""
    experiment = Experiment(config)
    folder = experiment.training
    rows = ensure_feedback(experiment, config.force)
    with folder.working(config.force) as todo:
        done = not todo or (folder.path / PLAN_FILE).exists()
        prepared = fill(experiment, rows)
    return {
        "stage": "prepare",
        "status": "already done" if done else "done",
        "run": str(folder.path),
        "summary": describe(prepared),
        "columns": {"rows": len(prepared.train), "steps": prepared.plan.steps},
    }


def fill(experiment: Experiment, rows: Sequence[FeedbackRow]) -> Prepared:
    """Goal spec, relabelled rows and plan in the run folder, whose lock the caller holds; what is there is read."""
    path = experiment.training.path
    train = [row for row in rows if row.split == "train"]
    validation = [row for row in rows if row.split == "validation"]
    if (path / PLAN_FILE).exists():
        spec = load_spec(path)
        check_asked(experiment, spec)
        return Prepared(train, validation, spec, load_plan(path / PLAN_FILE))
    spec = make_spec(experiment.config, train)
    check_asked(experiment, spec)
    plan = make_plan(experiment, train, spec)
    write_text(path / CONFIG, OmegaConf.to_yaml(OmegaConf.create(plain(experiment.config))))
    spec.save(path)
    write_goal_rows(path / ROWS, scores_of(train), np.array(spec.levels))
    plan.save(path / PLAN_FILE)
    return Prepared(train, validation, spec, plan)


def make_spec(config: Config, train: Sequence[FeedbackRow]) -> GoalSpec:
    """Levels from the training scores, a sentence for each, and everything else that the goal needs."""
    goal, task = config.goal, config.task
    scores = scores_of(train)
    levels = make_levels(scores, goal.levels.by, goal.levels.quantiles, goal.levels.values)
    spec = GoalSpec(
        task=task.name,
        formulation=str(goal.formulation),
        wording=str(goal.wording),
        levels=tuple(levels.tolist()),
        sentences=pick_sentences(goal.sentences or task.sentences, len(levels)),
        placement=str(goal.placement),
        separator=goal.separator,
        pairing=str(goal.pairing),
        balance=str(goal.balance),
        target=goal.target,
        direction=task.direction,
        prompt_format=task.format,
        instruction=task.instruction,
        training_range=(float(scores.min()), float(scores.max())),
    )
    spec.level()
    return spec


def check_asked(experiment: Experiment, spec: GoalSpec) -> None:
    """Whether what will be asked for can be asked, before hours are spent on training.

    Raises:
        ConfigError: generation or evaluation asks for a goal that the levels do not have.
        DataError: an evaluation prompt does not fit the model's context.
    """
    config = experiment.config
    levels = config.evaluation.levels
    for target in [config.generation.target, *(levels if isinstance(levels, list) else [])]:
        if target is not None:
            spec.level(target)
    prompter = experiment.prompter(spec)
    for prompt in evaluation_prompts(experiment):
        for level in range(len(spec.levels)):
            prompter.prompt_ids(prompt.text, level, config.generation.max_new_tokens)


def evaluation_prompts(experiment: Experiment) -> list[Prompt]:
    """The prompts of the test split, at most `generation.prompts` of them."""
    tests = [prompt for prompt in experiment.task.prompts() if prompt.split == "test"]
    return tests[: experiment.config.generation.prompts]


def make_plan(experiment: Experiment, train: Sequence[FeedbackRow], spec: GoalSpec) -> Plan:
    """The batch plan of the config's seed and budget."""
    config = experiment.config.train
    prompter = experiment.prompter(spec)

    def lengths(rows: Any, levels: Any) -> Any:
        chosen = [train[row] for row in rows]
        return prompter.lengths(
            [row.prompt for row in chosen],
            [row.completion for row in chosen],
            levels.tolist(),
            [row.finished for row in chosen],
            config.max_length,
        )

    return build_plan(
        highest_reached(scores_of(train), np.array(spec.levels)),
        lengths,
        pairing=spec.pairing,
        balance=spec.balance,
        batch_size=config.batch_size,
        micro_batch_size=config.micro_batch_size or config.batch_size,
        epochs=config.epochs,
        max_tokens=config.max_tokens,
        max_steps=config.max_steps,
        seed=experiment.config.seed,
    )


def write_goal_rows(path: Path, scores: Floats, levels: Floats) -> None:
    """Every (row, level) pair that is reached, written in chunks so that memory does not grow with the rows."""
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, GOAL_ROWS) as writer:
        for start in range(0, len(scores), CHUNK):
            rows, reached = reached_pairs(highest_reached(scores[start : start + CHUNK], levels))
            writer.write_table(pa.table({"row": rows + start, "level": reached}).cast(GOAL_ROWS))


def scores_of(rows: Sequence[FeedbackRow]) -> Floats:
    """The scores, `(rows,)`."""
    return np.array([row.score for row in rows], dtype=np.float64)


def describe(prepared: Prepared) -> list[list[str]]:
    """Label and value pairs for people: rows, levels with how many rows reach each, the plan's size."""
    scores = scores_of(prepared.train)
    plan = prepared.plan
    return [
        ["training rows", f"{len(prepared.train)} (mean score {scores.mean():.3f})"],
        ["validation rows", str(len(prepared.validation))],
        *_level_lines(prepared, scores),
        ["plan", f"{plan.steps} steps, {len(plan.row)} rows, {int(plan.tokens.sum())} tokens"],
    ]


def _level_lines(prepared: Prepared, scores: Floats) -> Iterator[list[str]]:
    drawn = np.bincount(prepared.plan.level, minlength=len(prepared.spec.levels))
    for index, (level, sentence) in enumerate(zip(prepared.spec.levels, prepared.spec.sentences, strict=True)):
        reach = int((scores >= level).sum())
        yield [f"level {round(level, 6):.3g}", f"{reach} rows reach it, {drawn[index]} planned: {sentence}"]
