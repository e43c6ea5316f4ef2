"""Read chat messages in the formats that people log, and write them in the one that chat templates take.

ShareGPT      {"from": "human", "value": "Hi"}
parts         {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
tool calls    {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "find", "arguments": "{}"}}]}
"""

import json
from collections import Counter
from typing import Any

from gcsl_cli.data.calls import MARK, packed
from gcsl_cli.data.input_files import Fault
from gcsl_cli.errors import listed
from gcsl_cli.tasks.feedback.columns import conversation_in

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
"""The template's name of each role."""
KEPT = ("name", "tool_call_id")
"""Keys of a message that templates read beside its role and content."""
EMPTY_SYSTEM = "empty system messages, left out"
WRITTEN = "conversations written as text, parsed"

Turn = dict[str, Any]


def turns(value: Any, column: str, notes: Counter[str]) -> list[Turn]:
    """The messages of a conversation; `notes` counts what was changed.

    Raises:
        Fault: the value is not a list of messages, or one of them cannot be used.
    """
    if value is None:
        raise Fault(f"{column} is missing", column, None)
    messages = conversation_in(value)
    if messages is None:
        raise Fault(f"{column} is not a list of messages, but the file starts with lists", column, value)
    if not messages:
        raise Fault(f"{column} is empty", column, value)
    if messages is not value:
        notes[WRITTEN] += 1
    found = [_turn(message, column, notes) for message in messages]
    return [turn for turn in found if turn is not None]


def completion_of(turn: Turn) -> str:
    """An assistant message as a completion: its text, or all of it if it calls tools."""
    return packed(turn) if "tool_calls" in turn else str(turn["content"])


def with_tools(conversation: list[Turn], tools: Any) -> str:
    """A conversation as a prompt in JSON: its messages, or an object of these and the tools that it may call."""
    tools = _decoded(tools)
    if isinstance(tools, list) and tools:
        return json.dumps({"messages": conversation, "tools": [_decoded(tool) for tool in tools]}, ensure_ascii=False)
    return json.dumps(conversation, ensure_ascii=False)


def _turn(message: Any, column: str, notes: Counter[str]) -> Turn | None:
    fields = message if isinstance(message, dict) else {}
    named = fields.get("role", fields.get("from"))
    role = ROLES.get(named.lower()) if isinstance(named, str) else None
    if role is None:
        raise Fault(f"message role is none of {listed(ROLES)}", column, message)
    if role != named:
        notes[f"messages by {named}, read as {role}"] += 1
    content = text_of_parts(fields.get("content", fields.get("value")), column)
    calls = fields.get("tool_calls")
    if calls and role == "assistant":
        if content is not None and not isinstance(content, str):
            raise Fault("message without text", column, message)
        return {"role": role, "content": unicode(content or "", column), "tool_calls": [_call(call) for call in calls]}
    if role == "system" and (content is None or content == ""):
        notes[EMPTY_SYSTEM] += 1
        return None
    if not isinstance(content, str) or not content.strip():
        raise Fault("message without text", column, message)
    kept = {key: fields[key] for key in KEPT if role == "tool" and isinstance(fields.get(key), str)}
    return {"role": role, "content": unicode(content, column), **kept}


def text_of_parts(content: Any, column: str) -> Any:
    """Join the texts of content that is a list of parts; anything else stays as it is.

    Raises:
        Fault: a part is not text.
    """
    if not isinstance(content, list) or not content:
        return content
    texts = []
    for part in content:
        kind = part.get("type", "text") if isinstance(part, dict) else "text"
        text = part.get("text") if isinstance(part, dict) else part
        if kind != "text":
            raise Fault(f"message part of type {kind}; only text can be used", column, part)
        if not isinstance(text, str):
            raise Fault("message without text", column, part)
        texts.append(text)
    return "".join(texts)


def unicode(text: str, column: str) -> str:
    """Refuse lone surrogates, which JSON escapes can produce, and gcsl's own mark of tool calls."""
    if text.startswith(MARK):
        raise Fault(f"{column} begins with a mark that gcsl uses itself", column, text)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Fault(f"{column} is not valid Unicode", column, ascii(text)) from None
    return text


def _call(call: Any) -> Any:
    """A tool call whose arguments are an object, which is what templates take; logs often have them as text."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return call
    return call | {"function": function | {"arguments": _decoded(function.get("arguments"))}}


def _decoded(value: Any) -> Any:
    """What a JSON text stands for; anything else stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
