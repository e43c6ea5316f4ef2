"""The schema of every config: Hydra checks overrides against it before any work starts.

The nodes `task`, `method` and `scorer` are missing here: each is a dataclass in its own module, whose fields are its
schema (see `tasks/base.py`, `methods/base.py` and `scorers/base.py`). The keys are explained in `conf/`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gcsl_cli.configs.choices import (
    AFTER_PROMPT,
    DEFAULT_MIX,
    Attention,
    EvaluationSplit,
    Pairing,
    Precision,
    RoundStart,
    SamplingBackend,
    SharedPrefix,
    Strategy,
    TooLong,
)
from gcsl_cli.configs.goal_schema import GoalConfig


@dataclass
class ModelConfig:
    """The pretrained model to start from."""

    name: str = "???"
    uri: str = "???"
    sha256: str | None = None
    revision: str | None = None


@dataclass
class AdapterConfig:
    """Full fine-tuning (`none`), LoRA, or LoRA on a 4-bit base (`qlora`)."""

    name: str = "none"
    learning_rate: float = 1e-4
    preference_learning_rate: float = 1e-5
    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    target_modules: Any = "all-linear"
    use_dora: bool = False
    use_rslora: bool = False
    init: str = "default"
    double_quant: bool = True
    compute_dtype: Precision = Precision.auto

    @property
    def quantized(self) -> bool:
        """True if the base is held in 4 bits during training."""
        return self.name == "qlora"

    @property
    def changes_base(self) -> bool:
        """True if the initialization moves a part of the base's weights into the adapter."""
        return self.name != "none" and self.init.startswith(("pissa", "olora"))

    @property
    def drops(self) -> bool:
        """True if the adapter uses dropout, which differs from row to row."""
        return self.name != "none" and self.dropout > 0


@dataclass
class BudgetConfig:
    """Length of training: at most one key is set, and none means one epoch. Padding tokens do not count."""

    epochs: float | None = None
    tokens: int | None = None
    supervised_tokens: int | None = None
    seconds: float | None = None


@dataclass
class TrainConfig:
    """Optimization."""

    budget: BudgetConfig = field(default_factory=BudgetConfig)
    max_steps: int | None = None
    score_below: float | None = None
    batch_size: int = 16
    micro_batch_size: int | None = None
    tokens_per_batch: int | None = None
    batches_per_step: int = 1
    rows_per_prompt: int = 1
    shared_prefix: SharedPrefix = SharedPrefix.auto
    learning_rate: float = 1e-4
    control_token_learning_rate: float | None = None
    lr_schedule: str = "linear"
    warmup_steps: int = 10
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int | None = 512
    too_long: TooLong = TooLong.error
    precision: Precision = Precision.auto
    gradient_checkpointing: Any = "auto"
    attention: Attention = Attention.auto
    liger: bool = False
    checkpoint_every: int = 200
    keep_checkpoints: int = 1
    log_every: int = 10
    validate_every: int | None = None
    validation_rows: int = 128
    report_to: list[str] = field(default_factory=list)


@dataclass
class DistributedConfig:
    """The processes that train one run."""

    strategy: Strategy = Strategy.ddp
    processes: Any = None
    fsdp: dict[str, Any] = field(default_factory=dict)
    zero: dict[str, Any] = field(default_factory=dict)


@dataclass
class ExportConfig:
    """What a trained model is saved as."""

    merged: bool = True


@dataclass
class StopConfig:
    """When rounds end before the last."""

    gain: float | None = None
    divergence: float | None = None


@dataclass
class RoundsConfig:
    """Rounds of feedback: after the first, the trained policy is sampled, graded and trained on."""

    count: int = 1
    mix: Any = None
    guidance: float = 2.0
    keep: Any = "all"
    extend: bool = False
    start: RoundStart = RoundStart.base
    stop: StopConfig = field(default_factory=StopConfig)

    @property
    def shares(self) -> dict[str, float]:
        """The share of each goal among the completions that a later round samples."""
        return dict(DEFAULT_MIX if self.mix is None else self.mix)

    @property
    def kept(self) -> int | None:
        """The number of newest rounds whose feedback is used; `None` for all."""
        return {"all": None, "last": 1}.get(self.keep, self.keep)

    @property
    def stops(self) -> bool:
        """True if a round may be the last although more are configured."""
        return self.stop.gain is not None or self.stop.divergence is not None


