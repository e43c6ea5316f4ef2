"""Enums for config values."""

from enum import StrEnum


class Formulation(StrEnum):
    """How the score of a row determines its goal."""

    threshold = "threshold"
    exact = "exact"
    none = "none"


class Wording(StrEnum):
    """How a goal is written in the prompt."""

    language = "language"
    token = "token"
    number = "number"


class Placement(StrEnum):
    """Where the goal is placed."""

    before_prompt = "before_prompt"
    after_prompt = "after_prompt"
    system = "system"
    assistant_prefix = "assistant_prefix"
    role = "role"


class Pairing(StrEnum):
    """Which of the levels that a row reaches become its goals."""

    auto = "auto"
    all = "all"
    sample = "sample"


class PairingWeight(StrEnum):
    """How much weight a row with several goals gets: one per goal, or one in total."""

    pairs = "pairs"
    rows = "rows"


class MissedLevel(StrEnum):
    """Under which of the goals that a row misses it is trained to be unlikely."""

    best = "best"
    sample = "sample"


class Strategy(StrEnum):
    """How several processes share a model."""

    ddp = "ddp"
    fsdp2 = "fsdp2"
    zero3 = "zero3"

    @property
    def shards(self) -> bool:
        """True if each process has only a part of the model."""
        return self is not Strategy.ddp


class SharedPrefix(StrEnum):
    """Whether rows with a common prefix are packed into one sequence."""

    auto = "auto"
    on = "on"
    off = "off"


class Balance(StrEnum):
    """How the batch plan samples rows."""

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
    """Which rows a quantile is computed over."""

    dataset = "dataset"
    prompt = "prompt"


class EvaluationSplit(StrEnum):
    """Which held-out prompts are evaluated."""

    test = "test"
    validation = "validation"


class SamplingBackend(StrEnum):
    """The library that samples completions."""

    hf = "hf"
    vllm = "vllm"


class RoundStart(StrEnum):
    """The model that a later round trains."""

    base = "base"
    last = "last"


class TooLong(StrEnum):
    """What happens to rows whose prompt leaves no room for a completion."""

    error = "error"
    skip = "skip"
    cut_prompt = "cut_prompt"


class Precision(StrEnum):
    """Numeric precision of training."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Attention(StrEnum):
    """Attention implementation of training, as transformers names it; `auto` is its choice."""

    auto = "auto"
    sdpa = "sdpa"
    eager = "eager"
    flash_attention_2 = "flash_attention_2"
    flex_attention = "flex_attention"


AFTER_PROMPT = (Placement.after_prompt, Placement.assistant_prefix)
"""Placements with which the goals of one row share the prompt in front of them."""
DEFAULT_MIX = {"best": 0.5, "guided": 0.25, "lower": 0.25}
"""Shares of the goals that later rounds sample under: the best, the best with guidance, and all lower levels."""
