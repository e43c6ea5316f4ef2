"""Sample with `model.generate`, computing each prompt once for all its samples and batching similar lengths.

Every call has its own seed, so that a run gives the same completions whether or not it was interrupted between calls.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from transformers.generation.streamers import BaseStreamer


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling settings."""

    samples: int
    max_new_tokens: int
    temperature: float
    top_p: float
    guidance: float
    batch_size: int
    suppress: tuple[int, ...] = ()
    """Tokens that are never sampled, such as control tokens."""
    shares: tuple[float, ...] = (1.0,)
    """How the weight of guidance is divided among the goals that it contrasts with."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One completion; `tokens` includes the end token, `finished` says whether there was one."""

    text: str
    tokens: int
    finished: bool


def sample_prompts(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[list[int]],
    against: Sequence[list[int]] | None,
    end_ids: Sequence[int],
    sampling: Sampling,
    seed: int,
    streamer: "BaseStreamer | None" = None,
) -> list[list[Sampled]]:
    """Sample `sampling.samples` completions of each prompt (its token ids), in the order of `prompts`.

    `against` are the same prompts under the goal that guidance contrasts with, `None` without guidance; for several
    `sampling.shares`, all prompts under the goal of the first, then under that of the next. `end_ids` are tokens that
    end a completion; the tokenizer's pad token pads shorter prompts on the left. The call has its own seed,
    and the global random state is restored afterwards.
    A `streamer` receives the tokens of a single completion as they are drawn.
    """
    import torch

    completions: list[list[Sampled]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index))
    batch_prompts = max(1, sampling.batch_size // sampling.samples)
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.inference_mode():
        torch.manual_seed(seed)
        for start in range(0, len(order), batch_prompts):
            chosen = order[start : start + batch_prompts]
            batch = [prompts[index] for index in chosen]
            batch_against = None if against is None else of_prompts(against, chosen, len(prompts))
            tokens = _sample_batch(model, tokenizer, batch, batch_against, end_ids, sampling, streamer)
            for index, rows in zip(chosen, torch.split(tokens, sampling.samples), strict=True):
                completions[index] = [decoded(tokenizer, row.tolist(), set(end_ids)) for row in rows]
    return completions


def of_prompts(against: Sequence[list[int]], places: Sequence[int], count: int) -> list[list[int]]:
    """The prompts at these places, of `count`, under each goal that guidance contrasts with."""
    return [against[start + place] for start in range(0, len(against), count) for place in places]


def _sample_batch(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: list[list[int]],
    against: list[list[int]] | None,
    end_ids: Sequence[int],
    sampling: Sampling,
    streamer: "BaseStreamer | None",
) -> "torch.Tensor":
    """Sample token ids `(prompts * samples, new tokens)`, padded with the pad token after the end."""
    from transformers import GenerationConfig, LogitsProcessorList

    from gcsl_cli.generation.guidance import GoalGuidance
    from gcsl_cli.generation.nucleus import Nucleus

    ids, mask = _left_padded(prompts, tokenizer, model)
    processors = LogitsProcessorList()
    if against is not None:
        against_ids, against_mask = _left_padded(against, tokenizer, model)
        cache = _prefilled(model, against_ids, against_mask, sampling.samples)
        last, against_mask = (x.repeat_interleave(sampling.samples, dim=0) for x in (against_ids[:, -1:], against_mask))
        processors.append(GoalGuidance(model, cache, last, against_mask, sampling.guidance, sampling.shares))
    processors.append(Nucleus(sampling.temperature, sampling.top_p))
    cache = _prefilled(model, ids, mask, sampling.samples)
    config = GenerationConfig(
        max_new_tokens=sampling.max_new_tokens,
        do_sample=True,
        top_k=0,
        top_p=1.0,
        temperature=1.0,
        eos_token_id=list(end_ids),
        pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=list(sampling.suppress) or None,
    )
    with _without_generation_config(model):
        output = model.generate(
            input_ids=ids.repeat_interleave(sampling.samples, dim=0),
            attention_mask=mask.repeat_interleave(sampling.samples, dim=0),
            past_key_values=cache,
            generation_config=config,
            logits_processor=processors,
            streamer=streamer,
        )
    return output[:, ids.shape[1] :].cpu()


@contextmanager
def _without_generation_config(model: "PreTrainedModel") -> Iterator[None]:
    """Use an empty generation config, because `generate` takes settings that ours omits from the model's own."""
    from transformers import GenerationConfig

    original, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = original


def _prefilled(model: "PreTrainedModel", ids: "torch.Tensor", mask: "torch.Tensor", samples: int) -> Any:
    """Compute the KV cache of all prompt tokens but the last, repeated for each sample; empty for one-token prompts."""
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    if ids.shape[1] > 1:
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        inputs = {"input_ids": ids[:, :-1], "attention_mask": mask[:, :-1], "position_ids": positions[:, :-1]}
        model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache.batch_repeat_interleave(samples)
    return cache


def _left_padded(
    prompts: list[list[int]], tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel"
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Pad prompts on the left; return token ids and attention mask, both `(prompts, longest)`."""
    import torch

    longest = max(len(prompt) for prompt in prompts)
    pad = tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids.to(model.device), mask.to(model.device)


def decoded(tokenizer: "PreTrainedTokenizerBase", ids: list[int], end_ids: set[int]) -> Sampled:
    """The completion that drawn token ids are; what follows an end token is left out."""
    end = next((index for index, id_ in enumerate(ids) if id_ in end_ids), None)
    kept = ids if end is None else ids[:end]
    text = tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return Sampled(text, len(kept) + (end is not None), end is not None)
