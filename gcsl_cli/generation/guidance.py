"""Goal guidance: contrast two goals of one model at every decoding step.

The next token is drawn from log-probabilities worst + (1 + w)(best - worst): classifier-free guidance (Ho and Salimans
2022; Sanchez et al. 2023 for language models) between two goals. At w = 0 it is plain sampling under the best goal.
"""

from typing import TYPE_CHECKING, Any

from transformers import LogitsProcessor

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class GoalGuidance(LogitsProcessor):
    """Runs the same continuation under the other goal beside generation, with a KV cache of its own."""

    def __init__(
        self,
        model: "PreTrainedModel",
        cache: Any,
        last_ids: "torch.Tensor",
        attention_mask: "torch.Tensor",
        weight: float,
    ) -> None:
        """`cache` holds the other prompt but for its last token `last_ids` `(batch, 1)`; the mask covers all of it."""
        self.model = model
        self.cache = cache
        self.ids = last_ids
        self.mask = attention_mask
        self.weight = weight
        self.started = False

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Guided logits `(batch, vocabulary)`."""
        import torch

        if self.started:
            self.ids = input_ids[:, -1:]
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=1)
        self.started = True
        position = self.mask.sum(dim=1, keepdim=True) - 1
        output = self.model(
            input_ids=self.ids,
            attention_mask=self.mask,
            position_ids=position,
            past_key_values=self.cache,
            use_cache=True,
        )
        other = output.logits[:, -1].float().log_softmax(dim=-1)
        asked = scores.float().log_softmax(dim=-1)
        # The same as worst + (1 + w)(best - worst) but for a constant, and exactly the plain scores at w = 0.
        return scores.float() + self.weight * (asked - other)
