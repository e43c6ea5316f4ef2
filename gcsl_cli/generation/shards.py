"""Sample in numbered shards. Each finished shard is a complete file, so interrupted sampling resumes after the last."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gcsl_cli.data.records import GENERATION, Generation, Prompt, read_cached, write_generations
from gcsl_cli.generation.sampling import Sampled

SampleShard = Callable[[Sequence[Prompt], int], Sequence[Sequence[Sampled]]]
"""Sample completions of the given prompts from a seed."""


def sample_in_shards(
    prompts: Sequence[Prompt],
    lengths: Sequence[int],
    folder: Path,
    *,
    shard_prompts: int,
    seed: int,
    sample: SampleShard,
    advance: Callable[[int], None],
) -> list[Generation]:
    """Sample completions of all prompts, reusing finished shards in `folder`; return them in the order of `prompts`.

    Prompts of similar length (in tokens) share a shard, which saves padding. Each shard derives its own seed from
    `seed`. `advance` is called after each shard with its number of completions.
    """
    order = sorted(range(len(prompts)), key=lambda index: (lengths[index], index))
    by_prompt: dict[int, list[Generation]] = {}
    for number, start in enumerate(range(0, len(order), shard_prompts)):
        chosen = order[start : start + shard_prompts]
        rows = _shard([prompts[index] for index in chosen], folder / f"{number:05d}.parquet", [seed, number], sample)
        for index, generations in zip(chosen, rows, strict=True):
            by_prompt[index] = generations
        advance(sum(len(generations) for generations in rows))
    return [generation for index in range(len(prompts)) for generation in by_prompt[index]]


def _shard(prompts: Sequence[Prompt], path: Path, seed: list[int], sample: SampleShard) -> list[list[Generation]]:
    rows = [Generation(**row) for row in read_cached(path, GENERATION) or []]
    if {row.prompt_id for row in rows} != {prompt.prompt_id for prompt in prompts}:
        completions = sample(prompts, int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1))
        rows = [
            Generation(prompt.prompt_id, prompt.text, number, sampled.text, sampled.tokens, sampled.finished)
            for prompt, samples in zip(prompts, completions, strict=True)
            for number, sampled in enumerate(samples)
        ]
        write_generations(path, rows)
    return [[row for row in rows if row.prompt_id == prompt.prompt_id] for prompt in prompts]
