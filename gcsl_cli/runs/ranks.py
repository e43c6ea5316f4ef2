"""Several processes that train one run, as torchrun, accelerate and Slurm start them: one command, many ranks.

Rank 0 leads. It runs the command as if it were alone: only the leader takes locks, samples, writes and exports. Where
work is shared, it calls the other ranks, which have the same config and otherwise wait:

    leader                                   other ranks
    with ranks.together("training"):         ranks.follow({"training": train})
        train()
    ranks.dismiss()
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

WAITING = timedelta(days=30)
"""How long a rank waits for the others: the leader may sample feedback for hours before training starts."""


def count() -> int:
    """Return the number of processes that train together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def leads() -> bool:
    """Return True in the leader, and in a process that is alone."""
    return rank() == 0


@cache
def _control_group() -> Any:
    """Join the processes and return the group that calls and signals go through, separate from that of gradients.

    Also selects this process's GPU, so it has to run before a model is loaded.
    """
    import torch
    import torch.distributed as dist
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available())
    return dist.new_group(backend="gloo", timeout=WAITING)


_together = False


@contextmanager
def together(work: str) -> Iterator[None]:
    """Call the other ranks to do `work`, named as in their `follow`, while the block does it here."""
    global _together  # noqa: PLW0603
    agree(work)
    _together = True
    yield
    # After an exception the others are still at work and cannot be called; the launcher ends them.
    _together = False


def follow(works: Mapping[str, Callable[[], object]]) -> None:
    """Do what the leader calls for, until it dismisses."""
    while (work := agree("")) in works:
        works[work]()


def dismiss() -> None:
    """End the other ranks' `follow`, unless they are at work."""
    if not _together:
        agree("")


def agree(value: T) -> T:
    """Return the leader's `value` on every rank; all ranks have to call this at the same point."""
    if count() == 1:
        return value
    import torch.distributed as dist

    box: list[Any] = [value]
    dist.broadcast_object_list(box, src=0, group=_control_group())
    agreed: T = box[0]
    return agreed


def highest(number: int) -> int:
    """Return the highest `number` of all ranks; all have to call this at the same point."""
    if count() == 1:
        return number
    import torch
    import torch.distributed as dist

    box = torch.tensor(number)
    dist.all_reduce(box, op=dist.ReduceOp.MAX, group=_control_group())
    return int(box)


def wait_for_all() -> None:
    """Return once every rank has called this."""
    highest(0)
