"""prepare: graded feedback, levels, goal spec, relabelled rows and the batch plan, all before any training."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import OmegaConf

from gcsl_cli.configs.schema import Config
from gcsl_cli.data.records import GOAL_ROWS, PREFERENCE_PAIRS, FeedbackRows, write_columns
from gcsl_cli.goals.levels import Levels
from gcsl_cli.goals.relabel import Ints, reached_pairs
from gcsl_cli.goals.spec import GoalSpec, load_spec
from gcsl_cli.runs.files import whole_file, write_text
from gcsl_cli.stages.experiment import Experiment, plain
from gcsl_cli.stages.feedback import ensure_feedback
from gcsl_cli.stages.goal import check_asked, levels_of, make_goal, training_rows
from gcsl_cli.stages.method import AnyExamples, drawing, make_examples
from gcsl_cli.stages.optimisation import batching, plan_budget
from gcsl_cli.stages.trial import STEPS, measured_speed
from gcsl_cli.training.branches import shared_tokens
from gcsl_cli.training.examples import LabelledExamples, PairExamples
from gcsl_cli.training.plan import Budget, Floats, Plan, build_plan, load_plan

ROWS = "rows.parquet"
PLAN_FILE = "plan.parquet"
CONFIG = "config.yaml"
CHUNK = 65_536

log = logging.getLogger("gcsl")


@dataclass(frozen=True)
class Prepared:
    """What training needs: the rows of both splits, the goal and the plan."""

    train: FeedbackRows
    validation: FeedbackRows
    spec: GoalSpec
    examples: AnyExamples
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


def fill(experiment: Experiment, rows: FeedbackRows) -> Prepared:
    """Goal spec, relabelled rows and plan in the run folder, whose lock the caller holds; what is there is read."""
    path = experiment.training.path
    train, validation = training_rows(experiment.config, rows), rows.of_split("validation")
    if (path / PLAN_FILE).exists():
        spec = load_spec(path)
        check_asked(experiment, spec, rows)
        examples = make_examples(experiment, spec, train)
        return Prepared(train, validation, spec, examples, load_plan(path / PLAN_FILE))
    spec, levels = make_goal(experiment.config, rows, train)
    check_asked(experiment, spec, rows)
    examples = make_examples(experiment, spec, train)
    plan = make_plan(experiment, examples, spec, levels, _budget(experiment, examples, spec, levels))
    write_text(path / CONFIG, OmegaConf.to_yaml(OmegaConf.create(plain(experiment.config))))
    spec.save(path)
    if spec.has_goal:
        write_goal_rows(path / ROWS, levels.highest(train.scores, train.prompts), every=_pairs_are_written(spec))
    if isinstance(examples, PairExamples):
        pairs = examples.pairs
        write_columns(path / ROWS, PREFERENCE_PAIRS, {"chosen": pairs.chosen, "rejected": pairs.rejected})
    plan.save(path / PLAN_FILE)
    return Prepared(train, validation, spec, examples, plan)


def _budget(experiment: Experiment, examples: AnyExamples, spec: GoalSpec, levels: Levels) -> Budget:
    config = experiment.config.train
    if config.budget.seconds is None:
        return plan_budget(config, 0.0)
    trial = make_plan(experiment, examples, spec, levels, Budget(steps=STEPS))
    return plan_budget(config, measured_speed(experiment, examples, spec, trial))


def make_plan(experiment: Experiment, examples: AnyExamples, spec: GoalSpec, levels: Levels, budget: Budget) -> Plan:
    """The batch plan of the config's seed."""
    config = experiment.config.train
    highest, goals, rule = drawing(experiment.config, examples, spec, levels)
    prompts = examples.feedback.prompts if rule.rows_per_prompt > 1 else np.arange(len(highest))

    def measure(index: Ints, goals: Floats, sequence: Ints) -> tuple[Ints, Ints, Ints]:
        encoded = examples.encode(index, goals)
        counts = [(sum(len(row.input_ids) for row in rows), sum(row.supervised for row in rows)) for rows in encoded]
        tokens, supervised = np.array(counts, dtype=np.int64).T
        shares = experiment.config.shares_prompts
        shared = shared_tokens([rows[0] for rows in encoded], sequence) if shares else np.zeros_like(tokens)
        return tokens, supervised, shared

    return build_plan(
        highest,
        prompts,
        goals,
        measure,
        rule,
        budget,
        batching(config, experiment.context),
        experiment.config.seed,
    )


def write_goal_rows(path: Path, highest: Ints, *, every: bool) -> None:
    """The (row, level) pairs: every level that is reached or only the highest; in chunks, so that memory does not grow.

    A level is an index into the goal spec's levels; for raw scores, into the distinct training scores.
    """
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, GOAL_ROWS) as writer:
        for start in range(0, len(highest), CHUNK):
            part = highest[start : start + CHUNK]
            rows, reached = reached_pairs(part) if every else (np.arange(len(part)), part)
            writer.write_table(pa.table({"row": rows + start, "level": reached}).cast(GOAL_ROWS))


def _pairs_are_written(spec: GoalSpec) -> bool:
    # Every distinct score below a raw one is a threshold that it reaches: far too many to write down.
    return spec.formulation == "threshold" and bool(spec.levels)


def describe(prepared: Prepared) -> list[list[str]]:
    """Label and value pairs for people: rows, levels with how many rows reach each, the plan's size."""
    plan, spec = prepared.plan, prepared.spec
    return [
        ["training rows", f"{len(prepared.train)} (mean {spec.scale.grade(float(prepared.train.scores.mean())):.3f})"],
        ["validation rows", str(len(prepared.validation))],
        *_method_lines(prepared),
        *([["without a goal", f"{int(np.isnan(plan.goal).sum())} planned"]] if spec.dropout else []),
        ["plan", f"{plan.steps} steps, {len(plan.row)} rows, {int(plan.tokens.sum())} tokens"],
    ]


def _method_lines(prepared: Prepared) -> Iterator[list[str]]:
    """What the method makes of the rows."""
    examples, scores = prepared.examples, prepared.train.scores
    if isinstance(examples, PairExamples):
        differences = scores[examples.pairs.chosen] - scores[examples.pairs.rejected]
        prompts = len(np.unique(prepared.train.prompts[examples.pairs.chosen]))
        yield ["pairs", f"{len(examples)} of {prompts} prompts (mean difference {differences.mean():.3f})"]
    elif isinstance(examples, LabelledExamples):
        count, cut = int(examples.labels.sum()), float(scores[examples.labels].min())
        grade = prepared.spec.scale.grade(cut)
        yield ["labels", f"{count} desirable rows (from {grade:.3g} on), {len(examples) - count} others"]
    else:
        yield from _level_lines(prepared)


def _level_lines(prepared: Prepared) -> Iterator[list[str]]:
    spec, train = prepared.spec, prepared.train
    if not spec.has_goal:
        yield ["goal", "none: plain fine-tuning"]
        return
    if not spec.levels:
        low, high = sorted(spec.scale.grade(end) for end in spec.training_range)
        yield ["goals", f"the scores themselves, {low:g} to {high:g}, such as: {spec.text(spec.best)}"]
        return
    highest = levels_of(spec).highest(train.scores, train.prompts)
    for index, (level, label, text) in enumerate(zip(spec.levels, spec.labels, spec.texts, strict=True)):
        reach = int((highest >= index).sum())
        planned = int((prepared.plan.goal == level).sum())
        meaning = f" ({spec.words[index]})" if spec.words else ""
        yield [f"level {label}", f"{reach} rows reach it, {planned} planned: {text}{meaning}"]
