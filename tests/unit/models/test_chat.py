"""Inspecting a model's own chat template."""

from typing import TYPE_CHECKING, Any

import pytest

from gcsl_cli.goals.template import ChatTraits
from gcsl_cli.models.chat import adapted, chat_traits, turn_end
from tests.chat_templates import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@pytest.mark.parametrize(
    ("template", "traits"),
    [
        ("tiny", ChatTraits(True, "user", "assistant")),
        ("smollm2", ChatTraits(True, "user", "assistant")),
        ("llama3", ChatTraits(True, "user", "assistant")),
        ("qwen3", ChatTraits(True, "user", "assistant")),
        ("gemma", ChatTraits(False, "user", "model", alternating=True)),
        ("openchat", ChatTraits(True, "User", "Assistant")),
        ("spaced", ChatTraits(True, "user", None)),
    ],
)
def test_roles(tokenizer: "PreTrainedTokenizerBase", template: str, traits: ChatTraits) -> None:
    tokenizer.chat_template = TEMPLATES[template]

    assert chat_traits(tokenizer) == traits


@pytest.mark.parametrize("template", [name for name in TEMPLATES if name != "spaced"])
def test_turn_ends_with_the_special_token_of_the_template(tokenizer: "PreTrainedTokenizerBase", template: str) -> None:
    tokenizer.eos_token = "<|system|>"
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|end|>"]})
    tokenizer.chat_template = TEMPLATES[template]

    assert turn_end(tokenizer) == tokenizer.convert_tokens_to_ids("<|end|>")


def test_template_without_an_end_uses_eos(tokenizer: "PreTrainedTokenizerBase") -> None:
    tokenizer.chat_template = TEMPLATES["spaced"]
    assert turn_end(tokenizer) == tokenizer.eos_token_id

    tokenizer.eos_token = None
    assert turn_end(tokenizer) is None


def turns(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in pairs]


CHAT = turns(("system", "s"), ("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d"), ("user", "e"))


def test_conversations_are_adapted_to_templates_with_alternating_roles() -> None:
    """And only to these: where the template takes everything, nothing is changed."""
    gemma = ChatTraits(False, "user", "model", alternating=True)

    assert adapted(CHAT, ChatTraits(True, "user", "assistant")) == CHAT
    assert adapted(CHAT, gemma) == turns(("user", "s\n\na\n\nb"), ("assistant", "c\n\nd"), ("user", "e"))
    assert adapted(CHAT, ChatTraits(False, "user", "model"))[0] == {"role": "user", "content": "s\n\na"}


def test_calls_of_tools_are_not_joined() -> None:
    call: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "find"}}]}
    asked: list[dict[str, Any]] = [*turns(("user", "a")), call, *turns(("assistant", "b"))]

    assert adapted(asked, ChatTraits(True, "user", "model", alternating=True)) == asked
