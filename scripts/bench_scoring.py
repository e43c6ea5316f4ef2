"""Measure how fast a reward model grades: python scripts/bench_scoring.py [FOLDER OF A MODEL] [COMPLETIONS].

Compares the scorer, without its cache, with the bare loop that people write: the texts in their order, padded, batch
after batch, at several batch sizes. The head is random, so the grades mean nothing. By default the model is
SmolLM2-135M, with the completions' lengths spread as those of answers are.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from gcsl_cli.configs import load
from gcsl_cli.models.loading import device, inference_dtype, model_folder
from gcsl_cli.scorers.base import Example
from gcsl_cli.scorers.reward_model import RewardModelScorer

BATCHES = (8, 16, 32, 64)
ROUNDS = 3
WORDS = "the answer is that a small model can say quite a lot about very little if it is asked to".split()  # noqa: SIM905


def classifier(base: Path, folder: Path) -> Path:
    """Save the model with a random head of one output."""
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    model.config.pad_token_id = model.config.eos_token_id
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def completions(count: int) -> list[str]:
    """Texts of 5 to some 200 words."""
    generator = np.random.default_rng(0)
    lengths = np.clip(generator.lognormal(3.5, 0.8, count), 5, 200).astype(int)
    return [" ".join(generator.choice(WORDS, length)) for length in lengths]


def bare_loop(folder: Path, texts: list[str], batch_size: int) -> Callable[[], Any]:
    """The loop of the model cards."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=inference_dtype()).to(device()).eval()

    @torch.inference_mode()
    def run() -> list[float]:
        grades: list[float] = []
        for start in range(0, len(texts), batch_size):
            batch = tokenizer(texts[start : start + batch_size], padding=True, return_tensors="pt").to(model.device)
            grades += model(**batch).logits[:, 0].float().tolist()
        return grades

    return run


def scorer(folder: Path, texts: list[str], batch_size: int) -> Callable[[], Any]:
    """The same by the scorer, which sorts by length."""
    made = RewardModelScorer(uri=str(folder), input="completion", batch_size=batch_size, cache=False)
    examples = [Example("", text) for text in texts]
    return lambda: made(examples)


def main() -> None:
    """Print completions per second of both, by batch size."""
    config = load([]).model
    base = Path(sys.argv[1]) if len(sys.argv) > 1 else model_folder(config.uri, config.sha256, config.revision)
    texts = completions(int(sys.argv[2]) if len(sys.argv) > 2 else 128)
    with tempfile.TemporaryDirectory() as name:
        folder = classifier(base, Path(name))
        runs = {(kind.__name__, size): kind(folder, texts, size) for size in BATCHES for kind in (bare_loop, scorer)}
        for run in runs.values():  # loads the models
            run()
        seconds: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
        for _ in range(ROUNDS):
            for key, run in runs.items():
                started = time.perf_counter()
                run()
                seconds[key].append(time.perf_counter() - started)
    for (kind, size), found in seconds.items():
        print(f"{kind:10} batch {size:3}: {len(texts) / statistics.median(found):7.1f} completions/s")


if __name__ == "__main__":
    main()
