"""The experiment presets compose with every model and method named in their headers."""

from itertools import product

import pytest

from gcsl_cli.configs import load

METHODS = ("gcsl", "sft", "dpo", "kto")
TOKENS = {"toxicity": 5_000_000, "code": 5_000_000, "recommendation": 10_000_000}


@pytest.mark.parametrize(("task", "model", "method"), product(TOKENS, ("qwen3-4b", "llama3.1-8b"), METHODS))
def test_the_papers_size_composes(task: str, model: str, method: str) -> None:
    config = load([f"experiment=paper/{task}", f"model={model}", f"method={method}"])

    assert (config.task.name, config.task.format, config.model.name) == (task, "chat", model)
    if method == "gcsl":
        assert (config.goal.formulation, config.goal.missed.weight) == ("threshold", 0)
    assert (config.adapter.name, config.adapter.r) == ("lora", 32)
    assert config.train.budget.tokens == TOKENS[task]
    assert config.train.learning_rate == (1e-5 if method in ("dpo", "kto") else 1e-4)


def test_bounded_learning_is_the_small_experiment_on_worse_rows() -> None:
    small, bounded = load(["experiment=small/toxicity"]), load(["experiment=small/bounded"])

    assert bounded.train.score_below == max(bounded.goal.levels.values)
    assert (bounded.train.budget, bounded.generation) == (small.train.budget, small.generation)
