"""Uses of TRL's private API."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def head_on_supervised_positions() -> Iterator[None]:
    """Make TRL compute logits at supervised positions only on CPUs too, as it does on devices with Triton.

    Elsewhere TRL computes them at every position, to keep shapes fixed for compiling backends. Eager CPU code does not
    need that, and prompts and padding are two thirds of our positions. Losses are the same. If TRL moves the private
    `_use_triton`, training is still correct, only slower.
    """
    import trl.trainer.utils as trl_utils

    use_triton = getattr(trl_utils, "_use_triton", None)
    if use_triton is None:
        yield
        return
    trl_utils._use_triton = lambda device: device.type == "cpu" or use_triton(device)
    try:
        yield
    finally:
        trl_utils._use_triton = use_triton
