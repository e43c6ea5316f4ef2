"""One rank of several: run command lines one after the other, as a launcher starts them in each process.

python -m torch.distributed.run --standalone --nproc-per-node 2 -m tests.ranks commands.json
"""

import json
import sys
from pathlib import Path
from typing import Any

from tests.commands import gcsl


def offer_fsdp_on_cpus() -> None:
    """Let accelerate shard on CPUs; it offers FSDP only on accelerators."""
    from accelerate import DistributedType
    from accelerate.state import AcceleratorState

    original = AcceleratorState.__init__

    def init(self: Any, *arguments: Any, fsdp_plugin: Any = None, **others: Any) -> None:
        original(self, *arguments, fsdp_plugin=fsdp_plugin, **others)
        if fsdp_plugin is not None:
            self.fsdp_plugin = fsdp_plugin
        if self.__dict__.get("fsdp_plugin") is not None:
            self.distributed_type = DistributedType.FSDP

    AcceleratorState.__init__ = init


if __name__ == "__main__":
    offer_fsdp_on_cpus()
    for command in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        ended = gcsl(*command)
        if ended.code:
            sys.exit(f"{command}: {ended.err}")
