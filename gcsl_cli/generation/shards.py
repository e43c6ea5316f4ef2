"""Sample in numbered shards. Each finished shard is a complete file, so interrupted sampling resumes after the last."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from gcsl_cli.data.records import GENERATION, Generation, Prompt, read_cached, write_generations
from gcsl_cli.generation.sampling import Sampled

SampleShard = Callable[[Sequence[Prompt], int], Sequence[Sequence[Sampled]]]
"""Sample completions of the given prompts from a seed."""


@dataclass(frozen=True)
class Shards:
    """The shards of some prompts. Those of similar length share a shard, which saves padding."""

    prompts: Sequence[Prompt]
    lengths: Sequence[int]
    """Of each prompt, in tokens."""
    folder: Path
    shard_prompts: int
    seed: int
    """Each shard derives its own seed from this one, so it does not matter which process samples it, or when."""

    @cached_property
    def places(self) -> list[list[int]]:
        """The places of each shard's prompts in `prompts`."""
        order = sorted(range(len(self.prompts)), key=lambda index: (self.lengths[index], index))
        return [order[start : start + self.shard_prompts] for start in range(0, len(order), self.shard_prompts)]

    def missing(self) -> list[int]:
        """The numbers of the shards that have not been sampled."""
        return [number for number, chosen in enumerate(self.places) if self._read(number, chosen) is None]

    def rows(self, number: int, sample: SampleShard) -> list[list[Generation]]:
        """The completions of each prompt of a shard, sampled unless it is finished."""
        chosen = self.places[number]
        prompts = [self.prompts[index] for index in chosen]
        rows = self._read(number, chosen)
        if rows is None:
            seed = np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)[0]
            completions = sample(prompts, int(seed >> 1))
            rows = [
                Generation(prompt.prompt_id, prompt.text, sample_number, sampled.text, sampled.tokens, sampled.finished)
                for prompt, samples in zip(prompts, completions, strict=True)
                for sample_number, sampled in enumerate(samples)
            ]
            write_generations(self._path(number), rows)
        return [[row for row in rows if row.prompt_id == prompt.prompt_id] for prompt in prompts]

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.parquet"

    def _read(self, number: int, chosen: Sequence[int]) -> list[Generation] | None:
        rows = [Generation(**row) for row in read_cached(self._path(number), GENERATION) or []]
        wanted = {self.prompts[index].prompt_id for index in chosen}
        return rows if {row.prompt_id for row in rows} == wanted else None


def sample_in_shards(shards: Shards, sample: SampleShard, advance: Callable[[int], None]) -> list[Generation]:
    """Sample completions of all prompts, reusing finished shards; return them in the order of the prompts.

    `advance` is called after each shard with its number of completions.
    """
    by_prompt: dict[int, list[Generation]] = {}
    for number, chosen in enumerate(shards.places):
        rows = shards.rows(number, sample)
        by_prompt |= dict(zip(chosen, rows, strict=True))
        advance(sum(len(generations) for generations in rows))
    return [generation for index in range(len(shards.prompts)) for generation in by_prompt[index]]
