"""The schema of the node `goal`: levels, wording, placement, and goals that rows miss."""

from dataclasses import dataclass, field
from typing import Any

from gcsl_cli.configs.choices import (
    AFTER_PROMPT,
    Balance,
    Formulation,
    LevelRule,
    LevelScope,
    MissedLevel,
    Pairing,
    PairingWeight,
    Placement,
    Wording,
)


@dataclass
class LevelsConfig:
    """How the levels are chosen."""

    by: LevelRule = LevelRule.auto
    per: LevelScope = LevelScope.dataset
    quantiles: list[float] = field(default_factory=lambda: [0.0, 0.2, 0.4, 0.6, 0.8])
    values: list[float] = field(default_factory=list)


@dataclass
class MissedConfig:
    """The loss on goals that a row misses."""

    weight: float = 0.0
    margin: float = 1.0
    level: MissedLevel = MissedLevel.best
    gap: float | None = None


@dataclass
class PartsConfig:
    """Goals with several parts, where rows have several scores."""

    names: list[str] | None = None
    levels: Any = None
    templates: Any = None
    sentences: Any = None
    template: str | None = None
    frame: str | None = None
    join: str | None = None
    dropout: float = 0.25


@dataclass
class GoalConfig:
    """What the model is asked to reach, and how the goal is written into the prompt."""

    formulation: Formulation = Formulation.threshold
    wording: Wording = Wording.language
    tokens: int = 1
    placement: Placement = Placement.before_prompt
    pairing: Pairing = Pairing.auto
    pairing_weight: PairingWeight = PairingWeight.pairs
    balance: Balance = Balance.levels
    levels: LevelsConfig = field(default_factory=LevelsConfig)
    sentences: list[str] | None = None
    template: str | None = None
    separator: str | None = None
    weights: list[float] | None = None
    dropout: float = 0.0
    missed: MissedConfig = field(default_factory=MissedConfig)
    parts: PartsConfig = field(default_factory=PartsConfig)
    target: Any = "best"

    @property
    def paired(self) -> Pairing:
        """The pairing, with `auto` resolved: all levels if the goals of a row can share its prompt, else one."""
        if self.pairing is not Pairing.auto:
            return self.pairing
        several = self.formulation is Formulation.threshold and self.levels.by is not LevelRule.raw
        return Pairing.all if several and self.placement in AFTER_PROMPT else Pairing.sample
