"""How much memory training needs, and which settings to change if the device has too little: a part of the dry run."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gcsl_cli.configs.choices import Attention
from gcsl_cli.methods.base import Method
from gcsl_cli.models.attention import attention_of
from gcsl_cli.models.loading import device, train_in_bf16
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.planning.plan import batching
from gcsl_cli.stages.trainer import checkpointing, peft_config
from gcsl_cli.training.branches import branched
from gcsl_cli.training.examples import Examples
from gcsl_cli.training.memory import Batch, Memory, Setup, Sizes, memory
from gcsl_cli.training.micro_batches import packed_rows
from gcsl_cli.training.plan import Plan

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTERS = ("none", "lora", "qlora")
"""By the memory that they need, the most first."""
GIB = 2**30
MIB = 2**20


def memory_lines(experiment: Experiment, batch: Batch) -> list[list[str]]:
    """Label and value pairs: the memory of training, and whether the device has it; if not, what to change."""
    sizes, setup = sizes_of(experiment), setup_of(experiment)
    if sizes is None:
        kind = experiment.model_config.model_type
        size = setup.parameters * (16 if setup.full else 2 if setup.bf16 else 4)
        return [["memory", f"at least {shown(size)}; activations of {kind} are not estimated"]]
    needed = memory(sizes, setup, batch)
    free, place = free_memory()
    parts = ("weights", "gradients", "optimizer", "activations", "logits")
    text = ", ".join(f"{name} {shown(getattr(needed, name))}" for name in parts)
    at = f"forward passes of up to {batch.sequences} x {batch.longest} tokens"
    lines = [["memory", f"about {shown(needed.peak)} at the peak ({text}), with {at}"]]
    if needed.peak <= free:
        return [*lines, ["device", f"{place} has {shown(free)} free: enough"]]
    fitting = next((keys for keys, fits in _changes(experiment, sizes, setup, batch) if fits.peak <= free), None)
    advice = f"try {fitting}" if fitting else "no setting makes it fit; use a smaller model or a larger device"
    return [*lines, ["device", f"{place} has {shown(free)} free: too little; {advice}"]]


def shown(size: float) -> str:
    """`3.2 GiB`, `120 MiB`."""
    return f"{size / GIB:.1f} GiB" if size >= GIB / 10 else f"{size / MIB:.0f} MiB"


def largest_batch(examples: Examples, plan: Plan, share: float | None) -> Batch:
    """The forward pass with the most tokens, padding included; rows are packed as in training."""
    in_sequence = np.bincount(plan.sequence, weights=plan.tokens)

    def padded(batch: slice) -> float:
        sequences = np.unique(plan.sequence[batch])
        return float(len(sequences) * in_sequence[sequences].max())

    chosen = max(plan.micro_batches(), key=padded)
    rows, number, _, _ = packed_rows(examples, plan, chosen, share)
    lengths = [len(row.input_ids) for row in rows]
    if share is not None:
        lengths = [sequence.tokens for sequence in branched(rows, number, share)]
    return Batch(len(lengths), max(lengths), sum(row.completion_tokens for row in rows))


def assumed_batch(experiment: Experiment) -> Batch:
    """The largest forward pass there could be, for rows that do not exist yet."""
    train = experiment.config.train
    longest = min(length for length in (train.max_length, experiment.context, 2**20) if length is not None)
    if train.tokens_per_batch:
        return Batch(max(1, train.tokens_per_batch // longest), longest, train.tokens_per_batch)
    rows = batching(train).micro_batch_size
    return Batch(rows, longest, rows * longest)


def sizes_of(experiment: Experiment) -> Sizes | None:
    """Widths of the model; `None` for an architecture whose activations are not known."""
    normed = any(name.endswith("q_norm") for name, _ in experiment.skeleton.named_modules())
    return Sizes.of(experiment.model_config.get_text_config(), normed_heads=normed)


def setup_of(experiment: Experiment) -> Setup:
    """The settings that decide the memory of a step."""
    config = experiment.config
    attention = config.train.attention
    return Setup(
        parameters=experiment.parameters,
        linear=_linear(experiment.skeleton),
        adapter=_adapter(experiment),
        rank=config.adapter.r,
        quantized=config.adapter.quantized,
        double_quant=config.adapter.double_quant,
        bf16=train_in_bf16(str(config.train.precision)),
        checkpointing=checkpointing(experiment),
        attention=attention_of(experiment.skeleton.config) if attention is Attention.auto else str(attention),
        passes=batching(config.train).passes,
        reference=_holds_reference(config.method, config.adapter.name),
        device=device(),
    )


def _holds_reference(method: Method, adapter: str) -> bool:
    return method.uses_reference and adapter == "none"


def _linear(model: "PreTrainedModel") -> int:
    import torch

    head = model.get_output_embeddings()
    layers = (module for module in model.modules() if isinstance(module, torch.nn.Linear) and module is not head)
    return sum(layer.weight.numel() for layer in layers)


def _adapter(experiment: Experiment, name: str | None = None) -> int:
    """Number of parameters of the adapter, of another kind if `name` is given; 0 for full fine-tuning."""
    import torch
    from peft import get_peft_model

    adapter = replace(experiment.config.adapter, name=name or experiment.config.adapter.name, init="default")
    config = peft_config(adapter)
    if config is None:
        return 0
    with torch.device("meta"):
        model = get_peft_model(copy.deepcopy(experiment.skeleton), config)
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def _changes(experiment: Experiment, sizes: Sizes, setup: Setup, batch: Batch) -> Iterator[tuple[str, Memory]]:
    """Settings that need less memory, the cheapest in time first, and the memory that they need."""
    asked = experiment.config.adapter.name
    for name in ADAPTERS[ADAPTERS.index(asked) :]:
        changed = setup
        if name != asked:
            rank, size = experiment.config.adapter.r, _adapter(experiment, name)
            changed = replace(setup, adapter=size, rank=rank, quantized=name == "qlora", reference=False)
        named = [] if name == asked else [f"adapter={name}"]
        for recomputed in sorted({setup.checkpointing, True}):
            keys = named + (["train.gradient_checkpointing=true"] if recomputed and not setup.checkpointing else [])
            for key, part, passes in _smaller(experiment, batch):
                tried = replace(changed, checkpointing=recomputed, passes=passes)
                yield " ".join([*keys, *key]), memory(sizes, tried, part)


def _smaller(experiment: Experiment, batch: Batch) -> Iterator[tuple[list[str], Batch, int]]:
    """Keys for smaller forward passes, the largest first, with the pass and the number of passes per step."""
    train = experiment.config.train
    now = batching(train)
    yield [], batch, now.passes
    if train.tokens_per_batch:
        for times in (2, 4, 8, 16):
            tokens, passes = train.tokens_per_batch // times, train.batches_per_step * times
            part = replace(batch, sequences=max(1, batch.sequences // times), supervised=batch.supervised // times)
            yield [f"train.tokens_per_batch={tokens}", f"train.batches_per_step={passes}"], part, passes
        return
    for rows in range(now.micro_batch_size - 1, 0, -1):
        if train.batch_size % rows == 0:
            share = rows / now.micro_batch_size
            part = Batch(max(1, round(batch.sequences * share)), batch.longest, round(batch.supervised * share))
            yield [f"train.micro_batch_size={rows}"], part, train.batch_size // rows


def free_memory() -> tuple[float, str]:
    """Free memory of the device that training would use, in bytes, and the device's name."""
    import psutil
    import torch

    if device() == "cuda":
        return float(torch.cuda.mem_get_info()[0]), torch.cuda.get_device_name()
    return float(psutil.virtual_memory().available), f"this machine ({device()})"
