"""The dry run: everything but the work, so that a mistake shows before an hour is spent on it."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gcsl_cli.configs.schema import Config
from gcsl_cli.data.records import FeedbackRows, read_feedback
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.models.loading import train_in_bf16
from gcsl_cli.models.prompting import EncodedRow
from gcsl_cli.stages.advice import advice, histogram
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import FILE, check_splits
from gcsl_cli.stages.goal import check_asked, make_goal, training_rows
from gcsl_cli.stages.method import AnyExamples, drawing, make_examples
from gcsl_cli.stages.optimisation import plan_budget, told_budget
from gcsl_cli.stages.policy import base_dtype
from gcsl_cli.stages.prepare import Prepared, describe, make_plan
from gcsl_cli.stages.sharing import planned_share, told_saving
from gcsl_cli.stages.train import count_rows
from gcsl_cli.training.drawing import passed_pairs, planned_pairs
from gcsl_cli.training.examples import GoalExamples, LabelledExamples
from gcsl_cli.training.plan import Budget, Plan

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Measured on 2 CPU cores with SmolLM2-135M; a GPU is far quicker, a larger model slower.
TOKENS_PER_SECOND = 200
PASSES = {"dpo": 4 / 3, "kto": 2.0}
"""Work of a token beside that of supervised training (a pass forward, two back): passes through the reference model,
and for KTO's divergence through both.
"""
TRAINED_BYTES = 16
"""Of a parameter that is trained: float32 weight, gradient and the two moments of Adam."""
EXAMPLES = 3
COUNTED_STEPS = 200
"""Planned steps that are tokenized; what more there are is estimated from them."""

log = logging.getLogger("gcsl")


def run(config: Config, stage: str) -> dict[str, Any]:
    """What the stage would do: rows, levels, plan, examples, time and memory; nothing is written."""
    experiment = Experiment(config)
    rows = _feedback(experiment)
    experiment.rows = rows
    tests = experiment.task.evaluation_prompts(rows)[: config.generation.prompts]
    experiment.plain_prompter.all_prompt_ids([prompt.text for prompt in tests], None, config.generation.max_new_tokens)
    summary = [
        ["run folder", f"{experiment.training.path}{' (done)' if experiment.training.done() else ''}"],
        *experiment.task.overview(),
        *(_training_lines(experiment, rows) if len(rows) else _rollout_lines(experiment)),
        *_sampling_lines(experiment, stage, len(tests)),
        ["memory", _memory(experiment)],
    ]
    return {"stage": stage, "status": "dry run", "run": str(experiment.training.path), "summary": summary}


def _feedback(experiment: Experiment) -> FeedbackRows:
    """The graded rows, read or made where that needs no model; empty where the policy has to be sampled first."""
    path = experiment.feedback.path / FILE
    if experiment.feedback.done() and path.exists():
        return read_feedback(path)
    if experiment.task.rollouts_planned():
        return FeedbackRows.of([])
    rows = experiment.task.graded_rows(_no_rollouts, None)
    check_splits(rows)
    return rows


def _rollout_lines(experiment: Experiment) -> list[list[str]]:
    count = experiment.task.rollouts_planned()
    return [["feedback", f"not made yet: {count} completions of the base model, then graded"]]


def _sampling_lines(experiment: Experiment, stage: str, prompts: int) -> list[list[str]]:
    if stage not in ("generate", "evaluate") or not experiment.config.evaluation.generations:
        return []
    config = experiment.config.generation
    tokens = prompts * config.samples * config.max_new_tokens
    text = f"{prompts} prompts x {config.samples} samples x {config.max_new_tokens} tokens"
    return [["sampling, each arm", f"{text}, about {_duration(tokens)}"]]


def _duration(tokens: int) -> str:
    minutes = tokens / TOKENS_PER_SECOND / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def _training_lines(experiment: Experiment, rows: FeedbackRows) -> list[list[str]]:
    train = training_rows(experiment.config, rows)
    spec, levels = make_goal(experiment.config, rows, train)
    check_asked(experiment, spec, rows)
    examples = make_examples(experiment, spec, train)
    whole = plan_budget(experiment.config.train, TOKENS_PER_SECOND)
    plan = make_plan(experiment, examples, spec, levels, replace(whole, steps=min(whole.steps, COUNTED_STEPS)))
    prepared = Prepared(train, rows.of_split("validation"), spec, examples, plan)
    counts = count_rows(experiment, examples, plan, planned_share(experiment))
    highest, _, rule = drawing(experiment.config, examples, spec, levels)
    steps, tokens = _whole(whole, planned_pairs(highest, rule), experiment.config.train.batch_size, plan, counts)
    counted = f" (of the first {plan.steps} steps)" if steps > plan.steps else ""
    passes = PASSES.get(experiment.config.method_name, 1.0)
    return [
        ["scores", histogram([spec.scale.grade(score) for score in train.scores])],
        *describe(prepared),
        *([["whole plan", f"about {steps} steps, {tokens} tokens; above, its beginning"]] if counted else []),
        ["budget", told_budget(experiment.config.train)],
        ["supervised tokens", f"{counts['supervised_tokens']} of {counts['tokens']}{counted}"],
        *([["shared prompts", told_saving(counts)]] if "tokens_written_out" in counts else []),
        ["rows cut at the length limit", f"{counts['rows_cut']}{counted}"],
        ["rows with another seam", f"{counts['rows_seam']}{counted}"],
        [
            "time",
            f"about {_duration(round(tokens * passes))} of training at {TOKENS_PER_SECOND} tokens/s "
            "(2 CPU cores, 135M parameters)",
        ],
        *[["example", text] for text in _examples(prepared)],
        *[["advice", line] for line in advice(train, spec, levels, plan)],
    ]


def _whole(budget: Budget, pairs: int, batch_size: int, beginning: Plan, counts: Mapping[str, int]) -> tuple[int, int]:
    """Steps and tokens of the whole plan, estimated from its beginning where that is not all of it."""
    known, tokens = beginning.steps, int(beginning.tokens.sum())
    limits = (
        budget.steps,
        passed_pairs(pairs, budget.epochs) // batch_size,
        budget.tokens * known / tokens,
        budget.supervised_tokens * known / counts["supervised_tokens"],
    )
    steps = max(known, math.ceil(min(limits)))
    return (known, tokens) if known < COUNTED_STEPS else (steps, tokens * steps // known)


def _examples(prepared: Prepared) -> list[str]:
    """Planned examples, under different goals where there are, with goal, prompt and what is learned told apart."""
    plan, spec, examples = prepared.plan, prepared.spec, prepared.examples
    places = np.arange(len(plan.row))
    if isinstance(examples, GoalExamples):
        places = np.sort(np.unique(plan.goal, return_index=True)[1])
    chosen = places[np.unique(np.linspace(0, len(places) - 1, EXAMPLES).astype(int))]
    index, goals = plan.row[chosen], plan.goal[chosen]
    return [
        _marked(examples.prompter.tokenizer, spec, None if np.isnan(goal) else goal, rows, _words(examples, number))
        for number, goal, rows in zip(index.tolist(), goals.tolist(), examples.encode(index, goals), strict=True)
    ]


def _words(examples: AnyExamples, index: int) -> Sequence[str]:
    """What the completions of an example are to the method."""
    if isinstance(examples, GoalExamples):
        return ("supervised",)
    if isinstance(examples, LabelledExamples):
        return ("desirable" if examples.labels[index] else "undesirable",)
    return ("chosen", "rejected")


def _marked(
    tokenizer: "PreTrainedTokenizerBase",
    spec: GoalSpec,
    goal: float | None,
    rows: Sequence[EncodedRow],
    words: Sequence[str],
) -> str:
    prompt = tokenizer.decode(rows[0].input_ids[: rows[0].prompt_tokens])
    text = "" if goal is None else spec.text(goal)
    marked = prompt.replace(text, f"[goal: {text}]") if text else prompt
    learned = [tokenizer.decode(row.input_ids[row.prompt_tokens :]) for row in rows]
    return marked + "".join(f"[{word}: {completion}]" for word, completion in zip(words, learned, strict=True))


def _no_rollouts(*_: Any) -> Any:
    raise AssertionError("this task plans no rollouts")


def _memory(experiment: Experiment) -> str:
    """Of what training keeps from step to step."""
    import torch

    if experiment.config.adapter.name == "none":
        size, kept = TRAINED_BYTES, "weights, gradients and moments"
    else:
        frozen = base_dtype(frozen=True, bf16=train_in_bf16(str(experiment.config.train.precision)))
        size, kept = (frozen or torch.float32).itemsize, "frozen weights"
    return f"about {_parameters(experiment) * size / 2**30:.1f} GiB of {kept}, and the activations of a batch"


def _parameters(experiment: Experiment) -> int:
    """Parameters of the model, counted without memory for them."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            AutoConfig.from_pretrained(experiment.base_path, trust_remote_code=False)
        )
    return sum(parameter.numel() for parameter in model.parameters())
