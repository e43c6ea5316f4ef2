"""Log-likelihoods of given completions under a model: row by row, or several after one prompt in one pass."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.prompting import EncodedRow
from gcsl_cli.training.branches import Branched, branched

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS_PER_BATCH = 2048
BRANCH_TOKENS = 1024
"""Tokens of a sequence of branches, and twice those of the prompt more."""


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
    # Attention is computed between branches too, though they do not see each other, and memory grows with the square;
    # so many candidates are several sequences, each with the prompt once more.
    longest = max((row.prompt_tokens for row in encoded), default=0)
    sequences = branched(encoded, index, BRANCH_TOKENS + 2 * longest)
    firsts = np.cumsum([0, *(len(sequence.rows) for sequence in sequences)])
    totals = np.zeros(len(rows))
    with torch.inference_mode():
        for chosen in _batches([sequence.tokens for sequence in sequences]):
            of_rows = _branch_log_probs(model, [sequences[place] for place in chosen])
            totals[np.concatenate([np.arange(firsts[place], firsts[place + 1]) for place in chosen])] = of_rows
    return totals, np.array([row.supervised for row in encoded], dtype=np.int64)


def _branch_log_probs(model: "PreTrainedModel", sequences: Sequence[Branched]) -> NDArray[np.float64]:
    """Of each row of the sequences in order."""
    import torch

    from gcsl_cli.training.rows import IGNORED, PlanCollator
    from gcsl_cli.training.shared_prefix import branch_masks

    made = PlanCollator(0)([{"sequences": sequences}])
    batch: dict[str, Any] = {key: value.to(model.device) for key, value in made.items()}
    labels, branches = batch.pop("labels"), batch.pop("branches", None)
    if branches is None:
        branches = torch.ones_like(labels)
    else:
        batch["attention_mask"] = branch_masks(model.config.get_text_config(), branches, batch["position_ids"])
    predicted = labels[:, 1:] != IGNORED
    # The head is needed where some sequence has a supervised token only.
    places = predicted.any(dim=0).nonzero().squeeze(-1)
    count = sum(len(sequence.rows) for sequence in sequences)
    if not len(places):
        return np.zeros(count)
    logits = model(**batch, use_cache=False, logits_to_keep=places).logits.float()
    tokens = labels[:, places + 1]
    log_probs = logits.gather(-1, tokens.clamp(min=0)[..., None]).squeeze(-1) - logits.logsumexp(dim=-1)
    firsts = torch.tensor(np.cumsum([0, *(len(sequence.rows) for sequence in sequences[:-1])]), device=model.device)
    row = firsts[:, None] + branches[:, places + 1] - 1
    counted = predicted[:, places]
    totals = torch.zeros(count, dtype=torch.double, device=model.device)
    return np.asarray(totals.index_add(0, row[counted], log_probs[counted].double()).cpu().numpy())


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
