"""Settings of goals with several parts that cannot be used, from the whole config."""

import re
from typing import Any

import pytest

from gcsl_cli import configs
from gcsl_cli.configs.choices import Pairing
from gcsl_cli.errors import ConfigError

pytestmark = pytest.mark.usefixtures("remembered_composition")

TWO = ["task=toxicity", "task.scores=[politeness,length]"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["goal.parts.names=[lenght]"], "goal.parts.names: there is no score 'lenght'. Did you mean length?"),
        (["goal.parts.names=[length,length]"], "goal.parts.names=length, length: a score is named twice"),
        (["goal.parts.levels={words: [3]}"], "goal.parts.levels: there is no score 'words'"),
        (["goal.parts.levels={length: [6,3]}"], "goal.parts.levels.length=[6, 3]: must be one or more grades"),
        (["goal.parts.levels=[6]"], "goal.parts.levels=[6]: expected a mapping from scores"),
        (["goal.parts.templates={length: 3}"], "goal.parts.templates.length=3: expected a text with {level}"),
        (["goal.parts.levels={length: short}"], "goal.parts.levels.length=short: must be one or more grades"),
        (["goal.parts.sentences={length: short}"], "goal.parts.sentences.length=short: expected a list of phrases"),
        (
            ["goal.parts.sentences={length: [a,b]}", "goal.parts.templates={length: c}"],
            "goal.parts.sentences.length and goal.parts.templates.length both word it",
        ),
        (["goal.parts.template='at least {level}'"], "no placeholder tells which score is meant. Put {name} into it"),
        (["goal.parts.dropout=1"], "goal.parts.dropout=1.0: must be a number from 0 to 0.9"),
        (["goal.template='{level}'"], "goal.template: the text of one score. Set goal.parts.template"),
        (["goal.sentences=[a,b,c]"], "goal.sentences: the sentences of one score"),
        (["goal.pairing=all", "goal.placement=after_prompt"], "multiply, so they are sampled"),
        (["generation.target=5"], "Name the one that is meant, for example generation.target.politeness=5"),
        (["goal.target=wrost"], "or use best, worst, reachable. Did you mean worst?"),
        (["generation.against=5"], "generation.against=5: the goal of this run has several scores"),
        (["generation.target.lenght=best"], "generation.target: there is no score 'lenght'. Did you mean length?"),
        (["generation.target.length=bset"], "generation.target.length=bset: expected best, worst, a level, or null"),
        (["generation.target.length=true"], "generation.target.length=True: expected best, worst, a level, or null"),
        (["generation.target.length=[3]"], "generation.target.length=[3]: expected best, worst, a level, or null"),
        (["generation.target.length=null"], "generation.target: no part is asked for"),
        (["generation.against.lenght=1"], "generation.against: there is no score 'lenght'"),
        (["generation.guidance.lenght=1"], "generation.guidance: there is no score 'lenght'. Did you mean length?"),
        (["generation.guidance.length=-1"], "generation.guidance.length=-1: must be a number from 0 to 1000"),
        (["generation.guidance.length=strong"], "generation.guidance.length=strong: must be a number from 0 to 1000"),
        (["generation.guidance=strong"], "generation.guidance=strong: must be a number from 0 to 1000"),
        (
            ["generation.guidance={length: 1, politeness: 2}", "generation.backend=vllm"],
            "there, guidance contrasts with one goal. Use generation.backend=hf",
        ),
        (["evaluation.levels=[{lenght: 1}]"], "evaluation.levels: there is no score 'lenght'"),
        (["method=sft", "generation.target.length=best"], "with a model trained without goals"),
    ],
)
def test_settings_of_parts_that_cannot_be_used(lines: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        configs.load([*TWO, *lines])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["goal.parts.names=[length]"], "goal.parts.names: the feedback of task=toxicity has one score. Leave it out."),
        (["goal.parts.levels={length: [6]}"], "goal.parts.levels: the feedback of task=toxicity has one score"),
        (["generation.target.length=best"], "generation.target={'length': 'best'}: the goal of this run has one score"),
        (["generation.guidance.length=1"], "generation.guidance={'length': 1}: the goal of this run has one score"),
        (["goal.target=reachable"], "goal.target=reachable: expected best, worst or a level"),
    ],
)
def test_settings_of_parts_without_several_scores(lines: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        configs.load(["task=toxicity", *lines])


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        ([], ["politeness", "length"]),
        (["goal.parts.names=[length]"], ["length"]),
        (["goal.parts.names=[]"], []),
        (["method=sft"], []),
        (["generation.target.length=6", "generation.target.politeness=best"], ["politeness", "length"]),
        (["goal.target=reachable", "generation.against.length=12", "generation.guidance=1"], ["politeness", "length"]),
        (["goal=steerlm", "task.format=chat"], ["politeness", "length"]),
    ],
)
def test_parts_of_the_goal(lines: list[str], parts: list[str]) -> None:
    assert configs.load([*TWO, *lines]).part_names == parts


def test_goals_of_several_parts_are_sampled_wherever_they_stand() -> None:
    after: list[Any] = ["goal.placement=after_prompt"]

    assert configs.load([*TWO, *after]).pairing is Pairing.sample
    assert configs.load(["task=toxicity", *after]).pairing is Pairing.all
