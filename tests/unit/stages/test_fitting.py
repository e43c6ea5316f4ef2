"""Rows that do not fit the model. The tiny tokenizer has one token per byte, so tokens can be counted.

The goal "Good text.\n" is 11 tokens, in plain text nothing else stands around a prompt.
"""

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gcsl_cli.configs.choices import TooLong
from gcsl_cli.data.calls import packed
from gcsl_cli.data.records import FeedbackRow, FeedbackRows, Prompt
from gcsl_cli.errors import DataError
from gcsl_cli.models.prompting import Prompter
from gcsl_cli.stages.fitting import Fitted, fitted, fitting_prompts
from tests.chat_templates import TEMPLATES
from tests.unit.goals.toy import toy_spec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHORT, LONG = "0123456789", "abcdefghijklmnopqrstuvwxyz"


def rows(*prompts: str, completion: str = " go", split: str = "train") -> FeedbackRows:
    return FeedbackRows.of(
        FeedbackRow(prompt, completion, 1.0, str(number), split, True, f"my.jsonl:{number}")
        for number, prompt in enumerate(prompts, 1)
    )


def chat(*texts: str) -> str:
    return json.dumps([{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)])


def experiment(prompter: Prompter, too_long: str, max_length: int | None, **task: Any) -> Any:
    return SimpleNamespace(
        config=SimpleNamespace(
            train=SimpleNamespace(max_length=max_length, too_long=TooLong(too_long)),
            generation=SimpleNamespace(max_new_tokens=12),
        ),
        prompter=lambda _: prompter,
        plain_prompter=prompter,
        task=SimpleNamespace(**task),
    )


def fit(
    prompter: Prompter, train: FeedbackRows, too_long: str = "error", max_length: int | None = 30, **task: Any
) -> Fitted:
    held_out = rows(chat("a") if prompter.spec.prompt_format == "messages" else SHORT, split="validation")
    return fitted(experiment(prompter, too_long, max_length, **task), prompter.spec, train, held_out, max_length)


@pytest.fixture
def prompter(tokenizer: "PreTrainedTokenizerBase") -> Prompter:
    return Prompter(tokenizer, toy_spec(), context=100)


def test_prompts_that_leave_no_room_are_named_all_at_once(prompter: Prompter) -> None:
    """The goal and a prompt of 26 bytes take 37 tokens, of 18 bytes 29: one token is left of 30."""
    fits = fit(prompter, rows(SHORT, LONG[:18]))
    assert (fits.train.table["prompt"].to_pylist(), fits.notes) == ([SHORT, LONG[:18]], [])

    with pytest.raises(DataError) as error:
        fit(prompter, rows(SHORT, LONG, LONG[:19], *[LONG] * 5))
    assert str(error.value) == (
        "7 of 9 rows have prompts that leave no room for a completion in 30 tokens (train.max_length): "
        "my.jsonl:2 (37), my.jsonl:3 (30), my.jsonl:4 (37) and others. To go on, "
        "raise train.max_length above 37, or use train.too_long=skip, "
        "which leaves them out, or train.too_long=cut_prompt, which cuts their beginning."
    )


def test_a_longer_limit_is_not_advised_beyond_the_context(prompter: Prompter) -> None:
    with pytest.raises(DataError, match=r"100 tokens \(the model's context\): my\.jsonl:1 \(141\)\. To go on, use tr"):
        fit(prompter, rows(LONG * 5), max_length=None)


def test_long_prompts_can_be_left_out(prompter: Prompter) -> None:
    fits = fit(prompter, rows(SHORT, LONG), "skip")

    assert fits.train.table["prompt"].to_pylist() == [SHORT]
    assert fits.notes == ["1 of 3 rows with long prompts left out: the limit is 30 tokens (train.too_long)"]
    with pytest.raises(DataError, match=r"All 1 training rows have prompts of 30 tokens or more"):
        fit(prompter, rows(LONG), "skip")


@pytest.mark.parametrize(("completion", "kept"), [(" go", 15), (" and so on and so on", 4)])
def test_long_prompts_can_be_cut_from_the_left(prompter: Prompter, completion: str, kept: int) -> None:
    """Of 30 tokens, 4 are for the completion and its end and 11 for the goal; a long completion gets half of them."""
    fits = fit(prompter, rows(SHORT, LONG, completion=completion), "cut_prompt")

    assert fits.train.table["prompt"].to_pylist() == [SHORT, LONG[-kept:]]
    assert fits.notes == ["1 of 3 rows with prompts cut from the left: the limit is 30 tokens (train.too_long)"]


