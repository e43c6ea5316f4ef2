"""The dry run: load, tokenize, plan and estimate, but do no work, so that mistakes show before hours are spent."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gcsl_cli.configs.schema import Config
from gcsl_cli.data.records import FeedbackRows, read_feedback
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.models.prompting import EncodedRow
from gcsl_cli.stages.evaluation.held_out import check_cut
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import FILE, check_evaluated, check_splits, evaluation_prompts
from gcsl_cli.stages.fitting import fitted
from gcsl_cli.stages.planning.advice import advice, histogram
from gcsl_cli.stages.planning.goal import check_targets, make_goal, training_rows
from gcsl_cli.stages.planning.memory import assumed_batch, largest_batch, memory_lines
from gcsl_cli.stages.planning.plan import (
    budget_text,
    count_rows,
    goal_source,
    make_examples,
    make_plan,
    plan_budget,
    planned_share,
    savings_text,
)
from gcsl_cli.stages.prepare import Prepared, describe
from gcsl_cli.stages.rounds.chain import later_rounds, rounds_of
from gcsl_cli.stages.samplers import check_backend
from gcsl_cli.stages.trainer import check_setup
from gcsl_cli.training.drawing import passed_pairs
from gcsl_cli.training.plan import Budget, Plan

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Measured on 2 CPU cores with SmolLM2-135M; a GPU is far quicker, a larger model slower.
TOKENS_PER_SECOND = 200
SEARCHED = 100
"""Planned rows among which an example that is pushed down is looked for."""
EXAMPLES = 3
COUNTED_STEPS = 200
"""Planned steps that are tokenized; the rest of the plan is extrapolated from them."""

log = logging.getLogger("gcsl")


def run(config: Config, stage: str) -> dict[str, Any]:
    """Describe what the stage would do: rows, levels, plan, examples, time and memory. Nothing is written."""
    experiment = next(rounds_of(config))
    check_setup(experiment)
    rows = experiment.rows = _feedback(experiment)
    if config.in_rounds or not len(rows):  # the base model or the policy is sampled
        check_backend(config)
    if stage == "generate" or (stage == "evaluate" and config.evaluation.generations):
        check_evaluated(experiment)
    if stage == "evaluate" and len(rows):
        check_cut(experiment)
    tests = evaluation_prompts(experiment)
    if not len(rows):  # otherwise prompts are checked with their goals
        experiment.plain_prompter.all_prompt_ids(tests, None, config.generation.max_new_tokens)
    summary = [
        ["run folder", f"{experiment.training.path}{' (done)' if experiment.training.done() else ''}"],
        *experiment.task.overview(),
        *(_training_lines(experiment, rows) if len(rows) else _rollout_lines(experiment)),
        *_sampling_lines(experiment, stage, len(tests)),
        *later_rounds(config),
    ]
    return {"stage": stage, "status": "dry run", "run": str(experiment.training.path), "summary": summary}


def _feedback(experiment: Experiment) -> FeedbackRows:
    """The graded rows, read, or made if that needs no model; empty if the policy has to be sampled first."""
    path = experiment.feedback.path / FILE
    if experiment.feedback.done() and path.exists():
        return read_feedback(experiment.feedback.verified(FILE))
    if experiment.task.rollouts_planned():
        return FeedbackRows.of([])
    rows = experiment.task.graded_rows(_no_rollouts, None)
    check_splits(rows, experiment.task)
    return rows


def _rollout_lines(experiment: Experiment) -> list[list[str]]:
    count = experiment.task.rollouts_planned()
    return [
        ["feedback", f"not made yet: {count} completions of the base model, then graded"],
        *memory_lines(experiment, assumed_batch(experiment)),
    ]


def _sampling_lines(experiment: Experiment, stage: str, prompts: int) -> list[list[str]]:
    if stage not in ("generate", "evaluate") or not experiment.config.evaluation.generations:
        return []
    config = experiment.config.generation
    tokens = prompts * config.samples * config.max_new_tokens
    text = f"{prompts} prompts x {config.samples} samples x {config.max_new_tokens} tokens"
    return [["sampling, each arm", f"{text}, about {_duration(tokens)}"]]


def _duration(tokens: int) -> str:
    seconds = tokens / TOKENS_PER_SECOND
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _training_lines(experiment: Experiment, rows: FeedbackRows) -> list[list[str]]:
    config = experiment.config
    train = training_rows(config, rows)
    spec, levels = make_goal(config, rows, train)
    validation, asked = rows.of_split("validation"), evaluation_prompts(experiment)
    fit = fitted(experiment, spec, train, validation, config.train.max_length, asked)
    check_targets(experiment, spec)
    train = fit.train
    examples = make_examples(experiment, spec, train)
    budget = plan_budget(config.train, TOKENS_PER_SECOND)
    plan = make_plan(experiment, examples, spec, levels, replace(budget, steps=min(budget.steps, COUNTED_STEPS)))
    prepared = Prepared(train, fit.validation, spec, examples, plan, fit.notes)
    share = planned_share(experiment)
    counts = count_rows(examples, plan, share)
    pairs = goal_source(experiment, examples, spec, levels).pairs
    steps, tokens = _whole_plan(budget, pairs, config.train.batch_size, plan, counts)
    counted = f" (in the first {plan.steps} steps)" if steps > plan.steps else ""
    duration = _duration(round(tokens * experiment.method.relative_cost))
    return [
        ["scores", histogram([spec.scale.grade(score) for score in train.scores])],
        *describe(experiment, prepared),
        *([["whole plan", f"about {steps} steps, {tokens} tokens; above, its beginning"]] if counted else []),
        ["budget", budget_text(config.train)],
        ["supervised tokens", f"{counts['supervised_tokens']} of {counts['tokens']}{counted}"],
        *([["shared prompts", savings_text(counts)]] if "tokens_written_out" in counts else []),
        ["rows cut at the length limit", f"{counts['rows_cut']}{counted}"],
        ["rows with a retokenized boundary", f"{counts['rows_seam']}{counted}"],
        [
            "time",
            f"about {duration} of training at {TOKENS_PER_SECOND} tokens/s (2 CPU cores, 135M parameters)",
        ],
        *memory_lines(experiment, largest_batch(examples, plan, share)),
        *[["example", text] for text in _examples(experiment, prepared)],
        *[["advice", line] for line in advice(train, spec, levels, plan)],
    ]


def _whole_plan(
    budget: Budget, pairs: int, batch_size: int, beginning: Plan, counts: Mapping[str, int]
) -> tuple[int, int]:
    """Steps and tokens of the whole plan, extrapolated from its beginning if that is not all of it."""
    known, tokens = beginning.steps, int(beginning.tokens.sum())
    limits = (
        budget.steps,
        passed_pairs(pairs, budget.epochs) // batch_size,
        budget.tokens * known / tokens,
        budget.supervised_tokens * known / counts["supervised_tokens"],
    )
    steps = max(known, math.ceil(min(limits)))
    return (known, tokens) if known < COUNTED_STEPS else (steps, tokens * steps // known)


def _examples(experiment: Experiment, prepared: Prepared) -> list[str]:
    """A few planned examples, with goal and completions marked: under different goals, and one that is pushed down."""
    plan, examples, spec = prepared.plan, prepared.examples, prepared.spec
    tokenizer = examples.prompter.tokenizer
    places = np.arange(len(plan.row))
    if experiment.method.uses_goals:
        places = np.sort(np.unique(plan.goal, return_index=True)[1])
    chosen = places[np.unique(np.linspace(0, len(places) - 1, EXAMPLES).astype(int))]
    index, goals = plan.row[chosen], plan.goal[chosen]
    units = examples.encode(index, goals, np.full(len(goals), np.nan))
    shown = [
        marked(tokenizer, spec, goal, rows, examples.roles(number))
        for number, goal, rows in zip(index.tolist(), goals.tolist(), units, strict=True)
    ]
    first = slice(SEARCHED)
    units = examples.encode(plan.row[first], plan.goal[first], plan.missed[first])
    pushed = [(place, row) for place, rows in enumerate(units) for row in rows if row.negative]
    for place, row in pushed[:1]:
        shown.append(marked(tokenizer, spec, float(plan.missed[place]), [row], [""]))
    return shown


def marked(
    tokenizer: "PreTrainedTokenizerBase",
    spec: GoalSpec,
    goal: float,
    rows: Sequence[EncodedRow],
    roles: Sequence[str],
) -> str:
    """Prompt and completions as text, with the goal and what is trained in brackets.

    A goal of NaN is none; a row that is made less likely is `pushed down`.
    """
    prompt = tokenizer.decode(rows[0].prompt_ids)
    text = "" if math.isnan(goal) else spec.text(goal)
    marked = prompt.replace(text, f"[goal: {text}]") if text else prompt
    for row, role in zip(rows, roles, strict=True):
        marked += f"[{'pushed down' if row.negative else role}: {tokenizer.decode(row.completion_ids)}]"
    return marked


def _no_rollouts(*_: Any) -> Any:
    raise AssertionError("this task plans no rollouts")
