"""What a backend offers: completions of prompts, from one model."""

from collections.abc import Sequence
from typing import Protocol

from gcsl_cli.generation.sampling import Sampled, Sampling


class Sampler(Protocol):
    """Samples from one model."""

    def sample(
        self,
        prompts: Sequence[list[int]],
        against: Sequence[list[int]] | None,
        ends: Sequence[int],
        sampling: Sampling,
        seed: int,
    ) -> list[list[Sampled]]:
        """Sample `sampling.samples` completions of each prompt (its token ids), in the order of `prompts`.

        `against` are the same prompts under the goal that guidance contrasts with, `None` without guidance; for several
        `sampling.shares`, all prompts under the goal of the first, then under that of the next. `ends` are tokens that
        end a completion, besides those of the model itself. The same seed gives the same completions.
        """
