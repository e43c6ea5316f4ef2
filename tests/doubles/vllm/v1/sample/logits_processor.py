"""What logits processors of vLLM are told of the batch."""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


class MoveDirectionality(Enum):
    UNIDIRECTIONAL = auto()
    SWAP = auto()


@dataclass
class BatchUpdate:
    removed: list[int] = field(default_factory=list)
    added: list[tuple[int, Any, list[int], list[int]]] = field(default_factory=list)
    moved: list[tuple[int, int, MoveDirectionality]] = field(default_factory=list)


class LogitsProcessor:
    pass
