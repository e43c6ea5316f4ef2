"""Models whose next token depends on all preceding tokens, and a tokenizer that decodes to token ids.

The plain tiny model just repeats its last token, because its embeddings are tied and its weights small, so it would not
reveal a wrong cache, mask or position.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Ids:
    """Decode token ids to the ids themselves, separated by spaces."""

    pad_token_id = 0

    def decode(self, ids: Sequence[int], **options: Any) -> str:
        return " ".join(map(str, ids))


@pytest.fixture
def ids_tokenizer() -> Any:
    return Ids()


@pytest.fixture(scope="session")
def absolute() -> "PreTrainedModel":
    """A model with learned positions: shifting a text by padding changes its output, unlike that of `lively`."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = GPT2Config(
            vocab_size=120, n_positions=64, n_embd=16, n_layer=2, n_head=2, initializer_range=0.5, eos_token_id=1
        )
        return GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="session")
def lively(tiny_model: Path) -> "PreTrainedModel":
    import torch

    from gcsl_cli.models.loading import load_model

    model = load_model(tiny_model).to("cpu")
    generator = torch.Generator().manual_seed(0)
    model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.4, generator=generator)
    return model
