"""Goal guidance: contrast two goals of one model at every decoding step.

The next token is drawn from the log-probabilities worst + (1 + w)(best - worst). This is classifier-free guidance (Ho
and Salimans 2022; Sanchez et al. 2023 for language models) between two goals; w = 0 is plain sampling under the best
goal. Where several goals are steered away from, the weighted mean of their log-probabilities takes the place of the
worst: best + w_1 (best - worst_1) + w_2 (best - worst_2).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transformers import LogitsProcessor

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class GoalGuidance(LogitsProcessor):
    """Run the continuation under the contrasted goal in parallel, with a separate KV cache, and adjust the logits."""

    def __init__(
        self,
        model: "PreTrainedModel",
        cache: Any,
        last_ids: "torch.Tensor",
        attention_mask: "torch.Tensor",
        weight: float,
        shares: Sequence[float] = (1.0,),
    ) -> None:
        """Contrast with a prefilled prompt under other goals, at guidance weight w, of which each goal has a share.

        `cache` is the KV cache of these prompts without their last token; `last_ids` is this token, `(rows, 1)`, and
        `attention_mask` the mask of the whole prompts, `(rows, prompt tokens)`. Of every goal there are as many rows as
        continuations; those of a goal are adjacent.
        """
        self.model, self.cache, self.weight, self.shares = model, cache, weight, shares
        self.ids, self.mask, self.started = last_ids, attention_mask, False

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Return guided logits `(batch, vocabulary)`."""
        import torch

        if self.started:
            self.ids = input_ids[:, -1:].repeat(len(self.shares), 1)
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=1)
        self.started = True
        position = self.mask.sum(dim=1, keepdim=True) - 1
        inputs = {"input_ids": self.ids, "attention_mask": self.mask, "position_ids": position}
        output = self.model(**inputs, past_key_values=self.cache, use_cache=True)
        others = output.logits[:, -1].float().log_softmax(dim=-1).chunk(len(self.shares))
        against = sum(share * other for share, other in zip(self.shares, others, strict=True))
        target = scores.float().log_softmax(dim=-1)
        # Equals worst + (1 + w)(best - worst) up to a constant, and exactly the plain scores at w = 0.
        return scores.float() + self.weight * (target - against)
