"""Inspect a model's chat template by rendering it: its roles and the token that ends a turn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gcsl_cli.goals.template import ChatTraits

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARK = "␟content␟"
USER = ("user", "User", "USER", "human", "Human")
ASSISTANT = ("assistant", "Assistant", "ASSISTANT", "model", "Model", "gpt", "GPT")
Message = dict[str, str]


def chat_traits(tokenizer: "PreTrainedTokenizerBase") -> ChatTraits:
    """Find out whether the template has a system turn and how it names user and assistant."""
    user = {"role": "user", "content": MARK}
    head, _, tail = (_rendered(tokenizer, [user], prompt=True) or "").partition(MARK)
    system = _rendered(tokenizer, [{"role": "system", "content": MARK}, {"role": "user", "content": "x"}], prompt=True)
    last = max((head.rfind(name), name) for name in USER)
    first = min((start if (start := tail.find(name)) >= 0 else len(tail), name) for name in ASSISTANT)
    return ChatTraits(
        system=system is not None and MARK in system,
        user=last[1] if last[0] >= 0 else None,
        assistant=first[1] if first[0] < len(tail) else None,
    )


def turn_end(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """Return the special token that ends an assistant turn, or the EOS token if the template writes none."""
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": MARK}]
    tail = (_rendered(tokenizer, turns, prompt=False) or "").partition(MARK)[2]
    ids = tokenizer(tail, add_special_tokens=False)["input_ids"]
    added = tokenizer.added_tokens_decoder
    if ids and (ids[0] in tokenizer.all_special_ids or (ids[0] in added and added[ids[0]].special)):
        return int(ids[0])
    return None if tokenizer.eos_token_id is None else int(tokenizer.eos_token_id)


def _rendered(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], *, prompt: bool) -> str | None:
    """Render the messages; `None` if the template rejects them."""
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompt))
    except TemplateError:
        return None
