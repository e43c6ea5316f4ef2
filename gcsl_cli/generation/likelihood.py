"""Log-likelihoods of given completions: of separate rows, or of several rows whose common prefix is computed once."""

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.models.attention import attention_of
from gcsl_cli.models.prompting import EncodedRow
from gcsl_cli.training.branches import Branched, branched

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache, PreTrainedModel

TOKENS_PER_BATCH = 2048
CHECKED_ROWS = 8
"""Number of rows used to check that a model computes shared prefixes exactly."""
BRANCH_TOKENS = 384
"""Maximum tokens of all branches of a sequence. Attention scores between branches are computed and then masked, so many
branches are split into several sequences, which continue from the same cached prefix."""

log = logging.getLogger("gcsl")


def row_log_probs(
    model: "PreTrainedModel", rows: Sequence[EncodedRow], index: Ints, pad_id: int
) -> tuple[Floats, Ints]:
    """Compute the summed log-probability (nats) and token count of each row's completion, both `(rows,)`.

    Rows with the same `index` are adjacent; their common prefix is computed once if the model supports it.
    """
    pairs = [(row.prompt_ids, row.completion_ids) for row in rows]
    reason = unshared_reason(model, rows, index, pad_id)
    if reason is None:
        return shared_log_probs(model, pairs, index)
    if reason:
        log.warning("common prefixes are computed once per row: %s", reason)
    return completion_log_probs(model, pairs)


def unshared_reason(model: "PreTrainedModel", rows: Sequence[EncodedRow], index: Ints, pad_id: int) -> str | None:
    """Return the reason why rows of one `index` cannot share their prefix, based on the first few such rows.

    The result is `None` if they can, and empty if every row has a different index.
    """
    from gcsl_cli.training.shared_prefix import why_not_shared

    repeated = np.flatnonzero(np.diff(index) == 0)
    if not len(repeated):
        return ""
    chosen = np.flatnonzero(index == index[repeated[0]])[:CHECKED_ROWS]
    sequences = branched([rows[row] for row in chosen.tolist()], index[chosen], math.inf)
    return why_not_shared(model, [{"sequences": sequences}], pad_id)


def completion_log_probs(model: "PreTrainedModel", rows: Sequence[tuple[list[int], list[int]]]) -> tuple[Floats, Ints]:
    """Compute the summed log-probability (nats) and token count of each completion, both `(rows,)`.

    A row is (prompt ids, completion ids). An empty completion has log-probability 0 and 0 tokens.
    """
    import torch

    totals = np.zeros(len(rows))
    counts = np.array([len(completion) for _, completion in rows], dtype=np.int64)
    with torch.inference_mode():
        for chosen in _batches([len(prompt) + len(completion) for prompt, completion in rows]):
            batch = [rows[index] for index in chosen]
            totals[chosen] = _batch_log_probs(model, batch)
    return totals, counts


def score_completions(
    model: "PreTrainedModel",
    prompt: Sequence[int],
    completions: Sequence[Sequence[int]],
    goals: Sequence[Sequence[int]] | None = None,
) -> tuple[Floats, Ints]:
    """Score completions of one prompt, which is computed once: several candidates, or one text under several goals.

    `goals` are tokens between the prompt and each completion, which are not scored. The model, in evaluation mode, must
    support exact prefix sharing (`gcsl_cli.training.shared_prefix.why_not_shared`). Returns the summed log-probability
    (nats) and the token count of each completion, both `(completions,)`.
    """
    infixes = [()] * len(completions) if goals is None else goals
    rows = [([*prompt, *infix], list(completion)) for infix, completion in zip(infixes, completions, strict=True)]
    return shared_log_probs(model, rows, np.zeros(len(rows), dtype=np.int64))


def shared_log_probs(
    model: "PreTrainedModel", rows: Sequence[tuple[list[int], list[int]]], index: Ints
) -> tuple[Floats, Ints]:
    """Compute the same as `completion_log_probs`, computing the common prefix of adjacent rows of one `index` once."""
    import torch

    encoded = [
        EncodedRow(prompt + completion, len(prompt), truncated=False, retokenized=False) for prompt, completion in rows
    ]
    groups = branched(encoded, index, math.inf)
    parts = [_parts(group) for group in groups]
    ends = np.cumsum([len(group.rows) for group in groups], dtype=np.int64)
    row_indices = np.split(np.arange(len(rows)), ends[:-1])
    undivided = [number for number, group_parts in enumerate(parts) if len(group_parts) == 1]
    totals = np.zeros(len(rows))
    with torch.inference_mode():
        for batch in _batches([parts[number][0].tokens for number in undivided]):
            chosen = [undivided[index] for index in batch]
            log_probs = _branch_log_probs(model, [parts[number][0] for number in chosen])
            totals[np.concatenate([row_indices[number] for number in chosen])] = log_probs
        for number in set(range(len(groups))) - set(undivided):
            cache = _prefix_cache(model, groups[number])
            log_probs = np.concatenate([_branch_log_probs(model, [part], cache) for part in parts[number]])
            totals[row_indices[number]] = log_probs
    return totals, np.array([row.supervised for row in encoded], dtype=np.int64)


def _parts(group: Branched) -> list[Branched]:
    """Split a group into sequences with at most `BRANCH_TOKENS` branch tokens; a longer row gets its own sequence.

    If all rows have the same prompt, its last token is shared too.
    """
    common = len(group.rows) > 1 and len({row.input_ids[group.shared] for row in group.rows}) == 1
    shared = group.shared + common
    parts: list[list[EncodedRow]] = []
    room = 0
    for row in group.rows:
        tokens = len(row.input_ids) - shared
        if not parts or tokens > room:
            parts.append([])
            room = BRANCH_TOKENS
        parts[-1].append(row)
        room -= tokens
    return [Branched(tuple(rows), shared) for rows in parts]


