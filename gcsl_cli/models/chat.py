"""Inspect a model's chat template by rendering it: its roles and the token that ends a turn; adapt conversations to it.

Conversations are prompts in JSON: [{"role": "user", "content": "Hi"}], or {"messages": [...], "tools": [...]}.
"""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gcsl_cli.errors import first_line
from gcsl_cli.goals.template import ChatTraits

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARK = "␟content␟"
USER = ("user", "User", "USER", "human", "Human")
ASSISTANT = ("assistant", "Assistant", "ASSISTANT", "model", "Model", "gpt", "GPT")
Message = dict[str, Any]


class RefusedError(Exception):
    """A chat template cannot render a conversation; the message says why, after "the model's chat template"."""


BETWEEN = "\n\n"
"""Stands between texts that are joined into one turn."""


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
        alternating=_rendered(tokenizer, [user, user], prompt=True) is None,
    )


def conversation(prompt: str, prompt_format: str) -> tuple[list[Message], list[Any] | None]:
    """The messages of a prompt, and the tools that they may call, if any."""
    if prompt_format != "messages":
        return [{"role": "user", "content": prompt}], None
    held = json.loads(prompt)
    return (held["messages"], held["tools"]) if isinstance(held, dict) else (held, None)


def adapted(messages: Sequence[Message], traits: ChatTraits) -> list[Message]:
    """The messages in a form that the template can render.

    Without a system turn, the system's text stands first in the user's turn; where roles have to alternate, neighbours
    of one role are joined.
    """
    turns = list(messages)
    if not traits.system and len(turns) > 1 and turns[0]["role"] == "system" and turns[1]["role"] == "user":
        turns = [_joined(turns[0], turns[1]), *turns[2:]]
    if not traits.alternating:
        return turns
    apart: list[Message] = []
    for turn in turns:
        if apart and apart[-1]["role"] == turn["role"] and "tool_calls" not in apart[-1].keys() | turn.keys():
            apart[-1] = _joined(apart[-1], turn)
        else:
            apart.append(turn)
    return apart


def _joined(first: Message, second: Message) -> Message:
    return {**second, "content": first["content"] + BETWEEN + second["content"]}


def turn_end(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """Return the special token that ends an assistant turn, or the EOS token if the template writes none."""
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": MARK}]
    tail = (_rendered(tokenizer, turns, prompt=False) or "").partition(MARK)[2]
    ids = tokenizer(tail, add_special_tokens=False)["input_ids"]
    added = tokenizer.added_tokens_decoder
    if ids and (ids[0] in tokenizer.all_special_ids or (ids[0] in added and added[ids[0]].special)):
        return int(ids[0])
    return None if tokenizer.eos_token_id is None else int(tokenizer.eos_token_id)


def render(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Message],
    tools: list[Any] | None = None,
    *,
    prompt: bool = True,
    **arguments: Any,
) -> str:
    """Render the messages, with the beginning of the assistant's turn if they are a `prompt`.

    Raises:
        RefusedError: the template refuses them.
    """
    from jinja2 import TemplateError

    try:
        return str(
            tokenizer.apply_chat_template(
                list(messages), tools=tools, tokenize=False, add_generation_prompt=prompt, **arguments
            )
        )
    except (TemplateError, TypeError, KeyError, ValueError) as error:
        roles = ", ".join(message["role"] for message in messages)
        raise RefusedError(f"cannot render this conversation ({roles}): {first_line(error).rstrip('.')}") from error


def _rendered(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], *, prompt: bool) -> str | None:
    """Render the messages; `None` if the template refuses them."""
    try:
        return render(tokenizer, messages, prompt=prompt)
    except RefusedError:
        return None


def cut_conversation(prompt: str, fits: Callable[[str], bool]) -> str:
    """The longest end of a conversation that fits and starts with the user; a system turn is kept.

    If the last exchange alone does not fit, the beginning of its user's text is cut.
    """
    turns, tools = conversation(prompt, "messages")
    head = turns[:1] if turns[0]["role"] == "system" else []
    rest = turns[len(head) :]

    def written(kept: Sequence[Message]) -> str:
        held = [*head, *kept]
        return json.dumps(held if tools is None else {"messages": held, "tools": tools}, ensure_ascii=False)

    starts = [place for place, turn in enumerate(rest) if turn["role"] == "user"] or [0]
    for start in starts:
        if fits(written(rest[start:])):
            return written(rest[start:])
    first, *others = rest[starts[-1] :]
    text = cut_text(first["content"], lambda end: fits(written([{**first, "content": end}, *others])))
    return written([{**first, "content": text}, *others])


def cut_text(text: str, fits: Callable[[str], bool]) -> str:
    """The longest end of a text that fits; empty if none does."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(text[middle:]) else (middle + 1, high)
    return text[low:]
