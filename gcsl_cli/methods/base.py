"""What a method is. A new method is one module with one dataclass, one YAML and one test.

A method is a dataclass: its fields are the keys of its YAML, checked by name and type, and `_target_` names its class.
It decides which graded rows become training examples, and which trainer of TRL's runs them in the order of the plan.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gcsl_cli.data.records import FeedbackRows
    from gcsl_cli.goals.levels import Levels
    from gcsl_cli.goals.scale import Scale
    from gcsl_cli.goals.spec import GoalSpec
    from gcsl_cli.models.prompting import Prompter
    from gcsl_cli.training.examples import Examples
    from gcsl_cli.training.loop import MakeTrainer
    from gcsl_cli.training.negatives import NegativeLoss
    from gcsl_cli.training.plan import Plan


@dataclass(frozen=True)
class ExampleInputs:
    """Everything examples are built from."""

    rows: "FeedbackRows"
    """Graded rows of one split."""
    prompter: "Prompter"
    """Renders and tokenizes prompts."""
    max_length: int | None
    """Tokens per row; longer completions are cut. `None`: the model's context."""
    scale: "Scale"
    """Converts configured grades to scores."""
    seed: int
    """Seed of the run, for methods that sample."""
    at_least: int
    """Examples in one optimizer step; fewer are an error. 0 for held-out rows."""


@dataclass(frozen=True)
class TrainerInputs:
    """Everything a trainer is built from."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    train: Any
    """The planned training examples, as their `planned` method returns them."""
    validation: Any
    """Held-out examples of the same form, or `None`."""
    peft_config: "PeftConfig | None"
    micro_batch_size: int
    """Examples per forward pass, where the plan does not compose micro-batches."""
    load_reference: "Callable[[], PreTrainedModel | None]"
    """Loads a frozen copy of the starting model; `None` under an adapter, which can be switched off instead."""
    control_token_learning_rate: float | None = None
    """Peak learning rate of control-token embeddings beside LoRA; `None`: the common rate."""
    negative_loss: "NegativeLoss | None" = None
    """The loss on copies of rows under goals that they miss, if the plan has such copies."""


@dataclass
class Method(ABC):
    """Base class of all methods. Subclasses implement `examples` and `trainer` and override what differs."""

    name: str = ""
    learning_rate: float = 1e-4
    """Peak learning rate that suits the method; `train.learning_rate` defaults to it."""

    uses_goals: ClassVar[bool] = False
    """Trains under goals, so the `goal` config group applies."""
    plans_batches: ClassVar[bool] = False
    """The plan composes its micro-batches, so rows can share prompts and micro-batches can be sized in tokens."""
    uses_reference: ClassVar[bool] = False
    """Compares the policy with a reference model, which under an adapter is the model without it."""
    relative_cost: ClassVar[float] = 1.0
    """Compute per token relative to supervised fine-tuning."""

    @abstractmethod
    def examples(self, inputs: ExampleInputs) -> "Examples":
        """Build training examples from the rows that `training_rows` returned.

        Raises:
            DataError: the rows do not contain what the method needs.
        """

    @abstractmethod
    def trainer(self, inputs: TrainerInputs) -> "MakeTrainer":
        """Return a function that builds the TRL trainer over the planned examples."""

    def held_out(self, examples: Any, inputs: ExampleInputs) -> "Examples":
        """Build examples of the same kind as the training `examples` from held-out rows; possibly none."""
        return self.examples(inputs)

    def training_rows(self, rows: "FeedbackRows", scale: "Scale") -> "FeedbackRows":
        """Return the training rows that the method uses; all of them by default."""
        return rows

    def problems(self, rows_per_pass: int) -> Iterator[str]:
        """Yield a message for each setting that cannot be used, with the fix."""
        return iter(())

    def label(self, formulation: str, wording: str) -> str:
        """Name of a run in folder names and in tables that compare methods; the arguments are those of its goal."""
        return self.name

    def keys(self) -> dict[str, Any]:
        """Settings that decide the result, for the identity of a run. The learning rate belongs to `train`."""
        return {key: value for key, value in asdict(self).items() if key != "learning_rate"}

    def facts(self, spec: "GoalSpec") -> dict[str, Any]:
        """Settings to show in reports."""
        return {
            ("method" if key == "name" else key): value for key, value in asdict(self).items() if key != "learning_rate"
        }

    @abstractmethod
    def describe(self, examples: Any, spec: "GoalSpec", plan: "Plan") -> Iterator[list[str]]:
        """Yield label and value pairs about the examples, for `prepare` and the dry run."""

    def write_rows(self, path: Path, examples: Any, spec: "GoalSpec", levels: "Levels") -> None:  # noqa: B027
        """Write the examples as Parquet for people to inspect; nothing by default."""