def test_a_goal_may_leave_no_room_for_any_prompt(prompter: Prompter) -> None:
    with pytest.raises(DataError, match=r"my\.jsonl:1: the goal and the chat template alone leave no room"):
        fit(prompter, rows(LONG), "cut_prompt", max_length=8)


@pytest.mark.parametrize(
    ("prompt", "kept"),
    [
        (chat("a" * 40, "b", "c", "d", "e"), chat("c", "d", "e")),
        (chat("a", "b" * 40, "c" * 40), chat("c" * 10)),
        (chat("c" * 40), chat("c" * 10)),
    ],
)
def test_conversations_lose_their_oldest_turns_first(
    tokenizer: "PreTrainedTokenizerBase", prompt: str, kept: str
) -> None:
    """One user turn has 3 tokens around it and 11 of the goal; 28 - 4 - 14 are left for its text."""
    prompter = Prompter(tokenizer, toy_spec(prompt_format="messages", instruction="{prompt}"), context=100)

    assert fit(prompter, rows(prompt), "cut_prompt", max_length=28).train[0].prompt == kept


def test_evaluation_prompts_leave_room_for_goal_and_completion(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Of a context of 160 tokens, 12 are for the completion and 128 for the goal; 19 are below the rest."""
    prompter = Prompter(tokenizer, toy_spec(), context=160)
    prompts = [Prompt("1", "a", "test"), Prompt("2", LONG, "test")]

    assert fitting_prompts(experiment(prompter, "error", 30), prompts) == prompts
    assert fitting_prompts(experiment(prompter, "skip", 30), prompts) == prompts[:1]
    assert fitting_prompts(experiment(prompter, "cut_prompt", 30), prompts)[1].text == LONG[-19:]


def test_conversations_suit_templates_with_alternating_roles(tokenizer: "PreTrainedTokenizerBase") -> None:
    tokenizer.chat_template = TEMPLATES["gemma"]
    prompter = Prompter(tokenizer, toy_spec(prompt_format="messages", instruction="{prompt}"))
    turns = [{"role": role, "content": text} for role, text in (("system", "S"), ("user", "a"), ("user", "b"))]
    fits = fit(prompter, rows(json.dumps(turns), chat("a")), max_length=None)

    assert "S\n\na\n\nb" in prompter.text(json.dumps(turns), None)
    assert fits.notes[0].startswith("1 conversations changed to suit the model's chat template: neighbours of one role")


CALLS = [{"id": "1", "type": "function", "function": {"name": "find", "arguments": {"q": "x"}}}]
CALLING = {"role": "assistant", "content": "", "tool_calls": CALLS}


def test_every_conversation_that_a_template_cannot_render_is_named(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Of the validation rows as well; those with other roles apart from those with calls that are left out."""
    tokenizer.chat_template = TEMPLATES["gemma"]
    prompter = Prompter(tokenizer, toy_spec(prompt_format="messages", instruction="{prompt}"))
    first = json.dumps([{"role": "assistant", "content": "a"}, *json.loads(chat("b"))])
    calling = json.dumps([*json.loads(chat("a")), CALLING, *json.loads(chat("b"))])
    train, validation = rows(chat("a"), first, calling, chat("b")), rows(first, split="validation")
    lines = (
        "2 x {}cannot render this conversation (assistant, user): Conversation roles must alternate "
        "user/assistant/user/assistant/: my.jsonl:2, my.jsonl:1",
        "1 x {}leaves out tool calls: my.jsonl:3",
    )

    with pytest.raises(DataError) as error:
        fitted(experiment(prompter, "error", None), prompter.spec, train, validation, None)
    assert str(error.value) == (
        f"3 of 5 rows do not suit the model's chat template, which\n  {lines[0].format('')}\n  {lines[1].format('')}\n"
        "Use another model."
    )
    skipping = fitted(experiment(prompter, "error", None, on_error="skip"), prompter.spec, train, validation, None)
    assert skipping.train.table["prompt"].to_pylist() == [chat("a"), chat("b")]
    assert not len(skipping.validation)
    assert skipping.notes == [line.format("the model's chat template ") for line in lines]


def test_evaluation_prompts_that_cannot_be_rendered_are_named(tokenizer: "PreTrainedTokenizerBase") -> None:
    tokenizer.chat_template = TEMPLATES["gemma"]
    prompter = Prompter(tokenizer, toy_spec(prompt_format="messages", instruction="{prompt}"))
    first = json.dumps([{"role": "assistant", "content": "a"}, *json.loads(chat("b"))])
    prompts = [Prompt("1", chat("a"), "test", "my.jsonl:1"), Prompt("2", first, "test", "my.jsonl:2")]

    with pytest.raises(DataError, match=r"1 of 2 rows do not suit .*\n.* \(assistant, user\).*: my\.jsonl:2"):
        fitting_prompts(experiment(prompter, "error", None), prompts)
    assert fitting_prompts(experiment(prompter, "error", None, on_error="skip"), prompts) == prompts[:1]
    with pytest.raises(DataError, match=r"3 of 4 rows do not suit .*\n  3 x .*: my\.jsonl:1, my\.jsonl:2, my\.jsonl:3"):
        fitting_prompts(experiment(prompter, "error", None), prompts, rows(first, first, first, chat("a")))


def test_evaluation_prompts_beyond_the_context_are_counted_and_named(prompter: Prompter) -> None:
    """Of a context of 100 tokens, the goal takes 11 and the completion 12."""
    found = [Prompt(str(number), "a" * number, "test", f"my.jsonl:{number}") for number in (77, 78, 79, 80, 81)]

    assert len(prompter.all_prompt_ids(found[:1], 0.9, 12)) == 1
    with pytest.raises(
        DataError, match=r"4 of 5 prompts are too long: my\.jsonl:78 \(89 tokens\), my\.jsonl:79 .*, my"
    ) as e:
        prompter.all_prompt_ids(found, 0.9, 12)
    assert "my.jsonl:80 (91 tokens) and others. With the goal and 12 more tokens for the completion" in str(e.value)


def test_evaluation_prompts_and_rows_that_are_too_long_are_named_together(prompter: Prompter) -> None:
    """Of a context of 100 tokens, the goal takes 11 and the completion 12."""
    asked = [Prompt(str(number), "a" * number, "test", f"my.jsonl:{number}") for number in (77, 78, 79)]

    def refused(train: FeedbackRows) -> str:
        with pytest.raises(DataError) as error:
            fitted(experiment(prompter, "error", 30), prompter.spec, train, rows(split="validation"), 30, asked)
        return str(error.value)

    prompts = (
        "2 of 3 evaluation prompts leave no room for 12 tokens (generation.max_new_tokens) in the model's context of "
        "100: my.jsonl:78 (89), my.jsonl:79 (90). To go on, "
    )
    assert refused(rows(SHORT)).startswith(f"{prompts}use train.too_long=skip")
    assert refused(rows(SHORT, LONG)).startswith(
        "1 of 2 rows have prompts that leave no room for a completion in 30 tokens (train.max_length): my.jsonl:2 "
        f"(37). {prompts}raise train.max_length above 37, or use train.too_long=skip"
    )


CALL_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for call in m.tool_calls or [] %}<call>"
    "{{ call.function | tojson }}</call>{% endfor %}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.mark.parametrize("content", ["", "Let me look."])
