"""Compare estimated with measured peak memory of training on the CPU: python scripts/bench_memory.py [--rows 8].

Trains random Llama models of two sizes for two steps, each in a forked process, and compares the growth of its peak
resident memory with the estimate that the dry run prints. Linux only. glibc keeps freed blocks of up to 32 MiB, such as
all tensors of models as small as these; here it returns them, unless --default-malloc is given.
"""

import argparse
import ctypes
import json
import multiprocessing
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from gcsl_cli.cli import console
from gcsl_cli.configs import load
from gcsl_cli.models.loading import fast_bf16
from gcsl_cli.runs.progress import progress
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import ensure_feedback
from gcsl_cli.stages.planning.goal import make_goal
from gcsl_cli.stages.planning.memory import largest_batch, setup_of, sizes_of
from gcsl_cli.stages.planning.plan import make_examples, make_plan
from gcsl_cli.stages.trainer import make_trainer, train_settings
from gcsl_cli.training.loop import train_plan
from gcsl_cli.training.memory import memory
from gcsl_cli.training.plan import Budget
from gcsl_cli.training.sft import sft_arguments  # noqa: F401  # imported now, or it would be measured

SIZES: dict[str, dict[str, Any]] = {
    "11M": {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6},
    "37M": {"hidden_size": 640, "intermediate_size": 1728, "num_hidden_layers": 8, "num_attention_heads": 10},
}
M_MMAP_THRESHOLD = -3
SETUPS = {
    "LoRA": ["adapter=lora"],
    "LoRA, checkpointing": ["adapter=lora", "train.gradient_checkpointing=true"],
    "full": ["adapter=none"],
    "full, two passes": ["adapter=none", "train.micro_batch_size={half}"],
    "LoRA, bf16": ["adapter=lora", "train.precision=bf16"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8, help="rows per step, each of 256 tokens")
    parser.add_argument("--default-malloc", action="store_true", help="leave glibc's allocator as it is")
    arguments = parser.parse_args()
    console.setup()
    if not arguments.default_malloc:
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 256 * 1024)
    context = multiprocessing.get_context("fork")
    print("| model | setup | estimated MiB | measured MiB | error |\n|---|---|---:|---:|---:|")
    for size, widths in SIZES.items():
        for setup, overrides in SETUPS.items():
            if "train.precision=bf16" in overrides and not fast_bf16():
                continue  # takes many minutes
            with tempfile.TemporaryDirectory() as folder:
                lines = [line.format(half=arguments.rows // 2) for line in overrides]
                given = Path(folder), widths, arguments.rows, lines
                with context.Pool(1) as pool:
                    estimated, measured = pool.apply(measure, given)
            print(
                f"| {size} | {setup} | {estimated:.0f} | {measured:.0f} | {estimated / measured - 1:+.0%} |", flush=True
            )


def measure(folder: Path, widths: dict[str, Any], rows: int, overrides: list[str]) -> tuple[float, float]:
    """Return the estimated and the measured peak of one training in MiB."""
    make_model(folder / "model", widths)
    make_feedback(folder / "rows.jsonl")
    lines = ["task=feedback", f"task.path={folder / 'rows.jsonl'}", "model=local", f"model.uri={folder / 'model'}"]
    lines += [
        "task.format=plain",
        "goal=gcsl_bey",
        f"train.batch_size={rows}",
        "train.max_length=256",
        "train.precision=fp32",
    ]
    experiment = Experiment(load([*lines, f"runs_dir={folder / 'runs'}", *overrides]))
    feedback = ensure_feedback(experiment)
    train = feedback.of_split("train")
    spec, levels = make_goal(experiment.config, feedback, train)
    examples = make_examples(experiment, spec, train)
    plan = make_plan(experiment, examples, spec, levels, Budget(steps=2))
    sizes = sizes_of(experiment)
    assert sizes is not None
    estimate = memory(sizes, setup_of(experiment), largest_batch(examples, plan, None))
    settings = replace(train_settings(experiment), checkpoint_every=plan.steps + 1)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forget the peak so far
    with progress("training", int(plan.tokens.sum()), "tokens") as bar:
        make, _ = make_trainer(experiment, spec, examples, plan, settings)
        train_plan(make, plan, settings, folder / "checkpoints", bar, validated=False)
    return estimate.peak / 2**20, status("VmHWM") - before


def status(name: str) -> float:
    """Return an entry of this process's memory in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def make_feedback(path: Path) -> None:
    """Write 200 graded rows, each longer than 256 tokens of one byte."""
    lines = [{"prompt": f"{row:3} " * 30, "completion": " word" * 40, "score": row % 5} for row in range(200)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def make_model(folder: Path, widths: dict[str, Any]) -> None:
    """Save a random Llama and a tokenizer with one token per byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = ["<|pad|>", "<|end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|end|>").save_pretrained(
        folder
    )
    config = LlamaConfig(
        **widths, num_key_value_heads=2, vocab_size=4096, tie_word_embeddings=True, eos_token_id=1, bos_token_id=None
    )
    LlamaForCausalLM(config).save_pretrained(folder)


if __name__ == "__main__":
    main()
