"""The tiny model, loaded once for all unit tests, and the Hypothesis profile."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Deterministic examples, and no deadline: a busy machine must not fail a test.
settings.register_profile("gcsl", deadline=None, derandomize=True, max_examples=60, database=None)
settings.load_profile("gcsl")


@pytest.fixture(scope="session")
def policy(tiny_model: Path) -> "PreTrainedModel":
    """The tiny model in float32 on the CPU."""
    from gcsl_cli.models.loading import load_model

    return load_model(tiny_model).to("cpu")


@pytest.fixture
def tokenizer(tiny_model: Path) -> "PreTrainedTokenizerBase":
    """Its tokenizer, one token per byte; a new one for each test because tests change its chat template."""
    from gcsl_cli.models.loading import load_tokenizer

    return load_tokenizer(tiny_model)
