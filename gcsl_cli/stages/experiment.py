"""An experiment: the folders of one config, and its models, loaded on demand."""

from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcsl_cli.configs.choices import TooLong
from gcsl_cli.configs.schema import Config
from gcsl_cli.data.artifacts import content
from gcsl_cli.data.records import FeedbackRows, Prompt
from gcsl_cli.errors import ConfigError
from gcsl_cli.generation.backends.vllm_process import Engines
from gcsl_cli.goals.control_tokens import add_tokens
from gcsl_cli.goals.spec import FORMATS, PLAIN_PLACEMENTS, GoalSpec, no_goal_spec
from gcsl_cli.goals.spec_file import load_spec
from gcsl_cli.goals.wording import check_template
from gcsl_cli.methods.base import Method
from gcsl_cli.models.loading import (
    inference_dtype,
    load_config,
    load_for_sampling,
    load_model,
    load_tokenizer,
    model_folder,
    saved_context_length,
)
from gcsl_cli.models.prompting import Prompter
from gcsl_cli.runs.files import make_folder
from gcsl_cli.runs.folders import Folder
from gcsl_cli.tasks.base import Rollouts, Task

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# Settings of how training runs that do not change its result.
HOW_NOT_WHAT = {
    "attention",
    "gradient_checkpointing",
    "liger",
    "checkpoint_every",
    "keep_checkpoints",
    "log_every",
    "validate_every",
    "report_to",
}


