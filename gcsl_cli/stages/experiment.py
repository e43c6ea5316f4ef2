"""One config seen as an experiment: which folders its stages own, and its models, loaded when they are needed."""

from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcsl_cli.configs.choices import Selection
from gcsl_cli.configs.schema import Config
from gcsl_cli.data.artifacts import content
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.spec import FORMATS, PLAIN_PLACEMENTS, GoalSpec, load_spec, no_goal_spec
from gcsl_cli.models.loading import context_length, inference_dtype, load_model, load_tokenizer, model_folder
from gcsl_cli.models.prompting import Prompter
from gcsl_cli.runs.folders import Folder, identity
from gcsl_cli.tasks.base import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# What decides how training is run, but not what comes out of it.
HOW_NOT_WHAT = {"checkpoint_every", "keep_checkpoints", "log_every", "validate_every", "report_to"}


class Experiment:
    """The folders and models of one config."""

    def __init__(self, config: Config) -> None:
        """Checks what would otherwise show after the feedback is made.

        Raises:
            ConfigError: the task has an unknown prompt format, or an instruction without a place for the prompt.
        """
        self.config = config
        self.task = config.task
        _check_prompts(self.task)
        if not config.goalless:
            _check_placement(self.task, str(config.goal.placement))
        self.root = Path(config.runs_dir) / self.task.name
        self.rows: FeedbackRows | None = None
        """The feedback, once a stage has read or made it."""

    @cached_property
    def feedback(self) -> Folder:
        """Where graded feedback is kept; shared by all runs that use it."""
        keys = {"task": self.task.name, **self.task.feedback_keys(self.model_keys)}
        name = f"feedback-{self.task.feedback_name()}-{identity('feedback', keys)[:8]}"
        return Folder(self.root / name, "feedback", keys)

    @cached_property
    def training(self) -> Folder:
        """The run: goal spec, rows, plan, checkpoints, model; generations and evaluations stand in it."""
        config, parent = self.config, self.feedback.identity
        goal = plain(config.goal)
        goal.pop("target")
        goal["pairing"] = str(config.goal.paired)
        train = {key: value for key, value in plain(config.train).items() if key not in HOW_NOT_WHAT}
        keys = {
            "model": self.model_keys,
            "method": _method_keys(config),
            "goal": None if config.goalless else goal,
            "adapter": plain(config.adapter),
            "train": train,
            "prompt": self.prompt_keys,
            "seed": config.seed,
        }
        hash_ = identity("training", keys, parent)[:8]
        name = f"{_method_label(config)}-{config.model.name}-s{config.seed}-{hash_}"
        path = Path(config.run) if config.run else self.root / name
        return Folder(path, "training", keys, parent)

    @cached_property
    def base(self) -> Folder:
        """Where generations of the untouched base model are kept; shared by all runs that compare to it."""
        keys = {"task": self.task.name, "model": self.model_keys, "prompt": self.prompt_keys}
        hash_ = identity("base", keys)[:8]
        return Folder(self.root / f"base-{self.config.model.name}-{hash_}", "base", keys)

    @cached_property
    def model_keys(self) -> dict[str, Any]:
        """What names the pretrained model; a local one by its content, which may change under its path."""
        model = self.config.model
        return {"uri": content(model.uri), "sha256": model.sha256, "revision": model.revision}

    @property
    def prompt_keys(self) -> dict[str, Any]:
        """What decides how a prompt reads, apart from the goal."""
        task = self.task
        return {"version": task.version, "format": task.prompt_format(), "instruction": task.instruction}

    @cached_property
    def base_path(self) -> Path:
        """The folder of the pretrained model."""
        model = self.config.model
        return model_folder(model.uri, model.sha256, model.revision)

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The pretrained model's tokenizer; goals are put into prompts by the spec, not by its template."""
        return load_tokenizer(self.base_path)

    @cached_property
    def context(self) -> int | None:
        """Tokens that the model can take."""
        from transformers import AutoConfig

        return context_length(AutoConfig.from_pretrained(self.base_path, trust_remote_code=False))

    @cached_property
    def base_model(self) -> "PreTrainedModel":
        """The untouched model: it makes rollouts, is compared to, and measures perplexity."""
        return load_model(self.base_path, inference_dtype())

    @cached_property
    def policy(self) -> "PreTrainedModel":
        """The trained model."""
        return load_model(self.training.path / "model", inference_dtype())

    @cached_property
    def spec(self) -> GoalSpec:
        """The goal that training used, from `goal.json`."""
        return load_spec(self.training.path)

    def prompter(self, spec: GoalSpec) -> Prompter:
        """Renders and tokenizes prompts for the models of this experiment."""
        if spec.wording != "token":
            return Prompter(self.tokenizer, spec, self.context)
        from gcsl_cli.goals.control_tokens import add_tokens

        tokenizer = load_tokenizer(self.base_path)
        add_tokens(tokenizer, spec.texts)
        return Prompter(tokenizer, spec, self.context)

    @cached_property
    def plain_prompter(self) -> Prompter:
        """Renders and tokenizes prompts of the task without a goal."""
        return self.prompter(no_goal_spec(self.task.name, self.task.prompt_format(), self.task.instruction))


PREFERENCE_KEYS = {
    "dpo": ("pairs", "margin", "max_pairs", "beta"),
    "kto": ("threshold", "beta", "desirable_weight", "undesirable_weight"),
}


def _method_keys(config: Config) -> dict[str, Any]:
    """What the method depends on: of its settings those that it uses."""
    method, name = config.method, config.method_name
    if name == "sft":
        number = {Selection.top_fraction: method.top_fraction, Selection.min_score: method.min_score}
        return {"name": name, "select": str(method.select), "by": number.get(method.select)}
    return {"name": name, **{key: _plain(getattr(method, key)) for key in PREFERENCE_KEYS.get(name, ())}}


def _method_label(config: Config) -> str:
    """How the folder of a run begins."""
    if config.method_name == "gcsl":
        return f"{config.goal.formulation}-{config.goal.wording}"
    return f"sft-{config.method.select}" if config.method_name == "sft" else config.method_name


def _check_prompts(task: Task) -> None:
    prompt_format = task.prompt_format()
    if prompt_format not in FORMATS:
        raise ConfigError(f"task.format={prompt_format}: unknown; one of {', '.join(FORMATS)}.")
    if task.instruction.count("{prompt}") != 1:
        raise ConfigError(f"task.instruction={task.instruction!r}: needs the placeholder {{prompt}} exactly once.")


def _check_placement(task: Task, placement: str) -> None:
    if task.prompt_format() != "plain" or placement in PLAIN_PLACEMENTS:
        return
    why = {
        "system": "a plain text has no system turn; before_prompt stands first",
        "assistant_prefix": "a plain text has no assistant's turn; after_prompt stands at the same place",
        "role": "a plain text has no roles",
    }
    raise ConfigError(
        f"goal.placement={placement} with task.format=plain: {why.get(placement, 'unknown')}. Use one of "
        f"{', '.join(PLAIN_PLACEMENTS)}, or task.format=chat."
    )


def plain(config: Any) -> dict[str, Any]:
    """A config dataclass as plain values, enums as their text."""
    values: dict[str, Any] = _plain(asdict(config))
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.value if isinstance(value, Enum) else value
