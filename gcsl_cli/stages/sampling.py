"""Sample completions in shards, which several processes share."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import cast

from gcsl_cli.configs.choices import SamplingBackend
from gcsl_cli.data.records import Generation, Prompt
from gcsl_cli.generation.backends.base import Sampler
from gcsl_cli.generation.backends.hf import HfSampler
from gcsl_cli.generation.sampling import Sampled, Sampling, of_prompts
from gcsl_cli.generation.shards import SampleShard, Shards, sample_in_shards
from gcsl_cli.models.loading import free_memory, load_for_sampling, load_tokenizer
from gcsl_cli.runs import ranks
from gcsl_cli.runs.progress import progress
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.samplers import sampler_of

SAMPLING = "sampling"


@dataclass(frozen=True)
class Request:
    """What to sample, and how."""

    ids: Sequence[list[int]]
    """Tokens of each prompt under the requested goal."""
    against: Sequence[list[int]] | None
    """Those under the goals that guidance pushes away from, see `Sampler.sample`."""
    ends: Sequence[int]
    sampling: Sampling
    shards: Shards

    def sampled_by(self, sampler: Sampler, chosen: Sequence[Prompt], seed: int) -> Sequence[Sequence[Sampled]]:
        """Completions of the prompts of a shard."""
        places = [self._place[prompt.prompt_id] for prompt in chosen]
        against = None if self.against is None else of_prompts(self.against, places, len(self.ids))
        return sampler.sample([self.ids[index] for index in places], against, self.ends, self.sampling, seed)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {prompt.prompt_id: index for index, prompt in enumerate(self.shards.prompts)}


@dataclass(frozen=True)
class Shared:
    """What the leader tells the other processes: the shards to deal out, and the model."""

    request: Request
    missing: Sequence[int]
    model: Path
    base: Path
    """Of an adapter; also the folder of the tokenizer."""

    def mine(self) -> Sequence[int]:
        """The shards of this process."""
        return self.missing[ranks.rank() :: ranks.count()]


def sample_completions(
    experiment: Experiment,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    folder: Path,
    *,
    label: str,
    trained: bool,
    ids: Sequence[list[int]],
    against: Sequence[list[int]] | None,
    ends: Sequence[int],
    shard_prompts: int,
    seed: int,
) -> list[Generation]:
    """Sample completions in resumable shards below `folder`, with a progress bar.

    Args:
        experiment: its base or its trained model is sampled.
        prompts: what to complete.
        sampling: how.
        folder: of the shards.
        label: of the progress bar.
        trained: whether the trained model is sampled; a model is loaded only if a shard is missing.
        ids: tokens of each prompt under the requested goal.
        against: those under the goals that guidance pushes away from, see `Sampler.sample`.
        ends: tokens that end a completion.
        shard_prompts: prompts per shard.
        seed: of all shards.
    """
    shards = Shards(prompts, [len(tokens) for tokens in ids], folder, shard_prompts, seed)
    request = Request(ids, against, ends, sampling, shards)

    sampler = cache(lambda: sampler_of(experiment, trained=trained))

    def sample(chosen: Sequence[Prompt], seed: int) -> Sequence[Sequence[Sampled]]:
        return request.sampled_by(sampler(), chosen, seed)

    with experiment.engines.kept():
        if ranks.count() > 1 and experiment.config.generation.backend is SamplingBackend.hf:
            _sample_together(experiment, label, trained, request, sample)
        with progress(label, len(prompts) * sampling.samples, "completions") as bar:
            return sample_in_shards(shards, sample, bar.advance)


def _sample_together(experiment: Experiment, label: str, trained: bool, request: Request, sample: SampleShard) -> None:
    """Deal the missing shards out to all processes, if there are several, and return once they are finished."""
    missing = request.shards.missing()
    if len(missing) < 2:
        return
    model = experiment.policy_path if trained else experiment.base_path
    with ranks.together(SAMPLING):
        shared = ranks.agree(Shared(request, missing, model, experiment.base_path))
        _sample_mine(shared, f"{label}, in {ranks.count()} processes", sample)


def _sample_mine(shared: Shared, label: str, sample: SampleShard) -> None:
    mine = shared.mine()
    with progress(label, len(mine), "shards of this process") as bar:
        for number in mine:
            shared.request.shards.rows(number, sample)
            bar.advance()
    ranks.wait_for_all()


class Follower:
    """A process that samples its share whenever the leader calls. It keeps the model that it has loaded last."""

    def __init__(self) -> None:
        self._loaded: tuple[Path, HfSampler] | None = None

    def take_part(self) -> None:
        """Sample this process's share of the shards that the leader deals out."""
        shared = ranks.agree(cast("Shared", None))

        def sample(chosen: Sequence[Prompt], seed: int) -> Sequence[Sequence[Sampled]]:
            return shared.request.sampled_by(self._sampler(shared), chosen, seed)

        _sample_mine(shared, "sampling", sample)

    def forget(self) -> None:
        """Free the model's memory."""
        self._loaded = None
        free_memory()

    def _sampler(self, shared: Shared) -> HfSampler:
        if self._loaded is None or self._loaded[0] != shared.model:
            self.forget()
            model = load_for_sampling(shared.model, shared.base)
            self._loaded = shared.model, HfSampler(model, load_tokenizer(shared.base))
        return self._loaded[1]
