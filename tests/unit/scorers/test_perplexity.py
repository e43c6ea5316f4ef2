"""The perplexity of completions, against a forward pass of the whole text."""

from pathlib import Path

import numpy as np
import pytest

from gcsl_cli.models.loading import load_model, load_tokenizer
from gcsl_cli.scorers.base import Example
from gcsl_cli.scorers.perplexity import PerplexityScorer


def test_it_is_that_of_the_tokens_of_the_completion(tiny_model: Path) -> None:
    import torch

    tokenizer, model = load_tokenizer(tiny_model), load_model(tiny_model, torch.float32)
    prompt, completion = "I wanted to", " say thank you"
    ids = tokenizer(prompt + completion, add_special_tokens=False)["input_ids"]
    count = len(ids) - len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    with torch.inference_mode():
        log_probs = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(dim=-1)
    expected = np.exp(-np.mean([float(log_probs[place - 1, ids[place]]) for place in range(-count, 0)]))

    scorer = PerplexityScorer(uri=str(tiny_model), cache=False)
    found = scorer([Example(prompt, completion), Example(prompt, "")])

    assert found[0] == pytest.approx(expected, rel=0.02)  # in the precision of inference
    assert np.isnan(found[1])
    assert scorer.ungraded == {"the completion has no token": 1}
