"""Memory of a training step, from the sizes of a model and of its largest forward pass (docs/large_models.md).

Activations are counted for decoders with gated feed-forward layers, as in Llama, Qwen and Mistral. What autograd keeps
of a layer was read off with saved-tensor hooks, in float32 and under bfloat16 autocast, for full training and for LoRA.
"""

from dataclasses import dataclass
from typing import Any

NF4_BITS = {False: 4.5, True: 4.127}
"""Bits per parameter without and with double quantization: 4, and a constant for every 64 (QLoRA, section 3)."""
TILE_TOKENS, TILE_VOCABULARY = 4096, 32768
"""TRL computes logits in tiles of at most this size."""
TILES = {"cpu": 8}
"""Tiles that exist at the same time, by device. On GPUs a Triton kernel works within one."""
LINEAR_LAYERS = 7
"""In a layer: queries, keys, values, output, gate, up, down. LoRA is taken to adapt all of them."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Widths of a model."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    queries: int
    """Width of the queries, of all heads together."""
    keys: int
    """Width of the keys; the values have the same."""
    vocabulary: int
    normed_heads: bool = False
    """Queries and keys are normalized, as in Qwen3."""

    @staticmethod
    def of(config: Any, *, normed_heads: bool) -> "Sizes | None":
        """Read the text config of a model; `None` for an architecture whose activations are not known."""
        experts = any(getattr(config, name, None) for name in ("num_experts", "num_local_experts", "n_routed_experts"))
        needed = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
        if experts or any(not isinstance(getattr(config, name, None), int) for name in needed):
            return None
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return Sizes(
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            intermediate=config.intermediate_size,
            heads=config.num_attention_heads,
            queries=config.num_attention_heads * width,
            keys=config.num_key_value_heads * width,
            vocabulary=config.vocab_size,
            normed_heads=normed_heads,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """The largest forward pass."""

    sequences: int
    longest: int
    """Tokens of the longest sequence, to which the others are padded."""
    supervised: int
    """Tokens that the loss counts."""

    @property
    def tokens(self) -> int:
        """All tokens, with padding."""
        return self.sequences * self.longest


@dataclass(frozen=True, slots=True)
class Setup:
    """What else decides the memory of a step."""

    parameters: int
    """Of the base model."""
    linear: int
    """Of these, the ones in linear layers other than the head, which 4 bits would hold."""
    adapter: int
    """Of the adapter; 0: full fine-tuning."""
    rank: int = 0
    quantized: bool = False
    double_quant: bool = True
    bf16: bool = False
    checkpointing: bool = False
    attention: str = "sdpa"
    passes: int = 1
    """Forward passes per optimizer step."""
    reference: bool = False
    """A frozen copy of the whole model is held too."""
    device: str = "cpu"

    @property
    def full(self) -> bool:
        """All weights are trained."""
        return self.adapter == 0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, by what holds them."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    peak: int
    """The most that exists at the same time."""


def memory(sizes: Sizes, setup: Setup, batch: Batch) -> Memory:
    """Estimate the memory of a training step."""
    frozen = 2 if setup.bf16 else 4
    trained = setup.parameters if setup.full else setup.adapter
    held = setup.linear * NF4_BITS[setup.double_quant] / 8 if setup.quantized else setup.linear * frozen
    # TRL holds the adapter of a quantized base in bfloat16.
    size = 2 if setup.quantized else 4
    weights = trained * size if setup.full else held + (setup.parameters - setup.linear) * frozen + trained * size
    if setup.full and setup.bf16:
        weights += 2 * setup.linear  # autocast keeps bfloat16 copies until the end of the backward pass
    if setup.reference:
        weights += setup.parameters * frozen
    gradients, optimizer = trained * size, 2 * trained * size
    tile = min(batch.supervised, TILE_TOKENS) * min(sizes.vocabulary, TILE_VOCABULARY)
    head = sizes.vocabulary * sizes.hidden * 4 if setup.full else 0
    logits = tile * 4 * TILES.get(setup.device, 1) + head
    activations = _activations(sizes, setup, batch)
    # Gradients grow while activations are freed, unless they have been there since the pass before.
    passing = activations + logits
    step = passing + gradients if setup.passes > 1 else max(passing, gradients)
    peak = weights + optimizer + step
    return Memory(round(weights), gradients, optimizer, activations, logits, round(peak))


def _activations(sizes: Sizes, setup: Setup, batch: Batch) -> int:
    """Bytes that are kept for the backward pass."""
    layer = layer_bytes(sizes, setup, batch.longest)
    stream = sizes.hidden * (2 if setup.bf16 and not setup.full else 4)
    kept = sizes.layers * stream + layer if setup.checkpointing else sizes.layers * layer
    # The input of the last norm, its output, and the gradient of a layer's output.
    return batch.tokens * (kept + 3 * stream)


def layer_bytes(sizes: Sizes, setup: Setup, longest: int) -> int:
    """Bytes per token that autograd keeps of one layer, for sequences of `longest` tokens with a mask."""
    full, autocast = setup.full, setup.bf16
    size = 2 if autocast else 4
    between = sizes.queries + sizes.keys if sizes.normed_heads else 0
    # Norms compute in float32: their inputs, and what trained scales are multiplied with.
    norms = 4 * (2 * sizes.hidden + between) + (4 * 2 * sizes.hidden + size * between if full else 0)
    # Queries, keys and values, repeated for every head under a mask, and the output, which is an input of a product.
    repeated = sizes.keys if setup.attention in ("flash_attention_2", "flex_attention") else sizes.queries
    heads = 2 * sizes.queries + 2 * repeated
    # Under autocast every product keeps a bfloat16 copy of its input, without it all share one.
    inputs = 5 * sizes.hidden if autocast else 2 * sizes.hidden
    adapters = 0 if full else LINEAR_LAYERS * setup.rank + (sizes.queries if autocast else 0)
    scores = {"sdpa": size * longest, "eager": sizes.heads * longest * (6 if autocast else 4)}
    return norms + size * (inputs + heads + 4 * sizes.intermediate + adapters) + scores.get(setup.attention, 0)
