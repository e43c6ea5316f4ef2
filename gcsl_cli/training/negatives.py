"""Losses that make negative rows less likely: copies of rows under goals that they miss, or poor rows without goals."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class NegativeLoss(Protocol):
    """A loss on the negative rows of a micro-batch."""

    def __call__(
        self, log_probs: "torch.Tensor", pairs: "torch.Tensor", weights: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """Sum of the loss over tokens, in nats; the trainer divides it by the supervised tokens of the step.

        Args:
            log_probs: log-probability of each token of a completion, 0 elsewhere, `(sequences, tokens)`.
            pairs: number of the pair of each of these tokens, `(sequences, tokens)`: positive in a row that has a
                negative copy, negative in the copy, 0 in all other rows.
            weights: loss weight of each token's row, `(sequences, tokens)`; `None`: all are 1.
        """


@dataclass(frozen=True, slots=True)
class MissedGoalLoss:
    """A completion should be less likely under a goal that it misses than under its own, by a margin.

    Of a copy with n tokens, `weight * n * max(0, margin - difference)`. The difference is the mean log-probability of
    its tokens under the row's own goal, without gradient, less that under the missed goal.
    """

    weight: float
    """Weight relative to the likelihood of the same number of tokens."""
    margin: float
    """Nats per token; the loss is 0 from there on."""

    def __call__(
        self, log_probs: "torch.Tensor", pairs: "torch.Tensor", weights: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """See `NegativeLoss`."""
        import torch

        count = int(pairs.max()) + 1

        def sums(of: "torch.Tensor", values: "torch.Tensor") -> "torch.Tensor":
            zeros = torch.zeros(count, device=values.device, dtype=values.dtype)
            return zeros.index_add(0, of.clamp(min=0).flatten(), values.flatten())[1:]

        ones = torch.ones_like(log_probs)
        tokens = sums(-pairs, ones)
        own = sums(pairs, log_probs.detach()) / sums(pairs, ones)
        difference = own - sums(-pairs, log_probs) / tokens
        row_tokens = tokens if weights is None else sums(-pairs, weights)
        return self.weight * (row_tokens * torch.relu(self.margin - difference)).sum()


@dataclass(frozen=True, slots=True)
class UnlikelihoodLoss:
    """`weight * -log(1 - p)` of each token of a negative row (arXiv 1908.04319)."""

    weight: float

    def __call__(
        self, log_probs: "torch.Tensor", pairs: "torch.Tensor", weights: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """See `NegativeLoss`."""
        import torch

        # In bf16, a probability can round to 1.
        unlikely = -torch.log1p(-log_probs.float().exp().clamp(max=1 - 1e-6))
        return self.weight * (unlikely * (pairs < 0) * (1.0 if weights is None else weights)).sum()
