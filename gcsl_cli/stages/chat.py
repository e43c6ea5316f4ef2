"""chat: talk to a trained model, with the goal of each answer chosen on the spot.

Prompts go through the chat template of the exported model, so the model sees what it would see in any other program.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcsl_cli.configs.saved import saved_model
from gcsl_cli.errors import ConfigError, DataError, first_line
from gcsl_cli.generation.sampling import Sampling, sample_prompts
from gcsl_cli.goals.spec_file import load_spec
from gcsl_cli.models.chat import turn_end
from gcsl_cli.models.loading import (
    context_length,
    end_tokens,
    inference_dtype,
    is_adapter,
    load_model,
    load_tokenizer,
    model_folder,
    with_adapter,
)
from gcsl_cli.runs.folders import trained_manifest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NO_GOAL = "none"
Write = Callable[[str], object]


@dataclass
class ChatSettings:
    """How the next answer is asked for and sampled."""

    goal: str | float | None = None
    """`best`, `worst`, a level, `none`, or of several scores `NAME=LEVEL,...`; None: the target of the run."""
    guidance: float = 0.0
    temperature: float = 1.0
    top_p: float = 0.9
    max_new_tokens: int = 200
    seed: int = 0


@dataclass
class Chat:
    """A trained model and the conversation with it so far.

    A model trained on plain text continues each text on its own; any other one sees the whole conversation.
    """

    folder: Path
    """The run folder."""
    turns: list[dict[str, str]] = field(default_factory=list)
    answers: int = 0

    def __post_init__(self) -> None:
        """Load the model.

        Raises:
            RunError: the folder is not that of a trained run, or its model has been damaged.
        """
        trained_manifest(self.folder)
        self.spec = load_spec(self.folder)
        self.tokenizer = load_tokenizer(self.folder / "model")
        self.model = _model(self.folder)
        self.context = context_length(self.model.config)
        plain = self.spec.prompt_format == "plain"
        end = None if plain else turn_end(self.tokenizer)
        self.ends = sorted({*end_tokens(self.tokenizer, self.model), *([] if end is None else [end])})

    def goals(self) -> list[tuple[str, str]]:
        """Name and wording of the goals that can be asked for, worst first."""
        return [*self.spec.named_goals(), (NO_GOAL, "")]

    def argument(self, goal: str | float | None) -> Any:
        """The value of the chat template's `goal` argument.

        Raises:
            ConfigError: the model has no such goal.
        """
        if goal == NO_GOAL or (goal is None and not self.spec.has_goal):
            return NO_GOAL
        if not self.spec.has_goal:
            raise ConfigError("This model was trained without goals.")
        target: Any = goal
        if isinstance(goal, str) and "=" in goal:  # several scores: helpfulness=best,verbosity=1
            parts = [part.strip().partition("=") for part in goal.split(",")]
            if not all(equals for _, equals, _ in parts) or len({name for name, _, _ in parts}) < len(parts):
                raise ConfigError(f"{goal}: not a goal. Name each score once: NAME=LEVEL,NAME=LEVEL.")
            target = {name: level for name, _, level in parts}
        return self.spec.asked(self.spec.goal(target))

    def ask(self, text: str, settings: ChatSettings, write: Write) -> str:
        """Answer, or continue a plain text; pass the answer on piece by piece as it is sampled, and return it whole.

        Raises:
            ConfigError: the model has no such goal.
            DataError: the text does not fit into the model's context.
        """
        from transformers import TextStreamer

        class Pieces(TextStreamer):
            def on_finalized_text(self, text: str, stream_end: bool = False) -> None:  # noqa: ARG002
                write(text)

        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError("The text is not valid UTF-8.") from error
        turns = [] if self.spec.prompt_format == "plain" else self.turns
        said = [*turns, {"role": "user", "content": text}]
        goals = [settings.goal, *(["worst"] if settings.guidance else [])]
        ids, *against = self._encoded(said, [self.argument(goal) for goal in goals], settings.max_new_tokens)
        suppressed = tuple(getattr(self.model.generation_config, "suppress_tokens", None) or ())
        sampling = Sampling(
            samples=1,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            guidance=settings.guidance,
            batch_size=1,
            suppress=suppressed,
        )
        streamer = Pieces(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        seed = settings.seed + self.answers
        sampled = sample_prompts(
            self.model, self.tokenizer, [ids], against or None, self.ends, sampling, seed, streamer
        )
        answer = sampled[0][0].text
        self.turns = [*said, {"role": "assistant", "content": answer}]
        self.answers += 1
        return answer

    def forget(self) -> None:
        """Start a new conversation; its answers are sampled from the first seed again."""
        self.turns, self.answers = [], 0

    def _encoded(self, turns: Sequence[dict[str, str]], goals: Sequence[Any], room: int) -> list[list[int]]:
        """Tokens of the conversation under each goal, without its oldest exchanges if it is too long."""
        from jinja2 import TemplateError

        turns = list(turns)
        while True:
            try:
                encoded: list[list[int]] = [
                    self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, goal=goal, return_dict=False)
                    for goal in goals
                ]
            except TemplateError as error:
                raise DataError(f"The model's chat template refuses this: {first_line(error)}.") from error
            if self.context is None or max(map(len, encoded)) + room <= self.context:
                return encoded
            if len(turns) < 3:
                raise DataError(
                    f"The text and an answer of {room} tokens exceed the model's context of {self.context} tokens."
                )
            turns = turns[2:]


def _model(folder: Path) -> "PreTrainedModel":
    """The trained model; an adapter is put on the base that the run was configured with."""
    trained = folder / "model"
    if not is_adapter(trained):
        return load_model(trained, inference_dtype())
    base = saved_model(folder)
    return with_adapter(load_model(model_folder(base.uri, base.sha256, base.revision), inference_dtype()), trained)
