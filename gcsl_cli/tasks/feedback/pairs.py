r"""Preference pairs: a row with a chosen and a rejected completion becomes two graded rows.

TRL           {"prompt": "Name a cat.", "chosen": "Minka.", "rejected": "Cat."}
conversations {"chosen": [{"role": "user", ...}, {"role": "assistant", ...}], "rejected": [...], "score_chosen": 8.0}
Anthropic HH  {"chosen": "\n\nHuman: Name a cat.\n\nAssistant: Minka.", "rejected": "..."}
"""

import re
from collections.abc import Iterator
from typing import Any

from gcsl_cli.data.input_files import Row

GRADES = {"chosen": 1.0, "rejected": 0.0}
_SPEAKERS = re.compile(r"\n\n(Human|Assistant): ?")


def is_pair(row: Row) -> bool:
    """Whether a row has a chosen and a rejected completion."""
    return all(name in row for name in GRADES)


def apart(row: Row) -> Iterator[Row]:
    """The chosen and the rejected completion as rows; graded by their `score_...` if they have any."""
    others = {name: value for name, value in row.items() if name.removeprefix("score_") not in GRADES}
    for name, grade in GRADES.items():
        held = _completion(row[name])
        yield {**others, held[0]: held[1], "score": row.get(f"score_{name}", grade)}


def _completion(value: Any) -> tuple[str, Any]:
    """The column of a completion, and its value: a conversation that ends with it, or itself."""
    if isinstance(value, str) and _SPEAKERS.match(value):
        speakers, texts = (_SPEAKERS.split(value)[start::2] for start in (1, 2))
        pairs = zip(speakers, texts, strict=True)
        return "messages", [{"role": speaker.lower(), "content": text} for speaker, text in pairs]
    return ("messages" if isinstance(value, list) and len(value) > 1 else "completion"), value
