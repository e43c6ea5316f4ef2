"""Temperature and top-p without sorting the vocabulary.

`transformers`' own top-p sorts every row of logits: at 128 rows of 49,152 a third of a decoding step on a CPU. The
tokens to keep are nearly always among the few hundred most likely ones; where not, more are looked at, up to all.
"""

from typing import TYPE_CHECKING

from transformers import LogitsProcessor

if TYPE_CHECKING:
    import torch

FIRST_LOOK = 512


class Nucleus(LogitsProcessor):
    """Divides logits by the temperature and keeps the smallest set of tokens whose probability reaches `top_p`."""

    def __init__(self, temperature: float, top_p: float) -> None:
        self.temperature = temperature
        self.top_p = top_p

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        """Logits `(batch, vocabulary)` with everything outside the nucleus at minus infinity."""
        scores = scores.float() / self.temperature
        if self.top_p >= 1:
            return scores
        vocabulary = scores.shape[-1]
        total = scores.logsumexp(dim=-1, keepdim=True)
        look = min(FIRST_LOOK, vocabulary)
        while True:
            top, tokens = scores.topk(look, dim=-1)
            probability = (top - total).exp()
            before = probability.cumsum(dim=-1) - probability
            if look == vocabulary or bool((before[:, -1] >= self.top_p).all()):
                break
            look = min(look * 8, vocabulary)
        kept = top.masked_fill(before >= self.top_p, float("-inf"))
        return scores.new_full(scores.shape, float("-inf")).scatter(-1, tokens, kept)
