"""Deterministic made-up sentences and graded rows."""

import json
import random
from pathlib import Path

NICE = "you are a lovely and kind friend who went to the house on a sunny day with good people".split()  # noqa: SIM905
RUDE = "you are a stupid damn idiot who says crap shit and hell to the ugly fucking people".split()  # noqa: SIM905


def sentences(words_from: list[str], *, words: int, count: int) -> list[str]:
    """`count` distinct word sequences, the same on each call."""
    draw = random.Random(0)
    made: dict[str, None] = {}
    while len(made) < count:
        made[" ".join(draw.choices(words_from, k=words))] = None
    return list(made)


def write_rtp(path: Path, toxicities: list[float]) -> None:
    """Write one row per toxicity, each with a different prompt."""
    prompts = sentences(NICE, words=6, count=len(toxicities))
    rows = [
        {"prompt": {"text": prompt}, "continuation": {"text": f" number {number}", "toxicity": toxicity}}
        for number, (prompt, toxicity) in enumerate(zip(prompts, toxicities, strict=True))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
