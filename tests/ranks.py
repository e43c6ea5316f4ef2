"""One rank of several: run command lines one after the other, as a launcher starts them in each process.

python -m torch.distributed.run --standalone --nproc-per-node 2 -m tests.ranks commands.json
"""

import json
import sys
from pathlib import Path

from tests.commands import gcsl

if __name__ == "__main__":
    for command in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        ended = gcsl(*command)
        if ended.code:
            sys.exit(f"{command}: {ended.err}")
