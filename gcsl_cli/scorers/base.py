"""The interface of a scorer: examples in, one grade each out.

    Example("Name a cat.", "Minka.", reference="Minka", columns={"topic": "pets"}, format="chat")

A scorer is a dataclass; its fields are the keys of its YAML in `conf/scorer/`, and `_target_` names its class.
"""

import json
import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.errors import listed

log = logging.getLogger("gcsl")

Turn = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Example:
    """A completion to grade, and what is known about its prompt."""

    prompt: str
    completion: str
    reference: str | None = None
    """A good answer, if the data have one."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """The other columns of the prompt's row."""
    format: str = "plain"
    """`plain`: the completion continues the prompt; `chat`: it answers it; `messages`: as chat, and the prompt is a
    conversation, as JSON."""

    def conversation(self) -> list[Turn]:
        """The chat messages of the prompt."""
        if self.format != "messages":
            return [{"role": "user", "content": self.prompt}]
        found = json.loads(self.prompt)
        return list(found["messages"] if isinstance(found, dict) else found)

    def messages(self) -> list[Turn]:
        """The chat messages of the prompt, then the completion as the assistant's."""
        return [*self.conversation(), {"role": "assistant", "content": self.completion}]

    def prompt_text(self) -> str:
        """The prompt to read; a conversation has a paragraph per message."""
        if self.format != "messages":
            return self.prompt
        return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in self.conversation())


@dataclass
class Scorer(ABC):
    """Grades completions. Subclasses implement `grade`."""

    name: str = ""

    lower_is_better: ClassVar[bool] = False
    """Whether it grades something bad, such as toxicity."""
    needs_reference: ClassVar[bool] = False
    """Whether it compares with the reference."""
    needs_columns: ClassVar[tuple[str, ...]] = ()
    """Columns of the prompts' file of which it needs one."""
    runs_custom_code: ClassVar[bool] = False
    """Whether it runs code that its config names, which the command line has to allow."""

    @cached_property
    def ungraded(self) -> Counter[str]:
        """Why completions could not be graded, and how many of them, since the scorer was made."""
        return Counter()

    def __call__(self, examples: Sequence[Example]) -> Floats:
        """Grade each example, shape `(examples,)`; NaN if it cannot be graded, which is logged and never a 0.

        Raises:
            GcslError: no example can be graded, for example because a model is missing.
        """
        if not examples:
            return np.empty(0)
        before = Counter(self.ungraded)
        grades = np.array(self.grade(examples), dtype=np.float64)
        if grades.shape != (len(examples),):
            raise TypeError(f"{type(self).__name__}.grade: shape {grades.shape} for {len(examples)} examples")
        grades[~np.isfinite(grades)] = np.nan
        if missing := int(np.isnan(grades).sum()):
            reasons = listed(f"{count} x {reason}" for reason, count in (self.ungraded - before).items())
            log.warning("%s cannot grade %d of %d completions: %s", self.name, missing, len(grades), reasons)
        return grades

    @abstractmethod
    def grade(self, examples: Sequence[Example]) -> Floats:
        """Grades of one or more examples, shape `(examples,)`. NaN if there is none, with its reason in `ungraded`."""

    def keys(self) -> dict[str, Any]:
        """Everything that the grades depend on, for run identities and the cache."""
        return {"class": f"{type(self).__module__}.{type(self).__qualname__}", **asdict(self)}

    def check(self) -> None:  # noqa: B027  # most have nothing to check
        """Raise `ConfigError` for a setting that cannot be used; loads no model."""

    def limits(self) -> tuple[float, float] | None:
        """The lowest and the highest possible grade, or None if there are no such limits."""
        return None
