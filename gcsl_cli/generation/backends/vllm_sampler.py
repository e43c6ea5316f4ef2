"""The backend `vllm`: vLLM's offline engine, in a process and usually a Python environment of its own.

Guidance takes two requests per completion, under the requested goal and under the one to steer away from. A logits
processor in the worker gives both the guided logits, and equal seeds then draw equal tokens.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gcsl_cli.generation.backends.vllm_environment import VllmEnvironment
from gcsl_cli.generation.backends.vllm_process import Engines
from gcsl_cli.generation.sampling import Sampled, Sampling, decoded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

GREEDY_BELOW = 0.01
"""vLLM raises lower temperatures to this one. Greedy decoding is closer to them."""
LENGTH_STEP = 1024
"""The engine is started for sequences of a multiple of this many tokens, so that one serves prompts of any goal."""
STEP_TOKENS = 8192
"""Tokens of prompts that are computed in one step, at least; vLLM's own default on most GPUs."""

log = logging.getLogger("gcsl")


@dataclass(frozen=True)
class VllmSampler:
    """Samples from the model in a folder."""

    engines: Engines
    environment: VllmEnvironment
    model: Path
    """Folder of a whole model, with safetensors."""
    dtype: str
    context: int | None
    """Context length of the model in tokens; `None` where its config sets no limit."""
    tokenizer: "PreTrainedTokenizerBase"
    model_ends: Sequence[int]
    """Tokens that end a text of this model."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `vllm.LLM`."""

    def sample(
        self,
        prompts: Sequence[list[int]],
        against: Sequence[list[int]] | None,
        ends: Sequence[int],
        sampling: Sampling,
        seed: int,
    ) -> list[list[Sampled]]:
        """Sample as `Sampler.sample` says; inside a block of `engines.kept`.

        Raises:
            ConfigError, DependencyError: vLLM cannot be used.
            SamplingError: its process has ended.
        """
        all_ends = sorted({*self.model_ends, *ends})
        longest = max(map(len, [*prompts, *(against or [])])) + sampling.max_new_tokens
        worker = self.engines.worker(self.environment, self._settings(longest, sampling.batch_size))
        count = len(prompts) * sampling.samples
        seeds = np.random.SeedSequence(seed).generate_state(count, np.uint64) >> np.uint64(1)
        reply = worker.ask(
            {
                "prompts": list(prompts),
                "against": None if against is None else list(against),
                "seeds": seeds.reshape(len(prompts), sampling.samples).tolist(),
                "guidance": sampling.guidance,
                "suppress": list(sampling.suppress),
                "params": {
                    "temperature": sampling.temperature if sampling.temperature >= GREEDY_BELOW else 0.0,
                    "top_p": sampling.top_p,
                    "max_tokens": sampling.max_new_tokens,
                    "stop_token_ids": all_ends,
                },
            }
        )
        if reply["redone"]:
            log.debug("vllm: %d of %d guided pairs fell out of step and were sampled again", reply["redone"], count)
        return [[decoded(self.tokenizer, ids, set(all_ends)) for ids in rows] for rows in reply["completions"]]

    def _settings(self, longest: int, batch_size: int) -> dict[str, Any]:
        length = -(-longest // LENGTH_STEP) * LENGTH_STEP
        sequences = 2 * batch_size  # a guided completion takes two
        return {
            "model": str(self.model),
            "dtype": self.dtype,
            "max_model_len": length if self.context is None else min(length, self.context),
            # Room for both prompts of a pair in one step.
            "max_num_batched_tokens": max(STEP_TOKENS, sequences, 2 * length),
            "max_num_seqs": sequences,
            **self.options,
        }
