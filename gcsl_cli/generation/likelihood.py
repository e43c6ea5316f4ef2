"""Log-likelihoods of given completions under a model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS_PER_BATCH = 2048


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
