"""Completions that call tools: the assistant's message as JSON behind a mark, until a chat template renders it.

'␟calls␟{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "find", "arguments": {}}}]}'
"""

import json
from typing import Any

MARK = "␟calls␟"


def packed(message: dict[str, Any]) -> str:
    """The completion that stands for a message with tool calls."""
    return MARK + json.dumps(message, ensure_ascii=False)


def unpacked(completion: str) -> dict[str, Any] | None:
    """The message that a completion stands for; None if it is a text."""
    if not completion.startswith(MARK):
        return None
    message: dict[str, Any] = json.loads(completion.removeprefix(MARK))
    return message
