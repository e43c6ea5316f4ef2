"""Targets of single parts on the command line: `generation.target.helpfulness=best generation.target.verbosity=1`.

A target is one key, which may hold a mapping, so these lines are gathered into
`generation.target={helpfulness: best, verbosity: 1}`. Sweeps are multiplied.
"""

import re
from collections.abc import Sequence
from itertools import product

KEYS = ("goal.target", "generation.target", "generation.against")
_LINE = re.compile(rf"\+{{0,2}}({'|'.join(map(re.escape, KEYS))})\.([A-Za-z_][\w-]*)=(.+)")


def gathered(lines: Sequence[str]) -> list[str]:
    """The same lines, with those that set the target of one part gathered where the first of them stands."""
    targets: dict[str, dict[str, str]] = {}
    for line in lines:
        if match := _LINE.fullmatch(line.strip()):
            targets.setdefault(match[1], {})[match[2]] = match[3]
    found: list[str] = []
    for line in lines:
        match = _LINE.fullmatch(line.strip())
        if match is None:
            found.append(line)
        elif match[1] in targets:
            found.append(f"{match[1]}={','.join(_mappings(targets.pop(match[1])))}")
    return found


def _mappings(targets: dict[str, str]) -> list[str]:
    choices = [value.split(",") for value in targets.values()]
    return [
        "{" + ",".join(f"{name}:{value}" for name, value in zip(targets, values, strict=True)) + "}"
        for values in product(*choices)
    ]
