"""Log-likelihoods of given completions under a model: row by row, or several after one prompt that is computed once."""

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.models.prompting import EncodedRow
from gcsl_cli.training.branches import Branched, branched

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache, PreTrainedModel

TOKENS_PER_BATCH = 2048
CHECKED = 8
"""Rows on which a model is checked to compute shared prefixes exactly."""
BRANCH_TOKENS = 384
"""Tokens of the branches of a sequence. Attention is computed between branches too, though they do not see each other,
so many branches are several sequences, which go on from the same cached prompt."""


log = logging.getLogger("gcsl")


def row_log_probs(
    model: "PreTrainedModel", rows: Sequence[EncodedRow], index: NDArray[np.int64], pad_id: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Summed log-probability (nats) and token count of each row's completion, both `(rows,)`.

    Rows with the same `index` are neighbours; their common prefix is computed once if the model allows it.
    """
    texts = [(row.prompt_ids, row.completion_ids) for row in rows]
    reason = unshared_reason(model, rows, index, pad_id)
    if reason is None:
        return shared_log_probs(model, texts, index)
    if reason:
        log.warning("common prefixes are computed once per row: %s", reason)
    return completion_log_probs(model, texts)


def unshared_reason(
    model: "PreTrainedModel", rows: Sequence[EncodedRow], index: NDArray[np.int64], pad_id: int
) -> str | None:
    """Why rows of one `index` cannot share their prefix, tried on the first few; empty if all differ in index."""
    from gcsl_cli.training.shared_prefix import why_not_shared

    repeated = np.flatnonzero(np.diff(index) == 0)
    if not len(repeated):
        return ""
    chosen = np.flatnonzero(index == index[repeated[0]])[:CHECKED]
    sequences = branched([rows[place] for place in chosen.tolist()], index[chosen], math.inf)
    return why_not_shared(model, [{"sequences": sequences}], pad_id)


def completion_log_probs(
    model: "PreTrainedModel", rows: Sequence[tuple[list[int], list[int]]]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Summed log-probability (nats) and token count of each completion, both `(rows,)`.

    A row is (prompt ids, completion ids); an empty completion has log-probability 0 over 0 tokens.
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
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Log-likelihoods of completions of one prompt, which is computed once: candidates, or one text under many goals.

    The model has to be exact under branches (`gcsl_cli.training.shared_prefix.why_not_shared`).

    Args:
        model: in evaluation mode.
        prompt: token ids; at least one.
        completions: token ids of each, which are scored.
        goals: token ids between the prompt and each completion, which are not.

    Returns:
        Summed log-probability (nats) and token count of each completion, both `(completions,)`.
    """
    asked = [()] * len(completions) if goals is None else goals
    rows = [([*prompt, *goal], list(completion)) for goal, completion in zip(asked, completions, strict=True)]
    return shared_log_probs(model, rows, np.zeros(len(rows), dtype=np.int64))


def shared_log_probs(
    model: "PreTrainedModel", rows: Sequence[tuple[list[int], list[int]]], index: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What `completion_log_probs` gives, with the tokens computed once that neighbours of one `index` begin with."""
    import torch

    encoded = [EncodedRow(prompt + completion, len(prompt), cut=False, seam=False) for prompt, completion in rows]
    groups = branched(encoded, index, math.inf)
    parts = [_parts(group) for group in groups]
    ends = np.cumsum([len(group.rows) for group in groups], dtype=np.int64)
    places = np.split(np.arange(len(rows)), ends[:-1])
    whole = [number for number, of_group in enumerate(parts) if len(of_group) == 1]
    totals = np.zeros(len(rows))
    with torch.inference_mode():
        for batch in _batches([parts[number][0].tokens for number in whole]):
            chosen = [whole[place] for place in batch]
            of_rows = _branch_log_probs(model, [parts[number][0] for number in chosen])
            totals[np.concatenate([places[number] for number in chosen])] = of_rows
        for number in set(range(len(groups))) - set(whole):
            cache = _cached(model, groups[number])
            totals[places[number]] = np.concatenate([_branch_log_probs(model, [part], cache) for part in parts[number]])
    return totals, np.array([row.supervised for row in encoded], dtype=np.int64)


def _parts(group: Branched) -> list[Branched]:
    """The rows in order as sequences whose branches have at most `BRANCH_TOKENS`, or one row that has more.

    A prompt that all rows have in common is shared to its last token.
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


def _cached(model: "PreTrainedModel", group: Branched) -> "DynamicCache | None":
    """Keys and values of the shared tokens in every layer; `None` where each part has to compute these tokens again."""
    import torch
    from transformers import DynamicCache

    # Block masks (FlexAttention) cannot be cut to the queries that a cache leaves.
    if model.config.get_text_config()._attn_implementation not in ("sdpa", "eager"):
        return None
    # Without a config, layers with a sliding window keep all tokens too: the window is in the masks of branches.
    cache = DynamicCache()
    ids = torch.tensor([group.rows[0].input_ids[: group.shared]], device=model.device)
    model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    # A model that keeps nothing, or something else, leaves it empty.
    return cache if {layer.get_seq_length() for layer in cache.layers} == {group.shared} else None


def _branch_log_probs(
    model: "PreTrainedModel", sequences: Sequence[Branched], cache: "DynamicCache | None" = None
) -> NDArray[np.float64]:
    """Of each row of the sequences in order; a cache has the first tokens of one sequence."""
    import torch

    from gcsl_cli.training.rows import IGNORED, PlanCollator

    made = PlanCollator(0)([{"sequences": sequences}])
    batch = {key: value.to(model.device) for key, value in made.items()}
    labels, branches = batch.pop("labels"), batch.get("branches", torch.ones_like(batch["input_ids"]))
    counts = [len(sequence.rows) for sequence in sequences]
    totals = torch.zeros(sum(counts), dtype=torch.double, device=model.device)
    sequence, before = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
    if len(sequence):
        # A token is predicted by the one before it in its branch, the first of a branch by the last shared one.
        same = branches[:, 1:] == branches[:, :-1]
        shared = torch.tensor([of.shared for of in sequences], device=model.device)
        predicting = torch.where(same[sequence, before], before, shared[sequence] - 1)
        # The last one of a branch predicts nothing.
        needed = (same | (branches[:, :-1] == 0)).any(dim=0).nonzero().squeeze(-1)
        # The head is needed where some sequence predicts a supervised token only.
        places, place = torch.unique(torch.searchsorted(needed, predicting), return_inverse=True)
        logits = _logits(model, {key: value[:, needed] for key, value in batch.items()}, places, cache).float()
        supervised = labels[sequence, before + 1]
        log_probs = logits[sequence, place, supervised] - logits.logsumexp(dim=-1)[sequence, place]
        firsts = torch.tensor(np.cumsum([0, *counts[:-1]]), device=model.device)
        totals.index_add_(0, firsts[sequence] + branches[sequence, before + 1] - 1, log_probs.double())
    return np.asarray(totals.cpu().numpy())


def _logits(
    model: "PreTrainedModel", batch: dict[str, "torch.Tensor"], places: "torch.Tensor", cache: "DynamicCache | None"
) -> "torch.Tensor":
    """Of the given places of the sequences, `(sequences, places, vocabulary)`; the cache is left as it was."""
    from gcsl_cli.training.shared_prefix import branch_masks

    kept = 0 if cache is None else cache.get_seq_length()
    given: dict[str, Any] = {"input_ids": batch["input_ids"][:, kept:], "attention_mask": batch["attention_mask"]}
    if "branches" in batch:
        masks = branch_masks(model.config.get_text_config(), batch["branches"], batch["position_ids"])
        given["attention_mask"] = _queries(masks, kept) if kept else masks
        given["position_ids"] = batch["position_ids"][:, kept:]
    if cache is not None:
        given["past_key_values"] = cache
    logits: torch.Tensor = model(**given, use_cache=cache is not None, logits_to_keep=places - kept).logits
    if cache is not None:
        cache.crop(-given["input_ids"].shape[1])
    return logits


def _queries(masks: Any, first: int) -> Any:
    """Masks in four dimensions, by kind of layer if there are two, of the tokens from `first` on."""
    if isinstance(masks, dict):
        return {kind: mask[:, :, first:] for kind, mask in masks.items()}
    return masks[:, :, first:]


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Row indices in batches of similar length and at most `TOKENS_PER_BATCH` padded tokens."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if not batches or (len(batches[-1]) + 1) * lengths[index] > TOKENS_PER_BATCH:
            batches.append([])
        batches[-1].append(index)
    return batches


def _batch_log_probs(model: "PreTrainedModel", batch: Sequence[tuple[list[int], list[int]]]) -> NDArray[np.float64]:
    import torch

    longest = max(len(prompt) + len(completion) for prompt, completion in batch)
    tail = max(len(completion) for _, completion in batch)
    if not tail:
        return np.zeros(len(batch))
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros(len(batch), longest, dtype=torch.long)
    supervised = torch.zeros(len(batch), tail, dtype=torch.bool)
    for place, (prompt, completion) in enumerate(batch):
        tokens = torch.tensor(prompt + completion)
        ids[place, longest - len(tokens) :] = tokens
        mask[place, longest - len(tokens) :] = 1
        supervised[place, tail - len(completion) :] = True
    ids, mask, supervised = (tensor.to(model.device) for tensor in (ids, mask, supervised))
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    # Completions stand at the right end, so the head is needed on the last positions only.
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=tail + 1)
    log_probs = output.logits[:, :-1].float().log_softmax(dim=-1)
    chosen = log_probs.gather(-1, ids[:, -tail:, None]).squeeze(-1)
    return np.asarray(chosen.masked_fill(~supervised, 0.0).sum(dim=1).double().cpu().numpy())