def _prefix_cache(model: "PreTrainedModel", group: Branched) -> "DynamicCache | None":
    """Compute the KV cache of the shared tokens; `None` if the model cannot continue branches from a cache."""
    import torch
    from transformers import DynamicCache

    # Block masks (FlexAttention) cannot be restricted to the queries after the cache.
    if attention_of(model.config.get_text_config()) not in ("sdpa", "eager"):
        return None
    # Without a config the cache keeps all tokens in sliding-window layers too; branch masks apply the window.
    cache = DynamicCache()
    ids = torch.tensor([group.rows[0].input_ids[: group.shared]], device=model.device)
    model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    # Models without this kind of cache leave it empty.
    return cache if {layer.get_seq_length() for layer in cache.layers} == {group.shared} else None


def _branch_log_probs(
    model: "PreTrainedModel", sequences: Sequence[Branched], cache: "DynamicCache | None" = None
) -> Floats:
    """Log-probability of each row, in order; `cache` holds the first tokens of a single sequence."""
    import torch

    from gcsl_cli.training.micro_batches import IGNORED, PlanCollator

    batch = {key: value.to(model.device) for key, value in PlanCollator(0)([{"sequences": sequences}]).items()}
    labels, branches = batch.pop("labels"), batch.get("branches", torch.ones_like(batch["input_ids"]))
    counts = [len(sequence.rows) for sequence in sequences]
    totals = torch.zeros(sum(counts), dtype=torch.double, device=model.device)
    sequence, before = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
    if len(sequence):
        # A token is predicted by the token before it in its branch; the first of a branch by the last shared token.
        same = branches[:, 1:] == branches[:, :-1]
        shared = torch.tensor([sequence.shared for sequence in sequences], device=model.device)
        predicting = torch.where(same[sequence, before], before, shared[sequence] - 1)
        # The last token of a branch predicts nothing and is dropped.
        needed = (same | (branches[:, :-1] == 0)).any(dim=0).nonzero().squeeze(-1)
        # Logits are only computed at columns where some sequence predicts a supervised token.
        columns, column = torch.unique(torch.searchsorted(needed, predicting), return_inverse=True)
        logits = _logits(model, {key: value[:, needed] for key, value in batch.items()}, columns, cache).float()
        supervised = labels[sequence, before + 1]
        log_probs = logits[sequence, column, supervised] - logits.logsumexp(dim=-1)[sequence, column]
        first_rows = torch.tensor(np.cumsum([0, *counts[:-1]]), device=model.device)
        totals.index_add_(0, first_rows[sequence] + branches[sequence, before + 1] - 1, log_probs.double())
    return np.asarray(totals.cpu().numpy())


def _logits(
    model: "PreTrainedModel", batch: dict[str, "torch.Tensor"], columns: "torch.Tensor", cache: "DynamicCache | None"
) -> "torch.Tensor":
    """Compute logits at the given columns, `(sequences, columns, vocabulary)`; the cache is restored afterwards."""
    from gcsl_cli.training.shared_prefix import branch_masks

    cached = 0 if cache is None else cache.get_seq_length()
    inputs: dict[str, Any] = {"input_ids": batch["input_ids"][:, cached:], "attention_mask": batch["attention_mask"]}
    if "branches" in batch:
        masks = branch_masks(model.config.get_text_config(), batch["branches"], batch["position_ids"])
        inputs["attention_mask"] = _without_queries(masks, cached) if cached else masks
        inputs["position_ids"] = batch["position_ids"][:, cached:]
    if cache is not None:
        inputs["past_key_values"] = cache
    logits: torch.Tensor = model(**inputs, use_cache=cache is not None, logits_to_keep=columns - cached).logits
    if cache is not None:
        cache.crop(-inputs["input_ids"].shape[1])
    return logits


def _without_queries(masks: Any, count: int) -> Any:
    """Drop the first `count` query positions from four-dimensional masks."""
    if isinstance(masks, dict):
        return {kind: mask[:, :, count:] for kind, mask in masks.items()}
    return masks[:, :, count:]


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Batch row indices by similar length, with at most `TOKENS_PER_BATCH` padded tokens per batch."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if not batches or (len(batches[-1]) + 1) * lengths[index] > TOKENS_PER_BATCH:
            batches.append([])
        batches[-1].append(index)
    return batches


def _batch_log_probs(model: "PreTrainedModel", batch: Sequence[tuple[list[int], list[int]]]) -> Floats:
    import torch

    longest = max(len(prompt) + len(completion) for prompt, completion in batch)
    tail = max(len(completion) for _, completion in batch)
    if not tail:
        return np.zeros(len(batch))
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros(len(batch), longest, dtype=torch.long)
    supervised = torch.zeros(len(batch), tail, dtype=torch.bool)
    for index, (prompt, completion) in enumerate(batch):
        tokens = torch.tensor(prompt + completion)
        ids[index, longest - len(tokens) :] = tokens
        mask[index, longest - len(tokens) :] = 1
        supervised[index, tail - len(completion) :] = True
    ids, mask, supervised = (tensor.to(model.device) for tensor in (ids, mask, supervised))
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    # Completions are aligned on the right, so logits are only needed at the last positions.
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=tail + 1)
    log_probs = output.logits[:, :-1].float().log_softmax(dim=-1)
    chosen = log_probs.gather(-1, ids[:, -tail:, None]).squeeze(-1)
    return np.asarray(chosen.masked_fill(~supervised, 0.0).sum(dim=1).double().cpu().numpy())
