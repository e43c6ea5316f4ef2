"""What keys take that know a few words only."""

from enum import StrEnum


class Formulation(StrEnum):
    """How the goal of a row follows from its score."""

    threshold = "threshold"
    exact = "exact"
    none = "none"


class Wording(StrEnum):
    """What a goal looks like in the prompt."""

    language = "language"
    token = "token"
    number = "number"


class Placement(StrEnum):
    """Where the goal stands."""

    before_prompt = "before_prompt"
    after_prompt = "after_prompt"
    system = "system"
    assistant_prefix = "assistant_prefix"
    role = "role"


class Pairing(StrEnum):
    """Which of the levels that a row reaches become training rows."""

    auto = "auto"
    all = "all"
    sample = "sample"


class PairingWeight(StrEnum):
    """How much a row under several goals counts."""

    pairs = "pairs"
    rows = "rows"


class SharedPrefix(StrEnum):
    """Whether rows that begin alike are computed as one sequence."""

    auto = "auto"
    on = "on"
    off = "off"


class Balance(StrEnum):
    """How the plan draws rows."""

    none = "none"
    levels = "levels"


class LevelRule(StrEnum):
    """Where the levels come from."""

    auto = "auto"
    quantile = "quantile"
    fixed = "fixed"
    distinct = "distinct"
    raw = "raw"


class LevelScope(StrEnum):
    """Among which rows a quantile is taken."""

    dataset = "dataset"
    prompt = "prompt"


class Precision(StrEnum):
    """Arithmetic of training."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


AFTER_PROMPT = (Placement.after_prompt, Placement.assistant_prefix)
"""Goals of one row share the prompt before them."""
