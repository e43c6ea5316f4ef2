"""Sample the same prompts with the backends hf and vllm: python scripts/bench_vllm.py --python PATH [OVERRIDES].

Samples the base model without a goal, with the settings of `generation`, on evaluation prompts of the task, in turn for
some rounds. Prints tokens per second of each backend (without the start of vLLM's engine, which is printed apart), the
ratio of the medians (above 1: vllm is faster), and in how many of the prompts both have the same greedy tokens.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

from gcsl_cli.configs import load
from gcsl_cli.generation.backends.base import Sampler
from gcsl_cli.generation.sampling import Sampled, Sampling
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.samplers import sampler_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="interpreter that has vLLM")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("overrides", nargs="*", help="as for gcsl generate")
    arguments = parser.parse_args()
    vllm = ["generation.backend=vllm", f"generation.vllm.python={arguments.python}"]
    hf, other = (Experiment(load([*arguments.overrides, *more])) for more in ([], vllm))
    config, prompter = hf.config.generation, hf.plain_prompter
    prompts = [prompter.prompt_ids(prompt.text, None) for prompt in hf.config.task.prompts()[: arguments.prompts]]
    sampling = Sampling(config.samples, config.max_new_tokens, config.temperature, config.top_p, 0.0, config.batch_size)

    def sample(sampler: Sampler, settings: Sampling) -> tuple[list[list[Sampled]], float]:
        started = time.perf_counter()
        found = sampler.sample(prompts, None, prompter.end, settings, seed=0)
        return found, time.perf_counter() - started

    with other.engines.kept():
        samplers = {"hf": sampler_of(hf, trained=False), "vllm": sampler_of(other, trained=False)}
        greedy = {}
        for name, sampler in samplers.items():
            greedy[name], seconds = sample(sampler, replace(sampling, samples=1, temperature=0.001))
            print(f"{name:4s}  first call, greedy, with the start of the engine: {seconds:.1f} s", flush=True)
        rates: dict[str, list[float]] = {name: [] for name in samplers}
        for _ in range(arguments.rounds):
            for name, sampler in samplers.items():
                found, seconds = sample(sampler, sampling)
                rates[name].append(sum(one.tokens for samples in found for one in samples) / seconds)
    report(rates, greedy["hf"], greedy["vllm"])


def report(rates: dict[str, list[float]], ours: Sequence[object], theirs: Sequence[object]) -> None:
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, found in rates.items():
        spread = f"{min(found):.0f} to {max(found):.0f}"
        print(f"{name:4s}  {medians[name]:7.0f} tokens/s, median of {len(found)} ({spread})")
    print(f"vllm / hf: {medians['vllm'] / medians['hf']:.2f}")
    equal = sum(one == other for one, other in zip(ours, theirs, strict=True))
    print(f"greedy completions that are equal: {equal} of {len(ours)}")


if __name__ == "__main__":
    main()
