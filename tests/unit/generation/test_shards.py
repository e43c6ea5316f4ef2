"""Shards: interrupted sampling gives the same rows in the same order, and nothing is sampled twice."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from gcsl_cli.data.records import Generation, Prompt
from gcsl_cli.generation.sampling import Sampled
from gcsl_cli.generation.shards import Shards, sample_in_shards

PROMPTS = [Prompt(f"id{number}", f"prompt {number}", "test") for number in range(5)]
LENGTHS = [9, 2, 7, 2, 5]


class Sampler:
    """Return two samples per prompt that name prompt and seed, and record the calls."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.seeds: list[int] = []

    def __call__(self, prompts: Sequence[Prompt], seed: int) -> list[list[Sampled]]:
        self.calls.append([prompt.prompt_id for prompt in prompts])
        self.seeds.append(seed)
        return [[Sampled(f" {prompt.text} {seed} {n}", n + 1, n == 0) for n in range(2)] for prompt in prompts]


def run(folder: Path, sampler: Sampler, seed: int = 0) -> tuple[list[Generation], list[int]]:
    advanced: list[int] = []
    rows = sample_in_shards(Shards(PROMPTS, LENGTHS, folder, 2, seed), sampler, advanced.append)
    return rows, advanced


def test_similar_lengths_share_a_shard_and_results_keep_prompt_order(tmp_path: Path) -> None:
    """Sorted by length: 1 and 3 (2 tokens each), 4 and 2, 0."""
    sampler = Sampler()
    rows, advanced = run(tmp_path, sampler)

    assert sampler.calls == [["id1", "id3"], ["id4", "id2"], ["id0"]]
    assert advanced == [4, 4, 2]
    assert [(row.prompt_id, row.sample) for row in rows] == [(f"id{n}", sample) for n in range(5) for sample in (0, 1)]
    assert rows[3] == Generation("id1", "prompt 1", 1, f" prompt 1 {sampler.seeds[0]} 1", 2, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000.parquet", "00001.parquet", "00002.parquet"]


def test_shards_and_seeds_sample_differently(tmp_path: Path) -> None:
    first, second = Sampler(), Sampler()
    run(tmp_path / "a", first, seed=0)
    run(tmp_path / "b", second, seed=1)

    assert len({*first.seeds, *second.seeds}) == 6
    assert all(0 <= seed < 2**63 for seed in first.seeds)  # what torch takes


def test_finished_shards_are_reused(tmp_path: Path) -> None:
    whole, _ = run(tmp_path, Sampler())
    again = Sampler()

    assert run(tmp_path, again) == (whole, [4, 4, 2])
    assert again.calls == []


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_interrupted_sampling_resumes_to_the_same_rows(tmp_path: Path, stop_after: int) -> None:
    whole, _ = run(tmp_path / "whole", Sampler())

    class Interrupted(Sampler):
        def __call__(self, prompts: Sequence[Prompt], seed: int) -> list[list[Sampled]]:
            if len(self.calls) == stop_after:
                raise KeyboardInterrupt
            return super().__call__(prompts, seed)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "part", Interrupted())
    sampler = Sampler()

    assert run(tmp_path / "part", sampler)[0] == whole
    assert len(sampler.calls) == 3 - stop_after


@pytest.mark.parametrize("damage", ["cut off", "empty", "of other prompts"])
def test_only_the_damaged_shard_is_sampled_again(tmp_path: Path, damage: str) -> None:
    whole, _ = run(tmp_path, Sampler())
    shard = tmp_path / "00001.parquet"
    content = {
        "cut off": shard.read_bytes()[:-20],
        "empty": b"",
        "of other prompts": (tmp_path / "00000.parquet").read_bytes(),
    }
    shard.write_bytes(content[damage])
    sampler = Sampler()

    assert run(tmp_path, sampler)[0] == whole
    assert sampler.calls == [["id4", "id2"]]


def test_full_disk_preserves_earlier_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = run(tmp_path / "whole", Sampler())

    class Full(Sampler):
        def __call__(self, prompts: Sequence[Prompt], seed: int) -> list[list[Sampled]]:
            if self.calls:
                raise OSError(28, "No space left on device")
            return super().__call__(prompts, seed)

    with pytest.raises(OSError, match="No space left"):
        run(tmp_path / "part", Full())

    assert [path.name for path in (tmp_path / "part").iterdir()] == ["00000.parquet"]
    assert run(tmp_path / "part", Sampler())[0] == whole


def test_missing_shards(tmp_path: Path) -> None:
    shards = Shards(PROMPTS, LENGTHS, tmp_path, 2, 0)
    assert shards.missing() == [0, 1, 2]

    shards.rows(1, Sampler())
    assert shards.missing() == [0, 2]
