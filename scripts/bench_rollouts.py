"""Compare rollout speed with plain `model.generate`: python scripts/bench_rollouts.py [--samples 8] [--prompts 64].

Both sample 20 tokens per completion with top-p 0.9 from the real model and prompts of the task, alternating, at several
batch sizes. Prints tokens per second of each and the ratio at the best batch size of each (above 1: gcsl is faster).
"""

import argparse
import statistics
import time

import torch
from transformers import GenerationConfig

from gcsl_cli.configs import load
from gcsl_cli.generation.sampling import Sampling, sample_prompts
from gcsl_cli.models.loading import end_tokens
from gcsl_cli.stages.experiment import Experiment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 128, 256])
    arguments = parser.parse_args()
    experiment = Experiment(load([]))
    model, tokenizer = experiment.base_model, experiment.tokenizer
    prompter = experiment.plain_prompter
    prompts = [
        prompter.prompt_ids(prompt.text, None) for prompt in experiment.config.task.prompts()[: arguments.prompts]
    ]
    ends = end_tokens(tokenizer, model)

    def ours(batch_size: int) -> float:
        sampling = Sampling(arguments.samples, 20, 1.0, 0.9, 0.0, batch_size)
        started = time.perf_counter()
        sampled = sample_prompts(model, tokenizer, prompts, None, ends, sampling, seed=0)
        return sum(sample.tokens for samples in sampled for sample in samples) / (time.perf_counter() - started)

    def plain(batch_size: int) -> float:
        config = GenerationConfig(
            max_new_tokens=20,
            do_sample=True,
            top_p=0.9,
            top_k=0,
            eos_token_id=ends,
            pad_token_id=tokenizer.pad_token_id,
        )
        expanded = sorted((ids for ids in prompts for _ in range(arguments.samples)), key=len)
        tokens = 0
        started = time.perf_counter()
        for start in range(0, len(expanded), batch_size):
            batch = tokenizer.pad({"input_ids": expanded[start : start + batch_size]}, return_tensors="pt")
            with torch.inference_mode():
                generated = model.generate(**batch, generation_config=config)[:, batch["input_ids"].shape[1] :]
            ended = torch.isin(generated, torch.tensor(ends))
            tokens += int((ended.cumsum(dim=1) - ended.int() == 0).sum())
        return tokens / (time.perf_counter() - started)

    best: dict[str, float] = {}
    for batch_size in arguments.batch_sizes:
        rounds = [(ours(batch_size), plain(batch_size)) for _ in range(arguments.rounds)]
        for name, rates in zip(("ours", "generate"), zip(*rounds, strict=True), strict=True):
            rate = statistics.median(rates)
            best[name] = max(best.get(name, 0.0), rate)
            print(f"batch {batch_size:4d}  {name:9s} {rate:7.0f} tokens/s  (median of {len(rates)})", flush=True)
    print(f"ratio at the best batch size of each: {best['ours'] / best['generate']:.2f}")


if __name__ == "__main__":
    main()