@pytest.mark.parametrize("form", ["messages", "chat"])
def test_completions_that_call_tools_are_rendered_and_trained_on(
    tokenizer: "PreTrainedTokenizerBase", content: str, form: str
) -> None:
    """With a text beside the calls, and one end token."""
    tokenizer.chat_template = CALL_TEMPLATE
    prompter = Prompter(tokenizer, toy_spec(prompt_format=form, instruction="{prompt}"))
    prompt = chat("a") if form == "messages" else "a"
    train = rows(prompt, completion=packed(CALLING | {"content": content}))
    fits = fit(prompter, train, max_length=None)
    (row,) = prompter.rows(list(fits.train), [0.9], None)

    assert tokenizer.decode(row.prompt_ids) == "<|user|>Good text.\na<|end|>\n<|assistant|>"
    assert tokenizer.decode(row.completion_ids) == (
        content + '<call>{"name": "find", "arguments": {"q": "x"}}</call><|end|>'
    )
    assert fits.notes == []


@pytest.mark.parametrize(
    ("template", "message", "reason"),
    [
        (TEMPLATES["tiny"], CALLING, "leaves out tool calls"),
        (
            CALL_TEMPLATE.replace("{{ m.content }}", "{% if not m.tool_calls %}{{ m.content }}{% endif %}"),
            CALLING | {"content": "Let me look."},
            "leaves out the text beside tool calls",
        ),
        (CALL_TEMPLATE.replace("%}<|assistant|>{", "%}<|bot|>{"), CALLING, "does not begin an answer with tool calls"),
        (CALL_TEMPLATE, CALLING | {"tool_calls": [{"id": "1"}]}, "cannot render"),
    ],
)
def test_completions_whose_calls_cannot_be_rendered_are_named(
    tokenizer: "PreTrainedTokenizerBase", template: str, message: dict[str, Any], reason: str
) -> None:
    tokenizer.chat_template = template
    prompter = Prompter(tokenizer, toy_spec(prompt_format="messages", instruction="{prompt}"))
    train = rows(chat("a"), completion=packed(message))

    with pytest.raises(DataError, match=rf"1 of 2 rows do not suit .*\n  1 x {reason}.*: my\.jsonl:1"):
        fit(prompter, train, max_length=None)
    with pytest.raises(DataError, match=r"1 x is not used \(task\.format=plain\), but tool calls need it"):
        fit(Prompter(tokenizer, toy_spec()), rows("a", completion=packed(message)), max_length=None)


