"""From a config to a trainer: the model as training starts from it, optimizer settings, and a measured speed."""

import logging
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcsl_cli.configs.choices import Attention, Precision, Strategy
from gcsl_cli.configs.goal_checks import shown
from gcsl_cli.configs.schema import AdapterConfig, Config
from gcsl_cli.errors import ConfigError, listed
from gcsl_cli.goals.control_tokens import extend_model
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.goals.wording import control_tokens
from gcsl_cli.methods.base import TrainerInputs
from gcsl_cli.models.attention import check_attention
from gcsl_cli.models.kernels import check_liger
from gcsl_cli.models.loading import device, load_model, train_in_bf16
from gcsl_cli.models.quantization import check_bitsandbytes, check_unquantized, nf4
from gcsl_cli.runs import ranks
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.planning.plan import batching, possible_share
from gcsl_cli.training.examples import Examples
from gcsl_cli.training.negatives import MissedGoalLoss
from gcsl_cli.training.plan import Plan

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from transformers import PreTrainedModel

    from gcsl_cli.training.loop import MakeTrainer, TrainSettings

CHECKPOINTED_FROM = 1_000_000_000
"""Parameters from which `train.gradient_checkpointing=auto` is on."""
TRIAL_STEPS = 8
WARM_UP_STEPS = 2
"""Steps of the trial that are not timed: the first ones allocate memory."""

log = logging.getLogger("gcsl")


def check_setup(experiment: Experiment) -> None:
    """Reject what this machine or this model cannot train, before any work starts.

    Raises:
        ConfigError: the base is quantized, or the device or the model does not support a setting, or the model has no
            module of an adapter's name.
        DependencyError: a setting needs a package that is not installed.
    """
    config = experiment.config
    if config.adapter.quantized:
        check_bitsandbytes()
    check_unquantized(experiment.model_config, experiment.base_path, config.adapter.name)
    if attention := _attention(experiment):
        bf16 = train_in_bf16(str(config.train.precision))
        check_attention(experiment.model_config, attention, device=device(), bf16=bf16)
    if config.train.liger:
        check_liger(experiment.model_config, device=device())
    _check_modules(experiment)


def trained_base(experiment: Experiment, spec: GoalSpec, *, bf16: bool) -> "PreTrainedModel":
    """The model that training starts from: in bfloat16 or 4 bits where its weights are frozen."""
    import torch

    config = experiment.config
    quantization = None
    if config.adapter.quantized:
        chosen = config.adapter.compute_dtype
        compute_bf16 = bf16 if chosen is Precision.auto else train_in_bf16(str(chosen))
        compute = torch.bfloat16 if compute_bf16 else torch.float32
        quantization = nf4(compute, double=config.adapter.double_quant)
    dtype = base_dtype(frozen=config.adapter.name != "none", bf16=bf16)
    loading = {"attention": _attention(experiment), "quantization": quantization}
    # accelerate shards from the CPU, so that no GPU ever has the whole model.
    return starting_model(experiment, spec, dtype, on="cpu" if _sharded(config) else None, **loading)


def _attention(experiment: Experiment) -> str | None:
    chosen = experiment.config.train.attention
    return None if chosen is Attention.auto else str(chosen)


def starting_model(
    experiment: Experiment, spec: GoalSpec, dtype: "torch.dtype | None" = None, **loading: Any
) -> "PreTrainedModel":
    """The model to train, with embeddings for the goal's control tokens if its wording has them.

    `loading` are options of `load_model`.
    """
    model = load_model(experiment.start_path, dtype, **loading)
    if spec.wording == "token":
        tokenizer = experiment.prompter(spec).tokenizer
        extend_model(model, tokenizer, spec.texts, spec.words, untie=experiment.config.adapter.name != "none")
    return model


def control_ids(experiment: Experiment, spec: GoalSpec) -> list[int]:
    """Token ids of the goal's control tokens; empty for other wordings."""
    if spec.wording != "token":
        return []
    names = [name for text in spec.texts for name in control_tokens(text)]
    return [int(id_) for id_ in experiment.prompter(spec).tokenizer.convert_tokens_to_ids(names)]


def peft_config(adapter: AdapterConfig, trained_tokens: Sequence[int] = ()) -> "PeftConfig | None":
    """LoRA's settings, `None` for full fine-tuning; embeddings of `trained_tokens` are trained beside the adapter."""
    if adapter.name == "none":
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=adapter.r,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=adapter.target_modules if isinstance(adapter.target_modules, str) else [*adapter.target_modules],
        use_dora=adapter.use_dora,
        use_rslora=adapter.use_rslora,
        init_lora_weights=True if adapter.init == "default" else adapter.init,
        task_type="CAUSAL_LM",
        trainable_token_indices={"embed_tokens": list(trained_tokens)} if trained_tokens else None,
    )


