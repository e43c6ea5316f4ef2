"""The experiment presets compose with every model and method named in their headers."""

from itertools import product

import pytest

from gcsl_cli.configs import load

METHODS = ("gcsl", "sft", "dpo", "kto")


@pytest.mark.parametrize(("model", "method"), product(("qwen3-4b", "llama3.1-8b"), METHODS))
def test_the_papers_size_composes(model: str, method: str) -> None:
    config = load(["experiment=paper/toxicity", f"model={model}", f"method={method}"])

    assert config.model.name == model
    assert (config.adapter.name, config.adapter.r) == ("lora", 32)
    assert config.train.budget.tokens == 5_000_000
    assert config.train.learning_rate == (1e-5 if method in ("dpo", "kto") else 1e-4)


def test_bounded_learning_is_the_small_experiment_on_worse_rows() -> None:
    small, bounded = load(["experiment=small/toxicity"]), load(["experiment=small/bounded"])

    assert bounded.train.score_below == max(bounded.goal.levels.values)
    assert (bounded.train.budget, bounded.generation) == (small.train.budget, small.generation)