def test_what_a_template_cannot_render_has_its_line(tokenizer: "PreTrainedTokenizerBase") -> None:
    tokenizer.chat_template = TEMPLATES["gemma"]
    prompter = Prompter(tokenizer, toy_spec(prompt_format="messages", instruction="{prompt}"))
    turns = [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]

    with pytest.raises(DataError, match=r"my\.jsonl:1: the model's chat template cannot render .* \(assistant, user\)"):
        prompter.rows(list(rows(json.dumps(turns))), [None], None)


def test_tools_reach_the_template(tokenizer: "PreTrainedTokenizerBase") -> None:
    tokenizer.chat_template = "{{ tools[0].function.name }}:{% for m in messages %}{{ m.content }}{% endfor %}"
    prompter = Prompter(tokenizer, toy_spec(prompt_format="messages", instruction="{prompt}"))
    tools = [{"type": "function", "function": {"name": "find"}}]
    prompt = json.dumps({"messages": json.loads(chat("Hi")), "tools": tools})

    assert prompter.text(prompt, None) == "find:Hi"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (TEMPLATES["tiny"], ["2 conversations have tools, which the model's chat template leaves out"]),
        ("{% if tools %}{{ tools | tojson }}{% endif %}" + TEMPLATES["tiny"], []),
    ],
)
def test_tools_that_the_template_leaves_out_are_told(
    tokenizer: "PreTrainedTokenizerBase", template: str, said: list[str]
) -> None:
    tokenizer.chat_template = template
    prompter = Prompter(tokenizer, toy_spec(prompt_format="messages", instruction="{prompt}"))
    tools = [{"type": "function", "function": {"name": "find"}}]
    prompt = json.dumps({"messages": json.loads(chat("Hi")), "tools": tools})

    assert fit(prompter, rows(prompt, chat("a"), prompt), max_length=None).notes == said


@pytest.mark.parametrize("completion", [" go<|end|>", " go<|end|>\n"])
def test_a_completion_ends_once(prompter: Prompter, completion: str) -> None:
    row = prompter.row(SHORT, None, completion, finished=True, max_length=None)

    assert row.completion_ids == [*prompter.row(SHORT, None, " go", finished=True, max_length=None).completion_ids]
    assert fit(prompter, rows(SHORT, completion=completion)).notes == []


def test_special_tokens_in_completions_are_counted_or_removed(prompter: Prompter) -> None:
    train = rows(SHORT, completion="<|assistant|> go<|end|> on")
    kept = fit(prompter, train, max_length=None)
    stripped = fit(prompter, train, max_length=None, strip_special_tokens=True)

    assert kept.train[0].completion == "<|assistant|> go<|end|> on"
    assert kept.notes[0].startswith("1 completions contain special tokens of the model; they are trained as they are")
    assert stripped.train[0].completion == " go on"
    assert stripped.notes == ["special tokens removed from 1 completions (task.strip_special_tokens)"]
