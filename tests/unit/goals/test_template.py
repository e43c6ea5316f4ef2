"""The exported chat template, rendered by plain `transformers`, equals the prompt that training used, byte for byte."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2.exceptions import TemplateError

from gcsl_cli.configs.choices import Placement
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.scale import Scale
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.models.loading import export_model
from gcsl_cli.models.prompting import Prompter
from tests.chat_templates import TEMPLATES
from tests.unit.goals.toy import RAW, toy_spec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROMPTS = [
    "I wanted to",
    "  white space\n around \t",
    "quotes \" and ' and \\ and \\n",
    "{{ braces }} {% if %} {# comment #} {prompt} {0}",
    "😀 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 é \u2028 \x85 中文",
    "<|end|> user User: assistant model",
]
TEXTS = (
    "Bad \"text\" 'with' \\ quotes {{ braces }} %} -}}.",
    "Fair\ttext\r\nover {# two #} lines \u2028😀.",
    "𝔊ood {prompt} text {placed} user assistant.",
)
GOALS: list[tuple[dict[str, Any], float | None]] = [
    ({}, 0.9),
    ({"goal": None}, 0.9),
    ({"goal": "best"}, 0.9),
    ({"goal": "worst"}, 0.0),
    ({"goal": 0}, 0.0),
    ({"goal": 0.5}, 0.5),
    ({"goal": 0.9}, 0.9),
    ({"goal": "none"}, None),
]


def exported(tokenizer: "PreTrainedTokenizerBase", spec: GoalSpec, prompt: str, **options: Any) -> str:
    """Render the prompt as a user of plain `transformers` would."""
    turn = [{"role": "user", "content": prompt}]
    template = Prompter(tokenizer, spec).template
    return str(
        tokenizer.apply_chat_template(
            turn, chat_template=template, tokenize=False, add_generation_prompt=True, **options
        )
    )


def check(tokenizer: "PreTrainedTokenizerBase", spec: GoalSpec, prompts: list[str]) -> None:
    """Compare the template with `Prompter` for every prompt and goal."""
    prompter = Prompter(tokenizer, spec)
    for prompt, (options, goal) in product(prompts, GOALS):
        assert exported(tokenizer, spec, prompt, **options) == prompter.text(prompt, goal)


@pytest.mark.parametrize("placement", ["before_prompt", "after_prompt"])
def test_plain_text(tokenizer: "PreTrainedTokenizerBase", placement: str) -> None:
    check(tokenizer, toy_spec(placement=placement, texts=TEXTS, separator="\n"), PROMPTS)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("placement", [placement for placement in Placement if placement != "role"])
def test_chats(tokenizer: "PreTrainedTokenizerBase", placement: str, template: str) -> None:
    tokenizer.chat_template = TEMPLATES[template]
    check(tokenizer, toy_spec(prompt_format="chat", placement=placement, texts=TEXTS), PROMPTS)


@pytest.mark.parametrize("template", [name for name in TEMPLATES if name not in ("spaced",)])
def test_roles(tokenizer: "PreTrainedTokenizerBase", template: str) -> None:
    tokenizer.chat_template = TEMPLATES[template]
    check(tokenizer, toy_spec(prompt_format="chat", placement="role", texts=TEXTS, separator=" "), PROMPTS)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(prompt=st.text(max_size=30), text=st.text(min_size=1, max_size=30), separator=st.text(max_size=3))
def test_any_text(tokenizer: "PreTrainedTokenizerBase", prompt: str, text: str, separator: str) -> None:
    """Jinja drops one trailing newline of a template source and preserves all others."""
    texts = ("a", "b", text.replace("\r\n", "\n").replace("\r", "\n"))
    separator = separator.replace("\r\n", "\n").replace("\r", "\n")
    spec = toy_spec(placement="after_prompt", texts=texts, separator=separator)

    assert exported(tokenizer, spec, prompt) == Prompter(tokenizer, spec).text(prompt, 0.9)


SYSTEM_TURN = "<|system|>\nYou are a helpful AI assistant<|end|>\n"
CUTTING = "<|pad|><|system|>\n\nCutting Knowledge Date: December 2023\n"
PLACED = {
    ("smollm2", "before_prompt"): f"{SYSTEM_TURN}<|user|>\nGood text.\nGo on: Hi<|end|>\n<|assistant|>\n",
    ("smollm2", "after_prompt"): f"{SYSTEM_TURN}<|user|>\nGo on: Hi\nGood text.<|end|>\n<|assistant|>\n",
    ("smollm2", "system"): "<|system|>\nGood text.<|end|>\n<|user|>\nGo on: Hi<|end|>\n<|assistant|>\n",
    ("smollm2", "assistant_prefix"): f"{SYSTEM_TURN}<|user|>\nGo on: Hi<|end|>\n<|assistant|>\nGood text.\n",
    ("llama3", "before_prompt"): f"{CUTTING}<|end|><|user|>\n\nGood text.\nGo on: Hi<|end|><|assistant|>\n\n",
    ("llama3", "system"): f"{CUTTING}Good text.<|end|><|user|>\n\nGo on: Hi<|end|><|assistant|>\n\n",
    ("llama3", "assistant_prefix"): f"{CUTTING}<|end|><|user|>\n\nGo on: Hi<|end|><|assistant|>\n\nGood text.\n",
    ("qwen3", "after_prompt"): "<|user|>\nGo on: Hi\nGood text.<|end|>\n<|assistant|>\n",
    ("qwen3", "system"): "<|system|>\nGood text.<|end|>\n<|user|>\nGo on: Hi<|end|>\n<|assistant|>\n",
    ("qwen3", "assistant_prefix"): "<|user|>\nGo on: Hi<|end|>\n<|assistant|>\nGood text.\n",
    # Without a system turn the goal goes first in the user turn.
    ("gemma", "system"): "<|pad|><start_of_turn>user\nGood text.\nGo on: Hi<|end|>\n<start_of_turn>model\n",
    ("gemma", "assistant_prefix"): ("<|pad|><start_of_turn>user\nGo on: Hi<|end|>\n<start_of_turn>model\nGood text.\n"),
}
ROLES = {
    "tiny": "<|GPT4 user|>Go on: Hi<|end|><|GPT4 assistant|>",
    "smollm2": f"{SYSTEM_TURN}<|GPT4 user|>\nGo on: Hi<|end|>\n<|GPT4 assistant|>\n",
    "gemma": "<|pad|><start_of_turn>GPT4 user\nGo on: Hi<|end|>\n<start_of_turn>GPT4 model\n",
    "openchat": "<|pad|>GPT4 User: Go on: Hi<|end|>GPT4 Assistant:",
}


@pytest.mark.parametrize(("template", "placement"), PLACED)
def test_placement_of_the_goal(tokenizer: "PreTrainedTokenizerBase", template: str, placement: str) -> None:
    tokenizer.chat_template = TEMPLATES[template]

    text = exported(tokenizer, toy_spec(prompt_format="chat", placement=placement), "Hi")

    assert text == PLACED[template, placement]


@pytest.mark.parametrize("template", ROLES)
def test_goal_before_role_names(tokenizer: "PreTrainedTokenizerBase", template: str) -> None:
    tokenizer.chat_template = TEMPLATES[template]
    spec = toy_spec(prompt_format="chat", placement="role", texts=("GPT3", "GPT3.5", "GPT4"), separator=" ")

    assert exported(tokenizer, spec, "Hi") == ROLES[template]
    assert exported(tokenizer, spec, "Hi", goal="none") == ROLES[template].replace("GPT4 ", "")


def test_role_placement_without_role_names_is_rejected(
    tokenizer: "PreTrainedTokenizerBase",
) -> None:
    tokenizer.chat_template = "{% for message in messages %}# {{ message['content'] }}\n{% endfor %}"
    spec = toy_spec(prompt_format="chat", placement="role")

    with pytest.raises(ConfigError, match=r"goal\.placement=role: .* writes no role names"):
        exported(tokenizer, spec, "Hi")


def test_without_a_goal_the_template_renders_like_the_original(tokenizer: "PreTrainedTokenizerBase") -> None:
    for template, placement in product(TEMPLATES, Placement):
        if (template, placement) == ("spaced", "role"):
            continue
        tokenizer.chat_template = TEMPLATES[template]
        turn = [{"role": "user", "content": "Hi"}]
        own = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        spec = toy_spec(prompt_format="chat", placement=placement, instruction="{prompt}")

        assert exported(tokenizer, spec, "Hi", goal="none") == own


@pytest.mark.parametrize("template", ["smollm2", "llama3", "qwen3"])
def test_system_goal_precedes_the_system_prompt_of_the_conversation(
    tokenizer: "PreTrainedTokenizerBase", template: str
) -> None:
    tokenizer.chat_template = TEMPLATES[template]
    spec = toy_spec(prompt_format="messages", placement="system", instruction="{prompt}")
    prompt = '[{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]'

    assert "Good text.\nBe short.<|end|>" in Prompter(tokenizer, spec).text(prompt, 0.9)


def test_goal_is_in_the_last_user_turn_of_a_conversation(tokenizer: "PreTrainedTokenizerBase") -> None:
    spec = toy_spec(prompt_format="messages", instruction="{prompt}")
    prompt = (
        '[{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, '
        '{"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]'
    )

    assert Prompter(tokenizer, spec).text(prompt, 0.9) == (
        "<|system|>s<|end|><|user|>a<|end|><|assistant|>b<|end|><|user|>Good text.\nc<|end|><|assistant|>"
    )


def test_role_goal_is_in_the_last_exchange_of_a_conversation(
    tokenizer: "PreTrainedTokenizerBase",
) -> None:
    spec = toy_spec(prompt_format="messages", placement="role", separator="/", instruction="{prompt}")
    prompt = (
        '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]'
    )

    assert Prompter(tokenizer, spec).text(prompt, 0.0) == (
        "<|user|>a<|end|><|assistant|>b<|end|><|Bad text./user|>c<|end|><|Bad text./assistant|>"
    )


def test_assistant_prefix_needs_the_generation_prompt(tokenizer: "PreTrainedTokenizerBase") -> None:
    template = Prompter(tokenizer, toy_spec(prompt_format="chat", placement="assistant_prefix")).template
    turn = [{"role": "user", "content": "Hi"}]

    text = tokenizer.apply_chat_template(turn, chat_template=template, tokenize=False)

    assert text == "<|user|>Go on: Hi<|end|>"


def test_negative_and_integer_levels_can_be_requested(tokenizer: "PreTrainedTokenizerBase") -> None:
    spec = toy_spec(levels=(-2.5, 1e-07, 3), training_range=(-2.5, 4.0), target=-2.5)

    rendered = [
        exported(tokenizer, spec, "x"),
        *(exported(tokenizer, spec, "x", goal=goal) for goal in (1e-07, 3, 3.0)),
    ]

    assert rendered == ["Bad text.\nx", "Fair text.\nx", "Good text.\nx", "Good text.\nx"]


def test_level_with_many_digits_can_be_requested_by_its_label(tokenizer: "PreTrainedTokenizerBase") -> None:
    spec = toy_spec(levels=(0.0, 0.123456789, 0.9))

    assert exported(tokenizer, spec, "x", goal=0.123) == "Fair text.\nx"
    assert exported(tokenizer, spec, "x", goal=0.123456789) == "Fair text.\nx"


def test_lower_is_better_levels_are_requested_as_grades(
    tokenizer: "PreTrainedTokenizerBase",
) -> None:
    """Scores -30, -20, 0 are 30, 20 and 0 seconds."""
    spec = toy_spec(levels=(-30.0, -20.0, 0.0), scale=Scale("seconds", 0.0, 30.0, lower_is_better=True))

    rendered = [exported(tokenizer, spec, "x", **goal) for goal in ({"goal": 30}, {"goal": 20}, {"goal": 0}, {})]

    assert rendered == ["Bad text.\nx", "Fair text.\nx", "Good text.\nx", "Good text.\nx"]


@pytest.mark.parametrize(
    ("goal", "text"), [(5, "5.00"), (2.345, "2.35"), (-0.5, "-0.50"), (1e6, "1000000.00"), ("best", "1.00")]
)
def test_raw_scores_accept_any_number(tokenizer: "PreTrainedTokenizerBase", goal: Any, text: str) -> None:
    spec = toy_spec(**RAW, placement="after_prompt", separator=" ", target=5)

    assert exported(tokenizer, spec, "Hi") == "Hi <rm_score>: 5.00 "
    assert exported(tokenizer, spec, "Hi", goal=goal) == f"Hi <rm_score>: {text} "
    assert exported(tokenizer, spec, "Hi", goal=goal) == Prompter(tokenizer, spec).text("Hi", spec.goal(goal))


def test_raw_score_inside_a_sentence(tokenizer: "PreTrainedTokenizerBase") -> None:
    changes = RAW | {"template": "{{{name}}} of {level:.1f} ({low} to {high:.1f})"}
    spec = toy_spec(**changes, scale=Scale('"good\'ness"', 0.0, 5.0))

    assert exported(tokenizer, spec, "Hi", goal=3) == '{"good\'ness"} of 3.0 (0 to 5.0)\nHi'
    assert exported(tokenizer, spec, "Hi", goal=3) == Prompter(tokenizer, spec).text("Hi", 3.0)


@pytest.mark.parametrize("prompt_format", ["plain", "chat"])
@pytest.mark.parametrize("goal", ["beste", 0.7])
def test_unknown_goal_is_rejected(tokenizer: "PreTrainedTokenizerBase", prompt_format: str, goal: Any) -> None:
    with pytest.raises(TemplateError, match=f"goal={goal}: unknown; one of best, worst, 0, 0.5, 0.9, none"):
        exported(tokenizer, toy_spec(prompt_format=prompt_format), "I wanted to", goal=goal)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}],
        [{"role": "system", "content": "a"}],
    ],
)
def test_plain_text_model_accepts_a_single_user_message(
    tokenizer: "PreTrainedTokenizerBase", messages: list[dict[str, str]]
) -> None:
    template = Prompter(tokenizer, toy_spec()).template

    with pytest.raises(TemplateError, match="trained on plain text: give one user message"):
        tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False)


def test_conversation_without_a_user_turn_is_rejected(tokenizer: "PreTrainedTokenizerBase") -> None:
    template = Prompter(tokenizer, toy_spec(prompt_format="chat")).template

    with pytest.raises(TemplateError, match="There is no user message"):
        tokenizer.apply_chat_template([{"role": "system", "content": "a"}], chat_template=template, tokenize=False)


PARTS = [{"type": "text", "text": "I wanted"}, {"type": "text", "text": " to"}]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("prompt_format", ["plain", "chat"])
def test_content_in_parts_renders_as_its_text(
    tokenizer: "PreTrainedTokenizerBase", prompt_format: str, template: str
) -> None:
    """Chat clients send text in parts; without this, the prompt would be a Python list written out."""
    tokenizer.chat_template = TEMPLATES[template]
    spec = toy_spec(prompt_format=prompt_format)
    turn = [{"role": "user", "content": PARTS}]

    rendered = tokenizer.apply_chat_template(
        turn, chat_template=Prompter(tokenizer, spec).template, tokenize=False, add_generation_prompt=True, goal="worst"
    )

    assert rendered == exported(tokenizer, spec, "I wanted to", goal="worst")


@pytest.mark.parametrize("prompt_format", ["plain", "chat"])
def test_part_that_is_not_text_is_rejected(tokenizer: "PreTrainedTokenizerBase", prompt_format: str) -> None:
    template = Prompter(tokenizer, toy_spec(prompt_format=prompt_format)).template
    turn = [{"role": "user", "content": [*PARTS, {"type": "image", "url": "a.png"}]}]

    with pytest.raises(TemplateError, match="a part of type image; this model reads text only"):
        tokenizer.apply_chat_template(turn, chat_template=template, tokenize=False)


def test_parts_in_earlier_turns_keep_what_else_the_message_has(tokenizer: "PreTrainedTokenizerBase") -> None:
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}/{{ m.name }}: {{ m.content }};{% endfor %}"
    template = Prompter(tokenizer, toy_spec(prompt_format="messages", instruction="{prompt}")).template
    turns = [
        {"role": "user", "name": "Ann", "content": PARTS},
        {"role": "assistant", "name": "Bo", "content": None},
        {"role": "user", "name": "Ann", "content": "c"},
    ]

    rendered = tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False)

    assert str(rendered).startswith("user/Ann: I wanted to;assistant/Bo: ;user/")


@pytest.mark.parametrize("prompt_format", ["plain", "chat"])
def test_exported_model_includes_its_goal(
    policy: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", tmp_path: Path, prompt_format: str
) -> None:
    """After saving and reloading with plain `transformers`, the template gives the tokens that generation feeds."""
    from transformers import AutoTokenizer

    tokenizer.chat_template = TEMPLATES["smollm2"]
    prompter = Prompter(tokenizer, toy_spec(prompt_format=prompt_format, texts=TEXTS))
    trained = prompter.prompt_ids("I wanted to", 0.9)
    export_model(policy, tokenizer, tmp_path, prompter.template)

    reloaded = AutoTokenizer.from_pretrained(tmp_path)
    turn = [{"role": "user", "content": "I wanted to"}]
    ids = reloaded.apply_chat_template(turn, add_generation_prompt=True, return_dict=False)

    assert ids == trained
