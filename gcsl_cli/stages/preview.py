"""The dry run: everything but the work, so that a mistake shows before an hour is spent on it."""

import logging
from typing import TYPE_CHECKING, Any

from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.prompting import EncodedRow
from gcsl_cli.records import read_feedback
from gcsl_cli.schema import Config
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import FILE, no_goal
from gcsl_cli.stages.prepare import Prepared, check_asked, describe, make_plan, make_spec
from gcsl_cli.stages.train import count_rows, planned_batches

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Measured on 2 CPU cores with SmolLM2-135M; a GPU is far quicker, a larger model slower.
TOKENS_PER_SECOND = 200
BYTES_PER_PARAMETER = 16
"""float32 weights, gradients and the two moments of Adam."""

log = logging.getLogger("gcsl")


def run(config: Config, stage: str) -> dict[str, Any]:
    """What the stage would do: rows, levels, plan, an example, time and memory; nothing is written."""
    experiment = Experiment(config)
    prompts = experiment.task.prompts()
    tests = [prompt for prompt in prompts if prompt.split == "test"]
    for prompt in tests:
        experiment.prompter(no_goal(experiment)).prompt_ids(
            prompt.text, None, experiment.config.generation.max_new_tokens
        )
    summary = [
        ["run folder", f"{experiment.training.path}{' (done)' if experiment.training.done() else ''}"],
        ["prompts", f"{len(prompts)}, {len(tests)} of them for evaluation"],
        *_feedback_lines(experiment),
        *_sampling_lines(experiment, stage, len(tests)),
        ["memory", f"about {_parameters(experiment) * BYTES_PER_PARAMETER / 2**30:.1f} GiB for full fine-tuning"],
    ]
    return {"stage": stage, "status": "dry run", "run": str(experiment.training.path), "summary": summary}


def _sampling_lines(experiment: Experiment, stage: str, tests: int) -> list[list[str]]:
    if stage not in ("generate", "evaluate"):
        return []
    config = experiment.config.generation
    prompts = min(tests, config.prompts or tests)
    tokens = prompts * config.samples * config.max_new_tokens
    text = f"{prompts} prompts x {config.samples} samples x {config.max_new_tokens} tokens"
    return [["sampling, each arm", f"{text}, about {tokens / TOKENS_PER_SECOND / 60:.1f} min"]]


def _feedback_lines(experiment: Experiment) -> list[list[str]]:
    path = experiment.feedback.path / FILE
    if experiment.feedback.done() and path.exists():
        rows = read_feedback(path)
    elif experiment.task.rollouts_planned():
        count = experiment.task.rollouts_planned()
        return [["feedback", f"not made yet: {count} completions of the base model, then graded"]]
    else:
        rows = experiment.task.graded_rows(_no_rollouts)
    train = [row for row in rows if row.split == "train"]
    spec = make_spec(experiment.config, train)
    check_asked(experiment, spec)
    plan = make_plan(experiment, train, spec)
    prepared = Prepared(train, [row for row in rows if row.split == "validation"], spec, plan)
    batches = planned_batches(experiment, prepared, plan, train)
    counts = count_rows(batches)
    minutes = counts["tokens"] / TOKENS_PER_SECOND / 60
    return [
        *describe(prepared),
        ["supervised tokens", f"{counts['supervised_tokens']} of {counts['tokens']}"],
        ["rows cut at the length limit", str(counts["rows_cut"])],
        ["rows with another seam", str(counts["rows_seam"])],
        ["time", f"about {minutes:.0f} min of training at {TOKENS_PER_SECOND} tokens/s (2 CPU cores, 135M parameters)"],
        ["example", _example(experiment.tokenizer, spec, batches[0]["rows"][0])],
    ]


def _example(tokenizer: "PreTrainedTokenizerBase", spec: GoalSpec, row: EncodedRow) -> str:
    """The first planned row, goal, prompt and supervised part told apart."""
    prompt = tokenizer.decode(row.input_ids[: row.prompt_tokens])
    supervised = tokenizer.decode(row.input_ids[row.prompt_tokens :])
    goal = next((sentence for sentence in spec.sentences if sentence in prompt), "")
    marked = prompt.replace(goal, f"[goal: {goal}]", 1) if goal else prompt
    return f"{marked}[supervised: {supervised}]"


def _no_rollouts(*_: Any) -> Any:
    raise AssertionError("this task plans no rollouts")


def _parameters(experiment: Experiment) -> int:
    """Parameters of the model, counted without memory for them."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            AutoConfig.from_pretrained(experiment.base_path, trust_remote_code=False)
        )
    return sum(parameter.numel() for parameter in model.parameters())
