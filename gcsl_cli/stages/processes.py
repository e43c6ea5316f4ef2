"""The processes of a stage: how many gcsl has to start, and what each of them does when the leader calls."""

from collections.abc import Callable

from gcsl_cli.configs.choices import Strategy
from gcsl_cli.configs.schema import Config, TrainConfig
from gcsl_cli.errors import ConfigError
from gcsl_cli.runs import ranks
from gcsl_cli.training.zero import check_deepspeed

GPU = "gpu"


def to_start(stage: str, config: Config) -> int:
    """Return the number of processes to start for a stage; 1 if it needs no others, or a launcher has started them.

    Raises:
        ConfigError: the processes cannot share an optimizer step evenly, or are not as many as a launcher has started.
        DependencyError: the strategy needs a package that is not installed.
    """
    if config.distributed.strategy is Strategy.zero3 and _trains(stage, config):
        check_deepspeed()
    wanted = _wanted(config.distributed.processes)
    started = ranks.count()
    if started > 1 and wanted is not None and wanted != started:
        raise ConfigError(
            f"distributed.processes={config.distributed.processes} is {wanted}, but the launcher has started {started} "
            "processes. Leave it out, or start gcsl without a launcher."
        )
    processes = max(wanted or 1, started)
    if processes == 1 or not _trains(stage, config):
        return 1
    _check_shares(config.train, processes)
    return 1 if started > 1 or config.dry_run else processes


def _wanted(processes: int | str | None) -> int | None:
    if processes != GPU:
        return None if processes is None else int(processes)
    import torch

    if not torch.cuda.device_count():
        raise ConfigError("distributed.processes=gpu: no GPU was found. Set a number: distributed.processes=2")
    return torch.cuda.device_count()


def _trains(stage: str, config: Config) -> bool:
    """Return True if a stage may train; `prepare` does to measure the speed for a budget in seconds."""
    timed = config.train.budget.seconds is not None
    return stage in {"train", "generate", "evaluate"} or (stage == "prepare" and timed)


def _check_shares(train: TrainConfig, processes: int) -> None:
    from gcsl_cli.stages.planning.plan import batching

    passes = batching(train).passes
    if passes % processes == 0:
        return
    if train.tokens_per_batch:
        now, fix = "train.batches_per_step", f"train.batches_per_step={-(-passes // processes) * processes}"
    elif train.batch_size % processes:
        now, fix = "train.batch_size", f"a multiple of {processes} as train.batch_size"
    else:
        now, fix = "train.micro_batch_size", f"train.micro_batch_size={train.batch_size // processes}"
    raise ConfigError(
        f"{now}={getattr(train, now.removeprefix('train.'))}: an optimizer step is {passes} forward "
        f"{'pass' if passes == 1 else 'passes'}, which {processes} processes cannot share evenly. Use {fix}."
    )


def follow(stage: str, config: Config) -> None:
    """In every process but the leader: take part in training and sampling whenever the leader calls."""
    to_start(stage, config)  # the same mistakes as in the leader
    from gcsl_cli.stages import prepare, sampling, train

    sampler = sampling.Follower()

    def train_along(take_part: Callable[[Config], None]) -> None:
        sampler.forget()
        take_part(config)

    ranks.follow(
        {
            sampling.SAMPLING: sampler.take_part,
            train.TRAINING: lambda: train_along(train.take_part),
            prepare.TRIAL: lambda: train_along(prepare.take_part_in_trial),
        }
    )
