"""Random models of the shapes of published ones, and made-up rows to train them on, for scripts/gpu_check.py."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from bench_memory import make_model
from transformers import LlamaConfig, Qwen3Config

COMMON: dict[str, Any] = {"head_dim": 128, "max_position_embeddings": 4096, "eos_token_id": 1, "bos_token_id": None}
SHAPES: dict[str, Callable[..., Any]] = {
    "qwen3-4b": partial(
        Qwen3Config,
        **COMMON,
        vocab_size=151936,
        hidden_size=2560,
        intermediate_size=9728,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        tie_word_embeddings=True,
    ),
    "llama3.1-8b": partial(
        LlamaConfig,
        **COMMON,
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        tie_word_embeddings=False,
    ),
}
SHRUNK: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}


def build(folder: Path, make: Callable[..., Any], *, tiny: bool, device: str) -> None:
    """Save a random model in bfloat16, made on the device, with a tokenizer of one token per byte."""
    from transformers import AutoModelForCausalLM

    make_model(folder, {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2})
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(make(**SHRUNK) if tiny else make(), dtype=torch.bfloat16)
    model.save_pretrained(folder)
    del model
    torch.cuda.empty_cache()


def write_rows(path: Path) -> None:
    """Graded rows of prompts of 200 tokens, one byte each, and completions of 60."""
    rows = [
        {"prompt": f"{row:04} " * 40, "completion": f" {row % 7}word" * 10, "score": row % 5} for row in range(2000)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
