"""The exported chat template, rendered by plain `transformers`, equals the prompt that training used, byte for byte."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2.exceptions import TemplateError

from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.goals.template import goal_template
from gcsl_cli.models import export_model
from gcsl_cli.prompting import Prompter
from tests.tiny import CHAT_TEMPLATE
from tests.unit.goals.toy import toy_spec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# SmolLM2: puts in a system prompt of its own.
OWN_SYSTEM = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|system|>\\nYou are a "
    "helpful AI assistant<|end|>\\n' }}{% endif %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + "
    "'<|end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
# Llama 3: takes the system message off the list, trims every content.
TRIMS = """{{- '<|begin|>' }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|system|>\\n\\nCutting Knowledge Date: December 2023\\n" + system_message + "<|end|>" }}
{%- for message in messages %}
    {{- '<|' + message['role'] + '|>\\n\\n' + message['content'] | trim + '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n\\n' }}
{%- endif %}
"""
# White space at the start is part of what the model has seen.
LEADING_SPACE = "\n \n  {% for message in messages %}\n [{{ message['role'] }}] {{ message['content'] }}{% endfor %}"
TEMPLATES = {"tiny": CHAT_TEMPLATE, "own system": OWN_SYSTEM, "trims": TRIMS, "leading space": LEADING_SPACE}

PROMPTS = [
    "I wanted to",
    "  white space\n around \t",
    "quotes \" and ' and \\ and \\n",
    "{{ braces }} {% if %} {# comment #} {prompt} {0}",
    "😀 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 é \u2028 \x85 中文",
    "<|end|>",
]
SENTENCES = (
    "Bad \"text\" 'with' \\ quotes {{ braces }} %} -}}.",
    "Fair\ttext\r\nover {# two #} lines \u2028😀.",
    "𝔊ood {prompt} text {placed}.",
)
GOALS: list[tuple[dict[str, Any], int | None]] = [
    ({}, 2),
    ({"goal": "best"}, 2),
    ({"goal": "worst"}, 0),
    ({"goal": 0.0}, 0),
    ({"goal": 0.5}, 1),
    ({"goal": 0.9}, 2),
    ({"goal": "none"}, None),
]


def exported(tokenizer: "PreTrainedTokenizerBase", prompt: str, **asked: Any) -> str:
    """The prompt as a user of plain `transformers` gets it."""
    turn = [{"role": "user", "content": prompt}]
    return str(tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True, **asked))


def check(tokenizer: "PreTrainedTokenizerBase", spec: GoalSpec, prompts: list[str]) -> None:
    """Compare every prompt under every goal."""
    own = tokenizer.chat_template
    trained = {(p, level): Prompter(tokenizer, spec).text(p, level) for p, (_, level) in product(prompts, GOALS)}
    tokenizer.chat_template = goal_template(spec, own)
    for prompt, (asked, level) in product(prompts, GOALS):
        assert exported(tokenizer, prompt, **asked) == trained[prompt, level]
    tokenizer.chat_template = own


@pytest.mark.parametrize("placement", ["before_prompt", "after_prompt"])
def test_plain_text(tokenizer: "PreTrainedTokenizerBase", placement: str) -> None:
    check(tokenizer, toy_spec(placement=placement, sentences=SENTENCES, separator="\n"), PROMPTS)


@pytest.mark.parametrize("placement", ["before_prompt", "after_prompt"])
@pytest.mark.parametrize("own", TEMPLATES.values(), ids=TEMPLATES)
def test_chat(tokenizer: "PreTrainedTokenizerBase", own: str, placement: str) -> None:
    tokenizer.chat_template = own
    instruction = 'Go "on" {% raw %} \\ with\n{prompt}\n{{ thanks }} '

    spec = toy_spec(prompt_format="chat", placement=placement, sentences=SENTENCES, instruction=instruction)

    check(tokenizer, spec, PROMPTS)


@pytest.mark.parametrize("prompt_format", ["plain", "chat"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(prompt=st.text(), sentences=st.lists(st.text(), min_size=3, max_size=3), separator=st.text(max_size=3))
def test_any_text(
    tokenizer: "PreTrainedTokenizerBase", prompt_format: str, prompt: str, sentences: list[str], separator: str
) -> None:
    spec = toy_spec(prompt_format=prompt_format, sentences=tuple(sentences), separator=separator)

    check(tokenizer, spec, [prompt])


def test_the_target_of_the_spec_is_asked_for_by_default(tokenizer: "PreTrainedTokenizerBase") -> None:
    tokenizer.chat_template = goal_template(toy_spec(target="worst"), None)

    assert exported(tokenizer, "I wanted to") == "Bad text.\nI wanted to"


def test_levels_below_zero_and_whole_levels_can_be_asked_for(tokenizer: "PreTrainedTokenizerBase") -> None:
    spec = toy_spec(levels=(-2.5, 1e-07, 3), training_range=(-2.5, 4.0), target=-1)
    tokenizer.chat_template = goal_template(spec, None)

    asked = [exported(tokenizer, "x"), *(exported(tokenizer, "x", goal=goal) for goal in (1e-07, 3, 3.0))]

    assert asked == ["Bad text.\nx", "Fair text.\nx", "Good text.\nx", "Good text.\nx"]


@pytest.mark.parametrize("prompt_format", ["plain", "chat"])
@pytest.mark.parametrize("goal", ["beste", 0.7])
def test_an_unknown_goal_is_refused(tokenizer: "PreTrainedTokenizerBase", prompt_format: str, goal: Any) -> None:
    tokenizer.chat_template = goal_template(toy_spec(prompt_format=prompt_format), CHAT_TEMPLATE)

    with pytest.raises(TemplateError, match=f"goal={goal}: unknown; one of best, worst, 0.0, 0.5, 0.9, none"):
        exported(tokenizer, "I wanted to", goal=goal)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}],
        [{"role": "system", "content": "a"}],
    ],
)
def test_a_plain_text_model_takes_one_user_message_only(
    tokenizer: "PreTrainedTokenizerBase", messages: list[dict[str, str]]
) -> None:
    tokenizer.chat_template = goal_template(toy_spec(), None)

    with pytest.raises(TemplateError, match="trained on plain text: give one user message"):
        tokenizer.apply_chat_template(messages, tokenize=False)


def test_in_a_conversation_the_goal_stands_in_the_last_user_turn(tokenizer: "PreTrainedTokenizerBase") -> None:
    tokenizer.chat_template = goal_template(toy_spec(prompt_format="chat"), CHAT_TEMPLATE)
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]

    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    assert text == (
        "<|system|>s<|end|><|user|>a<|end|><|assistant|>b<|end|><|user|>Good text.\nGo on: c<|end|><|assistant|>"
    )


def test_an_exported_chat_model_carries_its_goal(
    policy: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", tmp_path: Path
) -> None:
    """Saved, loaded again by plain `transformers`, tokenized: the tokens are those that generation feeds."""
    from transformers import AutoTokenizer

    tokenizer.chat_template = OWN_SYSTEM
    spec = toy_spec(prompt_format="chat", sentences=SENTENCES)
    trained = Prompter(tokenizer, spec).prompt_ids("I wanted to", 2)
    export_model(policy, tokenizer, tmp_path, goal_template(spec, tokenizer.chat_template))

    reloaded = AutoTokenizer.from_pretrained(tmp_path)
    turn = [{"role": "user", "content": "I wanted to"}]
    ids = reloaded.apply_chat_template(turn, add_generation_prompt=True, return_dict=False)

    assert ids == trained
