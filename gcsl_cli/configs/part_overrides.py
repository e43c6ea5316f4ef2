"""Settings of single parts on the command line: `generation.target.helpfulness=best generation.target.verbosity=1`.

A target is one key, which may hold a mapping, so these lines are gathered into
`generation.target={helpfulness: best, verbosity: 1}`. Sweeps are multiplied.
"""

import re
from collections.abc import Sequence
from itertools import product

PARTS = ("goal.parts.levels", "goal.parts.templates", "goal.parts.sentences")
KEYS = ("goal.target", "generation.target", "generation.guidance", "generation.against", *PARTS)
_LINE = re.compile(rf"\+{{0,2}}({'|'.join(map(re.escape, KEYS))})\.([A-Za-z_][\w-]*)=(.+)")

_ALTERNATIVE = re.compile(r"""(?:\[[^\]]*\]|\{[^}]*\}|"[^"]*"|'[^']*'|[^,])+""")


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


def _mappings(settings: dict[str, str]) -> list[str]:
    choices = [_alternatives(value) for value in settings.values()]
    return [
        "{" + ",".join(f"{name}:{value}" for name, value in zip(settings, values, strict=True)) + "}"
        for values in product(*choices)
    ]


def _alternatives(value: str) -> list[str]:
    """The values of a sweep: split at the commas that stand neither in brackets nor in quotes."""
    return _ALTERNATIVE.findall(value)
