"""Tool calls in conversations: whether a chat template renders them, and the text of a completion that calls tools."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gcsl_cli.models.chat import Message, RefusedError, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARK = "gcsl_tool_{}_"
"""Stands for the name of a tool where a template is tried."""
LEFT_OUT = "leaves out tool calls"


def check_calls(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> None:
    """Check that the template renders the calls in a prompt.

    Raises:
        RefusedError: it leaves out one of them, or refuses the messages.
    """
    marked: list[Message] = []
    names: list[str] = []
    for message in messages:
        calls = message.get("tool_calls", [])
        new = [MARK.format(number) for number in range(len(names), len(names) + len(calls))]
        renamed = [_renamed(call, name) for call, name in zip(calls, new, strict=True)]
        marked.append({**message, "tool_calls": renamed} if calls else message)
        names += new
    text = render(tokenizer, marked) if names else ""
    if not all(name in text for name in names):
        raise RefusedError(LEFT_OUT)


def text_of_calls(
    tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], tools: list[Any] | None, answer: Message
) -> str:
    """What the template writes for `answer`, a message with tool calls, after the prompt `messages`.

    Raises:
        RefusedError: it leaves out a call or the text beside it, or does not write this after its generation prompt.
    """
    before, whole = render(tokenizer, messages, tools), render(tokenizer, [*messages, answer], tools, prompt=False)
    if not whole.startswith(before):
        raise RefusedError("does not begin an answer with tool calls as its generation prompt does")
    text = whole[len(before) :]
    if not all(name in text for name in _names(answer["tool_calls"])):
        raise RefusedError(LEFT_OUT)
    if answer["content"].strip() not in text:
        raise RefusedError("leaves out the text beside tool calls")
    return text


def _names(calls: Sequence[Any]) -> Iterator[str]:
    for call in calls:
        function = call.get("function", call) if isinstance(call, dict) else {}
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str) or not name:
            raise RefusedError("cannot render a tool call without the name of a function")
        yield name


def _renamed(call: Any, name: str) -> Any:
    if not isinstance(call, dict):
        return call
    function = call.get("function")
    return {**call, "function": {**function, "name": name}} if isinstance(function, dict) else {**call, "name": name}