def _check_modules(experiment: Experiment) -> None:
    """Check that the model has the modules that the adapter is for.

    Raises:
        ConfigError: it does not have one of them.
    """
    adapter, wanted = experiment.config.adapter, experiment.config.adapter.target_modules
    if adapter.name == "none" or wanted == "all-linear":
        return
    import torch
    from transformers.pytorch_utils import Conv1D

    kinds = (torch.nn.Linear, torch.nn.Embedding, Conv1D)
    modules = [name for name, module in experiment.skeleton.named_modules() if isinstance(module, kinds)]
    for pattern in [wanted] if isinstance(wanted, str) else [rf"(.*\.)?{re.escape(name)}" for name in wanted]:
        try:
            found = any(re.fullmatch(pattern, module) for module in modules)
        except re.error as error:
            raise ConfigError(f"adapter.target_modules={wanted}: not a regular expression ({error}).") from error
        if not found:
            names = sorted({module.rpartition(".")[2] for module in modules})
            raise ConfigError(
                f"adapter.target_modules={shown(wanted)}: the model has no such module. It has {listed(names)}. "
                "all-linear takes all that are linear."
            )


def base_dtype(*, frozen: bool, bf16: bool) -> "torch.dtype | None":
    """bfloat16 for frozen weights under bf16 autocast, where casting them at every step costs a third of it."""
    import torch

    return torch.bfloat16 if bf16 and frozen else None


def checkpointing(experiment: Experiment) -> bool:
    """Whether activations are recomputed in the backward pass."""
    chosen = experiment.config.train.gradient_checkpointing
    return experiment.parameters >= CHECKPOINTED_FROM if chosen == "auto" else bool(chosen)


def train_settings(experiment: Experiment) -> "TrainSettings":
    """The trainer's settings."""
    from gcsl_cli.training.loop import TrainSettings

    config, distributed, sharded = experiment.config.train, experiment.config.distributed, _sharded(experiment.config)
    return TrainSettings(
        learning_rate=config.learning_rate,
        lr_schedule=config.lr_schedule,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        bf16=train_in_bf16(str(config.precision)),
        gradient_checkpointing=checkpointing(experiment),
        liger=config.liger,
        checkpoint_every=config.checkpoint_every,
        keep_checkpoints=config.keep_checkpoints,
        log_every=config.log_every,
        validate_every=config.validate_every,
        report_to=list(config.report_to),
        seed=experiment.config.seed,
        accumulation=batching(config).passes // ranks.count(),
        fsdp=dict(distributed.fsdp) if sharded and distributed.strategy is Strategy.fsdp2 else None,
        zero=dict(distributed.zero) if sharded and distributed.strategy is Strategy.zero3 else None,
    )


def _sharded(config: Config) -> bool:
    """Return True if every process has only a part of the model."""
    return config.distributed.strategy.shards and ranks.count() > 1


def make_trainer(
    experiment: Experiment,
    spec: GoalSpec,
    examples: Examples,
    plan: Plan,
    settings: "TrainSettings",
    validation: tuple[Examples, Plan] | None = None,
) -> "tuple[MakeTrainer, float | None]":
    """The method's trainer over the planned examples, and the share of `possible_share`."""
    config, goal = experiment.config, experiment.config.goal
    adapter = peft_config(config.adapter, control_ids(experiment, spec))
    model = trained_base(experiment, spec, bf16=settings.bf16)
    share = possible_share(experiment, model, examples, plan)
    held_out = None if validation is None else validation[0].planned(validation[1])
    frozen = base_dtype(frozen=True, bf16=settings.bf16)
    reference = partial(load_model, experiment.start_path, frozen, attention=_attention(experiment))
    inputs = TrainerInputs(
        model=model,
        tokenizer=experiment.tokenizer,
        train=examples.planned(plan, share),
        validation=held_out,
        peft_config=adapter,
        micro_batch_size=batching(config.train).micro_batch_size,
        load_reference=reference if adapter is None else lambda: None,
        control_token_learning_rate=config.train.control_token_learning_rate,
        negative_loss=MissedGoalLoss(goal.missed.weight, goal.missed.margin) if config.misses_goals else None,
    )
    return experiment.method.trainer(inputs), share


def measured_speed(experiment: Experiment, spec: GoalSpec, examples: Examples, plan: Plan) -> float:
    """Processed tokens per second over the first steps of `plan`, which are trained and thrown away."""
    from gcsl_cli.training.loop import train_plan

    settings = replace(train_settings(experiment), report_to=[], checkpoint_every=plan.steps + 1)
    make, _ = make_trainer(experiment, spec, examples, plan, settings)
    watch = _Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        train_plan(make, plan, settings, Path(folder), watch, validated=False)
    speed = watch.speed()
    log.info("trial of %d steps: %.0f tokens/s", plan.steps, speed)
    return speed


class _Stopwatch:
    """Records when a progress bar would advance."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def advance(self, n: float = 1) -> None:
        self.seen.append((time.monotonic(), n))

    def speed(self) -> float:
        # The first entry is the progress of a checkpoint: nothing, at the start.
        timed = self.seen[1 + WARM_UP_STEPS :]
        return sum(tokens for _, tokens in timed) / (timed[-1][0] - self.seen[WARM_UP_STEPS][0])