class Experiment:
    """The folders and models of one config.

    Identities nest: feedback, training, then generations and evaluations below the trained run. A later round of
    feedback (`stages/rounds/chain.py`) overrides where the feedback and the starting model come from.
    """

    number = 1
    """The round of feedback that this experiment trains on, from 1."""
    previous: "Experiment | None" = None
    """The round before, whose policy was sampled for this one; `None` in the first."""
    round_keys: Mapping[str, Any] = {}
    """What a later round adds to the keys of its training."""

    def __init__(self, config: Config) -> None:
        """Check settings that would otherwise fail only after feedback has been made.

        Raises:
            ConfigError: the task has an unknown prompt format, an instruction without a place for the prompt, or the
                template of the goals is unusable.
        """
        self.config = config
        self.task: Task = config.task
        self.method: Method = config.method
        _check_prompts(self.task)
        if self.method.uses_goals:
            _check_placement(self.task, str(config.goal.placement))
            if config.goal.template is not None:
                check_template(config.goal.template, str(config.goal.levels.per), str(config.goal.levels.by))
        self.root = Path(config.runs_dir) / self.task.name
        self.rows: FeedbackRows | None = None
        """The feedback, once a stage has read or made it."""
        self.prompts: list[Prompt] | None = None
        """The evaluation prompts, once they have been read."""
        self._prompters: dict[GoalSpec, Prompter] = {}
        self.engines = Engines()

    @cached_property
    def feedback(self) -> Folder:
        """Folder of the graded feedback, shared across runs."""
        keys = {"task": self.task.name, **self.task.feedback_keys(self.model_keys)}
        if "model" in keys:  # it is sampled
            keys |= self.config.generation.backend_keys
        return Folder.named(self.root, f"feedback-{self.task.feedback_name()}", "feedback", keys)

    @property
    def feedback_origin(self) -> str:
        """What the feedback is compared by: its identity, without the seeds of policies that were sampled for it."""
        return self.feedback.identity

    @cached_property
    def training(self) -> Folder:
        """Folder of the run: goal spec, rows, plan, checkpoints and model, with generations and evaluations below."""
        config, parent, kind = self.config, self.feedback.identity, type(self.method)
        label = self.method.label(str(config.goal.formulation), str(config.goal.wording))
        goal = plain(config.goal)
        goal.pop("target")
        goal["pairing"] = str(config.pairing)
        if config.part_names:
            goal["parts"]["names"] = config.part_names
        else:
            goal.pop("parts")
        train = {key: value for key, value in plain(config.train).items() if key not in HOW_NOT_WHAT}
        if config.train.too_long is TooLong.error:
            train.pop("too_long")  # such runs have no prompt that is too long
        keys = {
            "model": self.model_keys,
            "method": {"label": label, "class": f"{kind.__module__}.{kind.__qualname__}", **_plain(self.method.keys())},
            "goal": goal if self.method.uses_goals else None,
            "adapter": plain(config.adapter),
            "train": train,
            "export": plain(config.export),
            "prompt": self.prompt_keys,
            "seed": config.seed,
            **self.round_keys,
        }
        if config.run:
            return Folder(Path(config.run), "training", keys, parent)
        name = f"{label.replace(' ', '-')}-{config.model.name}-s{config.seed}{self.suffix}"
        return Folder.named(self.root, name, "training", keys, parent)

    @property
    def first(self) -> "Experiment":
        """The first round."""
        return self if self.previous is None else self.previous.first

    @property
    def suffix(self) -> str:
        """Part of folder names that tells rounds apart; empty for the first."""
        return "" if self.previous is None else f"-round{self.number}"

    def make_named_folder(self) -> None:
        """Make the folder that `run` names, so that an unusable path fails before hours are spent on feedback.

        Raises:
            StorageError: it cannot be made.
        """
        if self.config.run:
            make_folder(self.training.path)

    @cached_property
    def base(self) -> Folder:
        """Folder of the untouched base model's generations, shared across the runs that compare with it."""
        keys = {"task": self.task.name, "model": self.model_keys, "prompt": self.prompt_keys}
        return Folder.named(self.root, f"base-{self.config.model.name}", "base", keys)

    @cached_property
    def model_keys(self) -> dict[str, Any]:
        """Identity of the pretrained model; a local one is identified by content, because a path can change."""
        model = self.config.model
        return {"uri": content(model.uri), "sha256": model.sha256, "revision": model.revision}

    @property
    def prompt_keys(self) -> dict[str, Any]:
        """Settings other than the goal that decide how a prompt reads."""
        task = self.task
        return {"version": task.version, "format": task.prompt_format(), "instruction": task.instruction}

    @cached_property
    def base_path(self) -> Path:
        """The folder of the pretrained model."""
        model = self.config.model
        return model_folder(model.uri, model.sha256, model.revision)

    @property
    def start_path(self) -> Path:
        """The folder of the model that training starts from."""
        return self.base_path

    def collect(self, rollouts: Rollouts, folder: Path) -> FeedbackRows:
        """The graded rows of all splits; `rollouts` samples the base model. Raises as `Task.graded_rows` does."""
        return self.task.graded_rows(rollouts, folder)

    def goal_config(self, feedback: FeedbackRows) -> Config:  # noqa: ARG002
        """The config that the goal is made from, once the feedback is known."""
        return self.config

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The pretrained model's tokenizer; the goal spec, not its template, puts goals into prompts."""
        return load_tokenizer(self.base_path)

    @cached_property
    def model_config(self) -> "PreTrainedConfig":
        """The pretrained model's config."""
        return load_config(self.base_path)

    @cached_property
    def context(self) -> int | None:
        """Context length of the model in tokens; `None` where its config sets no limit."""
        return saved_context_length(self.base_path)

    @cached_property
    def skeleton(self) -> "PreTrainedModel":
        """The model without its weights."""
        import torch
        from transformers import AutoModelForCausalLM

        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(self.model_config)

    @property
    def parameters(self) -> int:
        """Number of parameters of the model."""
        return sum(parameter.numel() for parameter in self.skeleton.parameters())

    @cached_property
    def base_model(self) -> "PreTrainedModel":
        """The untouched model: samples rollouts, serves as baseline and measures perplexity."""
        return load_model(self.base_path, inference_dtype())

    @cached_property
    def policy_path(self) -> Path:
        """The folder of the trained model or adapter, checked once."""
        return self.training.verified("model")

    @cached_property
    def policy(self) -> "PreTrainedModel":
        """The trained model."""
        return load_for_sampling(self.policy_path, self.base_path)

    @cached_property
    def spec(self) -> GoalSpec:
        """The goal spec that the model was trained with, from `goal.json`."""
        return load_spec(self.training.path)

    def prompter(self, spec: GoalSpec) -> Prompter:
        """Renders and tokenizes prompts under the goals of `spec`."""
        if spec not in self._prompters:
            tokenizer = self.tokenizer
            if spec.wording == "token":
                tokenizer = load_tokenizer(self.base_path)
                add_tokens(tokenizer, spec.texts)
            self._prompters[spec] = Prompter(tokenizer, spec, self.context)
        return self._prompters[spec]

    @cached_property
    def plain_prompter(self) -> Prompter:
        """Renders and tokenizes prompts without a goal."""
        return self.prompter(no_goal_spec(self.task.name, self.task.prompt_format(), self.task.instruction))


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
    """A config dataclass as plain values, with enums as strings."""
    values: dict[str, Any] = _plain(asdict(config))
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.value if isinstance(value, Enum) else value
