"""Sampling in numbered shards: a finished shard is a whole file, and the same command goes on after the last one."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gcsl_cli.data.records import Generation, Prompt, read_generations, write_generations
from gcsl_cli.errors import DataError
from gcsl_cli.generation.sampling import Sampled

SampleShard = Callable[[Sequence[Prompt], int], Sequence[Sequence[Sampled]]]
"""Completions of the given prompts from a seed."""

log = logging.getLogger("gcsl")


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
    """Generations of all prompts in their order; finished shards in `folder` are read, not made again.

    Prompts of similar length (`lengths`, tokens) share a shard, which saves padding. `advance` is told the number of
    completions after each shard.
    """
    order = sorted(range(len(prompts)), key=lambda index: (lengths[index], index))
    found: dict[int, list[Generation]] = {}
    for number, start in enumerate(range(0, len(order), shard_prompts)):
        chosen = order[start : start + shard_prompts]
        rows = _shard([prompts[index] for index in chosen], folder / f"{number:05d}.parquet", [seed, number], sample)
        for index, generations in zip(chosen, rows, strict=True):
            found[index] = generations
        advance(sum(len(generations) for generations in rows))
    return [generation for index in range(len(prompts)) for generation in found[index]]


def _shard(prompts: Sequence[Prompt], path: Path, seed: list[int], sample: SampleShard) -> list[list[Generation]]:
    made = _read(path) if path.exists() else []
    if {row.prompt_id for row in made} != {prompt.prompt_id for prompt in prompts}:
        completions = sample(prompts, int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1))
        made = [
            Generation(prompt.prompt_id, prompt.text, number, sampled.text, sampled.tokens, sampled.finished)
            for prompt, samples in zip(prompts, completions, strict=True)
            for number, sampled in enumerate(samples)
        ]
        write_generations(path, made)
    return [[row for row in made if row.prompt_id == prompt.prompt_id] for prompt in prompts]


def _read(path: Path) -> list[Generation]:
    """A finished shard; one that is damaged is made again."""
    try:
        return read_generations(path)
    except DataError as error:
        log.warning("%s", error)
        return []
