"""A double of vLLM for its worker process: the parts that the worker uses, on a model of transformers, step by step.

Requests are admitted as in vLLM: in order, while there is room for sequences and for tokens. So a small
`max_num_batched_tokens` admits the two requests of a pair in different steps. Environment variables make it fail:

    VLLM_DOUBLE_VERSION=0.9.1    the version that it claims to be
    VLLM_DOUBLE_ENDS_AT=2        exit in the second call of `generate`
"""

import os
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from .v1.sample.logits_processor import BatchUpdate, MoveDirectionality

__version__ = os.environ.get("VLLM_DOUBLE_VERSION", "0.32.0")


@dataclass
class SamplingParams:
    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    stop_token_ids: list[int]
    ignore_eos: bool
    detokenize: bool
    extra_args: dict[str, Any]


@dataclass
class Request:
    number: int
    prompt: list[int]
    params: SamplingParams
    generator: Any
    output: list[int] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return len(self.output) == self.params.max_tokens or bool(
            self.output and self.output[-1] in self.params.stop_token_ids
        )


class LLM:
    def __init__(
        self,
        *,
        model: str,
        dtype: str,
        max_model_len: int,
        max_num_seqs: int,
        logits_processors: list[type],
        skip_tokenizer_init: bool,
        max_num_batched_tokens: int = 2**31,
    ) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        print("vLLM prints to stdout while it starts")
        os.system("echo and so do its children")
        assert skip_tokenizer_init
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)).eval()
        self.length, self.sequences, self.tokens = max_model_len, max_num_seqs, max_num_batched_tokens
        self.processors = [processor(None, "cpu", False) for processor in logits_processors]
        self.calls, self.update = 0, BatchUpdate()

    def generate(self, prompts: list[dict[str, list[int]]], params: list[SamplingParams], *, use_tqdm: bool) -> Any:
        import torch

        self.calls += 1
        if str(self.calls) == os.environ.get("VLLM_DOUBLE_ENDS_AT"):
            print("first of the last lines", file=sys.stderr)
            print("MemoryError: the double is out of memory", file=sys.stderr, flush=True)
            os._exit(3)
        waiting = [
            Request(number, prompt["prompt_token_ids"], one, torch.Generator().manual_seed(one.seed))
            for number, (prompt, one) in enumerate(zip(prompts, params, strict=True))
        ]
        assert all(len(request.prompt) + request.params.max_tokens <= self.length for request in waiting)
        done: dict[int, list[int]] = {}
        running: list[Request] = []
        while waiting or running:
            budget = self.tokens - len(running)
            while waiting and len(running) < self.sequences and (budget >= len(waiting[0].prompt) or not running):
                request = waiting.pop(0)
                budget -= len(request.prompt)
                self.update.added.append((len(running), request.params, request.prompt, request.output))
                running.append(request)
            self.step(running)
            self.update = leave(running, done)
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=done[number])]) for number in range(len(prompts))]

    def step(self, running: list[Request]) -> None:
        import torch

        update = self.update

        with torch.inference_mode():
            rows = [self.model(torch.tensor([[*one.prompt, *one.output]])).logits[0, -1].float() for one in running]
            logits = torch.stack(rows)
            for processor in self.processors:
                processor.update_state(update if update.added or update.removed or update.moved else None)
                logits = processor.apply(logits)
            for request, row in zip(running, logits, strict=True):
                request.output.append(drawn(row, request.params, request.generator))


def leave(running: list[Request], done: dict[int, list[int]]) -> BatchUpdate:
    """Take finished requests out of the batch; the last rows move to their places."""
    update = BatchUpdate()
    for row in range(len(running) - 1, -1, -1):
        if running[row].finished:
            done[running[row].number] = running[row].output
            update.removed.append(row)
            last = running.pop()
            if row < len(running):
                running[row] = last
                update.moved.append((len(running), row, MoveDirectionality.UNIDIRECTIONAL))
    return update


def drawn(logits: Any, params: SamplingParams, generator: Any) -> int:
    """Greedy for temperature 0, else from the nucleus."""
    import torch

    if params.temperature == 0:
        return int(logits.argmax())
    probabilities, tokens = (logits / params.temperature).softmax(-1).sort(descending=True)
    kept = probabilities.masked_fill(probabilities.cumsum(-1) - probabilities >= params.top_p, 0)
    return int(tokens[torch.multinomial(kept, 1, generator=generator)])