@dataclass
class VllmConfig:
    """Where vLLM is installed, and options of its engine."""

    python: str | None = None
    any_version: bool = False
    engine: dict[str, Any] = field(default_factory=dict)


@dataclass
class GenerationConfig:
    """Sampling: the goal to ask for, guidance and decoding."""

    target: Any = None
    guidance: Any = 0.0
    against: Any = "worst"
    samples: int = 4
    split: EvaluationSplit = EvaluationSplit.test
    prompts: int | None = None
    max_new_tokens: int = 20
    temperature: float = 1.0
    top_p: float = 0.9
    batch_size: int = 256
    shard_prompts: int = 64
    seed: int = 0
    backend: SamplingBackend = SamplingBackend.hf
    vllm: VllmConfig = field(default_factory=VllmConfig)

    @property
    def weights(self) -> dict[str, float]:
        """The weights of guidance other than 0: of all parts of the goal together, named "", or of single parts."""
        given = self.guidance if isinstance(self.guidance, Mapping) else {"": self.guidance}
        return {str(name): float(weight) for name, weight in given.items() if weight}

    @property
    def backend_keys(self) -> dict[str, Any]:
        """What the backend adds to the identity of completions: nothing for transformers, the first one there was."""
        if self.backend is SamplingBackend.hf:
            return {}
        return {"backend": str(self.backend), **({"engine": self.vllm.engine} if self.vllm.engine else {})}


@dataclass
class EvaluationConfig:
    """What is evaluated, and how."""

    base: bool = True
    generations: bool = True
    levels: Any = field(default_factory=lambda: ["worst", "best"])
    divergence: bool = False
    discrimination_rows: int = 200
    discrimination_cut: float | None = None
    bootstrap: int = 2000
    seed: int = 0
    examples: int = 12
    unmask: bool = False


@dataclass
class Config:
    """The complete config of one run."""

    task: Any = "???"
    goal: GoalConfig = field(default_factory=GoalConfig)
    method: Any = "???"
    scorer: Any = None
    second_scorer: Any = None
    model: ModelConfig = field(default_factory=ModelConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    rounds: RoundsConfig = field(default_factory=RoundsConfig)
    distributed: DistributedConfig = field(default_factory=DistributedConfig)
    seed: int = 0
    run: str | None = None
    runs_dir: str = "runs"
    force: bool = False
    dry_run: bool = False
    allow_custom_code: bool = False

    @property
    def in_rounds(self) -> bool:
        """True if the policy is sampled and trained again."""
        return self.rounds.count > 1

    @property
    def measures_divergence(self) -> bool:
        """True if evaluations measure how far the trained model is from the base model."""
        return self.in_rounds or self.evaluation.divergence

    @property
    def score_names(self) -> list[str]:
        """The scores that the goal can have as parts; empty if rows have one score, or there is no goal."""
        # Only the stages require that the task is a Task.
        named = getattr(self.task, "score_names", None)
        return [] if named is None or not self.method.uses_goals else list(named())

    @property
    def part_names(self) -> list[str]:
        """The scores that are parts of the goal; empty if it has one score, or none."""
        names = self.score_names
        return names if self.goal.parts.names is None else [name for name in names if name in self.goal.parts.names]

    @property
    def pairing(self) -> Pairing:
        """The pairing of the run: goals with several parts are sampled, since their combinations multiply."""
        return Pairing.sample if self.part_names else self.goal.paired

    @property
    def pairs_together(self) -> bool:
        """True if the goals of a row are consecutive in the plan, so that they could share its prompt."""
        return self.method.uses_goals and self.pairing is Pairing.all and self.goal.placement in AFTER_PROMPT

    @property
    def misses_goals(self) -> bool:
        """True if rows are also trained to be unlikely under a goal that they miss."""
        return bool(self.method.uses_goals and self.goal.missed.weight)

    @property
    def rows_together(self) -> int:
        """Maximum number of consecutive rows of one prompt in the plan."""
        return self.train.rows_per_prompt if self.method.plans_batches else 1

    @property
    def together(self) -> bool:
        """True if rows that could share a prompt are consecutive in the plan."""
        copies_share = self.misses_goals and self.goal.placement in AFTER_PROMPT
        return self.pairs_together or copies_share or self.rows_together > 1

    @property
    def shares_prompts(self) -> bool:
        """True if rows with a common prefix are packed into one sequence, provided that the model allows it."""
        return self.together and self.train.shared_prefix is not SharedPrefix.off and not self.adapter.drops
