"""How shards are dealt out to processes; that their completions are those of one is in the integration tests."""

from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.data.records import Prompt
from gcsl_cli.generation.sampling import Sampled, Sampling
from gcsl_cli.generation.shards import Shards
from gcsl_cli.runs import ranks
from gcsl_cli.stages import sampling

SETTINGS = Sampling(1, 4, temperature=1.0, top_p=1.0, guidance=0.0, batch_size=8)


def shared(folder: Path, model: str = "model") -> sampling.Shared:
    """Five prompts in five shards, of which the third and fourth are finished."""
    prompts = [Prompt(f"id{number}", f"prompt {number}", "test") for number in range(5)]
    shards = Shards(prompts, [1] * 5, folder, 1, 0)
    request = sampling.Request([[number] for number in range(5)], None, [9], SETTINGS, shards)
    return sampling.Shared(request, [0, 1, 4], Path(model), Path("base"))


def test_every_missing_shard_is_dealt_to_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    dealt = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        dealt.append(list(shared(tmp_path).mine()))

    assert dealt == [[0, 4], [1]]


def test_a_follower_samples_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank 1 of 2 writes the second shard only; it loads a model when the leader names another."""
    loaded: list[str] = []
    asked: list[Any] = []

    class Double:
        def sample(self, prompts: Any, against: Any, ends: Any, settings: Any, seed: int) -> list[list[Sampled]]:
            asked.append((prompts, against, ends, settings))
            return [[Sampled("x", 1, True)] for _ in prompts]

    calls = iter([shared(tmp_path / "a"), shared(tmp_path / "b"), shared(tmp_path / "c", "other")])
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(ranks, "agree", lambda _: next(calls))
    monkeypatch.setattr(ranks, "wait_for_all", lambda: None)
    monkeypatch.setattr(sampling, "load_for_sampling", lambda model, base: loaded.append(f"{model} {base}"))
    monkeypatch.setattr(sampling, "load_tokenizer", lambda folder: None)
    monkeypatch.setattr(sampling, "HfSampler", lambda model, tokenizer: Double())
    follower = sampling.Follower()
    for _ in range(3):
        follower.take_part()

    assert loaded == ["model base", "other base"]
    assert asked == [([[1]], None, [9], SETTINGS)] * 3
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["00001.parquet"]
