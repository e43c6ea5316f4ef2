"""The backend `hf`: a model of transformers in this process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gcsl_cli.generation.sampling import Sampled, Sampling, sample_prompts
from gcsl_cli.models.loading import end_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class HfSampler:
    """Samples from a loaded model with `model.generate`."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"

    def sample(
        self,
        prompts: Sequence[list[int]],
        against: Sequence[list[int]] | None,
        ends: Sequence[int],
        sampling: Sampling,
        seed: int,
    ) -> list[list[Sampled]]:
        """Sample as `Sampler.sample` says."""
        all_ends = sorted({*end_tokens(self.tokenizer, self.model), *ends})
        return sample_prompts(self.model, self.tokenizer, prompts, against, all_ends, sampling, seed)
