"""docs/goals.md: one row in every wording and placement, rendered by the code and compared with the page."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gcsl_cli.configs.choices import Placement
from gcsl_cli.goals.relabel import highest_within_prompt
from gcsl_cli.goals.scale import Scale
from gcsl_cli.goals.spec import PLAIN_PLACEMENTS, GoalSpec
from gcsl_cli.goals.wording import default_template, fill_template, goal_texts
from gcsl_cli.models.prompting import Prompter
from gcsl_cli.stages.planning.score_goal import SEPARATORS
from tests.unit.goals.toy import RAW, toy_spec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PAGE = (Path(__file__).parents[3] / "docs/goals.md").read_text(encoding="utf-8")
PROMPT = "What is a good name for a cat?"
LEVELS = (1.0, 2.0, 3.0, 4.0, 5.0)
STARS = Scale("helpfulness", 1.0, 5.0)
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def block(name: str) -> list[str]:
    found = re.search(rf"```text {name}\n(.*?)```", PAGE, re.DOTALL)
    assert found, name
    return found[1].splitlines()


def spec(wording: str, placement: str, prompt_format: str, formulation: str = "threshold") -> GoalSpec:
    template = default_template(wording, formulation, "dataset", "distinct", STARS)
    fields: dict[str, Any] = {
        "wording": wording,
        "levels": LEVELS,
        "texts": goal_texts(wording, fill_template(template, LEVELS, STARS)),
        "placement": placement,
        "prompt_format": prompt_format,
        "formulation": formulation,
        "separator": SEPARATORS.get(placement, SEPARATORS.get(wording, "\n")),
        "instruction": "{prompt}",
        "scale": STARS,
        "training_range": (1.0, 5.0),
    }
    return toy_spec(**fields)


@pytest.mark.parametrize("prompt_format", ["chat", "plain"])
@pytest.mark.parametrize("wording", ["language", "token", "number"])
def test_the_row_in_every_placement(tokenizer: "PreTrainedTokenizerBase", wording: str, prompt_format: str) -> None:
    tokenizer.chat_template = CHATML
    placements = list(Placement) if prompt_format == "chat" else PLAIN_PLACEMENTS
    width = max(map(len, placements)) + 2
    expected = [
        f"{placement:{width}}{Prompter(tokenizer, spec(wording, placement, prompt_format)).text(PROMPT, 4.0)}"
        for placement in placements
    ]

    assert block(f"{prompt_format}/{wording}") == [line.replace("\n", "⏎") for line in expected]


@pytest.mark.parametrize("formulation", ["threshold", "exact"])
def test_the_goals_that_the_row_serves(formulation: str) -> None:
    made = spec("language", "before_prompt", "chat", formulation)
    served = [level for level in LEVELS if level <= 4.0] if formulation == "threshold" else [4.0]

    assert block(formulation) == [made.text(level) for level in served]


def test_a_raw_score(tokenizer: "PreTrainedTokenizerBase") -> None:
    raw = toy_spec(**(RAW | {"template": "{level:.2f}"}), placement="after_prompt", training_range=(1.0, 5.0))
    lines = [Prompter(tokenizer, raw).text(PROMPT, goal) for goal in (4.0, 6.5)]

    assert block("raw") == [line.replace("\n", "⏎") for line in lines]


def test_quantiles_within_a_prompt() -> None:
    """The table on the page: four answers to one prompt, and the only answer to another."""
    import numpy as np

    quantiles = np.array([0.0, 0.2, 0.4, 0.6, 0.8])
    highest = highest_within_prompt(np.array([1.0, 3, 3, 5, 4]), np.array([0, 0, 0, 0, 1]), quantiles)
    rows = [line.split("|")[-2].strip() for line in PAGE.splitlines() if re.match(r"\| [ab] \|", line)]

    assert rows == [f"{quantiles[index]:g}" for index in highest]
    template = default_template("language", "threshold", "prompt", "quantile", STARS)
    assert block("prompt") == list(fill_template(template, [0.8], STARS))
