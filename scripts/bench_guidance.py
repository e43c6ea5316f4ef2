"""Measure the cost of guidance: python scripts/bench_guidance.py [--prompts 64] [--samples 4].

Samples 20 tokens per completion for prompts of the toxicity task from the real model, alternating between plain
sampling under a goal and guidance against another goal, which runs the model twice per token. Prints the median time
per token of each and the median ratio over rounds.
"""

import argparse
import statistics
import time

from gcsl_cli.configs import load
from gcsl_cli.generation.sampling import Sampling, sample_prompts
from gcsl_cli.stages.experiment import Experiment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    experiment = Experiment(load([]))
    model, tokenizer, task = experiment.base_model, experiment.tokenizer, experiment.config.task
    texts = [prompt.text for prompt in task.prompts()[: arguments.prompts]]
    prompter = experiment.plain_prompter
    target, against = (
        [prompter.prompt_ids(f"{sentence}\n{text}", None) for text in texts]
        for sentence in (task.sentences[-1], task.sentences[0])
    )

    def seconds(guidance: float) -> float:
        """Wall time per sampled token; no completion ends early, so both variants take the same number of steps."""
        sampling = Sampling(arguments.samples, 20, 1.0, 0.9, guidance, 256)
        started = time.perf_counter()
        sampled = sample_prompts(model, tokenizer, target, against if guidance else None, [], sampling, seed=0)
        return (time.perf_counter() - started) / sum(sample.tokens for samples in sampled for sample in samples)

    seconds(2.0)  # the first call compiles and allocates
    rounds = [(seconds(0.0), seconds(2.0)) for _ in range(arguments.rounds)]
    plain, guided = (statistics.median(times) * 1000 for times in zip(*rounds, strict=True))
    ratio = statistics.median(second / first for first, second in rounds)
    print(f"plain {plain:.2f} ms per token, guided {guided:.2f} ms per token, median of {arguments.rounds} rounds")
    print(f"ratio {ratio:.2f} (two forward passes: 2)")


if __name__ == "__main__":
    main()
