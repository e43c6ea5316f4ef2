"""Top-p without sorting the vocabulary, compared with the sorting implementation of `transformers`."""

import pytest
import torch
from transformers import TopPLogitsWarper

from gcsl_cli.generation.nucleus import FIRST_TOP_K, Nucleus

NO_IDS = torch.empty(0, dtype=torch.long)


def kept(logits: torch.Tensor, top_p: float, temperature: float = 1.0) -> torch.Tensor:
    return Nucleus(temperature, top_p)(NO_IDS, logits).isfinite()


def test_keeps_the_smallest_set_that_reaches_top_p() -> None:
    """Probabilities 0.5, 0.3, 0.15, 0.05: 0.7 needs two tokens, 0.81 three, 0.4 one."""
    logits = torch.tensor([[0.3, 0.05, 0.5, 0.15]]).log()

    assert kept(logits, 0.7).tolist() == [[True, False, True, False]]
    assert kept(logits, 0.81).tolist() == [[True, False, True, True]]
    assert kept(logits, 0.4).tolist() == [[False, False, True, False]]


def test_kept_tokens_keep_their_logits() -> None:
    logits = torch.tensor([[3.0, 1.0, -20.0]])

    assert Nucleus(0.5, 0.99)(NO_IDS, logits).tolist() == [[6.0, 2.0, float("-inf")]]


def test_top_p_of_one_keeps_all_tokens() -> None:
    logits = torch.tensor([[3.0, 1.0, -20.0]])

    assert Nucleus(2.0, 1.0)(NO_IDS, logits).tolist() == [[1.5, 0.5, -10.0]]


def test_tiny_top_p_keeps_the_most_likely_token() -> None:
    assert kept(torch.randn(8, 100, generator=torch.Generator().manual_seed(0)), 1e-9).sum(dim=-1).tolist() == [1] * 8


def test_temperature_is_applied_before_top_p() -> None:
    """Probabilities 0.8 and 0.2 at temperature 1/2 are 0.64 / 0.68 and 0.04 / 0.68, so that 0.9 needs one token."""
    logits = torch.tensor([[0.8, 0.2]]).log()

    assert kept(logits, 0.9).tolist() == [[True, True]]
    assert kept(logits, 0.9, temperature=0.5).tolist() == [[True, False]]


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("spread", [5.0, 1.0, 0.1], ids=["peaked", "normal", "nearly flat"])
@pytest.mark.parametrize("vocabulary", [7, FIRST_TOP_K, FIRST_TOP_K * 8 + 5])
def test_matches_the_sorting_implementation(vocabulary: int, spread: float, top_p: float) -> None:
    logits = spread * torch.randn(6, vocabulary, generator=torch.Generator().manual_seed(0))
    ours = Nucleus(1.0, top_p)(NO_IDS, logits)
    theirs = TopPLogitsWarper(top_p)(NO_IDS, logits)

    # Rounding of the sums can put a token on the boundary on either side.
    differ = ours.isfinite() != theirs.isfinite()
    assert int(differ.sum(dim=-1).max()) <= 1
    probability = logits.softmax(dim=-1)
    assert (abs((probability * ours.isfinite()).sum(-1) - (probability * theirs.isfinite()).sum(-1)) < 2e-3).all()
    assert torch.equal(ours[~differ], theirs[~differ])


@pytest.mark.parametrize(("vocabulary", "count"), [(10, 5), (4000, 2000)])
def test_flat_distribution_keeps_its_share_of_tokens(vocabulary: int, count: int) -> None:
    """All tokens tie, so half of them have half of the probability, give or take one from rounding."""
    ours = kept(torch.zeros(2, vocabulary), 0.5).sum(dim=-1)
    theirs = TopPLogitsWarper(0.5)(NO_IDS, torch.zeros(2, vocabulary)).isfinite().sum(dim=-1)

    assert (abs(ours - count) <= 1).all()
    assert (abs(theirs - count) <= 1).all()


def test_only_as_many_tied_tokens_as_needed_are_kept() -> None:
    """Probabilities 0.4 and six times 0.1: 0.65 needs the first and any three of the six."""
    logits = torch.tensor([[0.1, 0.1, 0.4, 0.1, 0.1, 0.1, 0.1]]).log()
    ours, theirs = kept(logits, 0.65), TopPLogitsWarper(0.65)(NO_IDS, logits).isfinite()

    assert ours[0, 2]
    assert ours.sum() == theirs.sum() == 4


def test_flat_row_next_to_a_peaked_row_widens_the_search() -> None:
    """A peaked row next to a flat one of 3000 tokens, for which the first top-k is too small."""
    logits = torch.zeros(2, 3000)
    logits[0, 7] = 50.0

    assert kept(logits, 0.9).sum(dim=-1)[0] == 1
    assert abs(int(kept(logits, 0.9).sum(dim=-1)[1]) - 2700) <= 1
