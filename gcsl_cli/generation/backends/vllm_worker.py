"""The process that samples with vLLM, started as a script by the interpreter of vLLM's environment.

That environment need not have gcsl or its dependencies, so this file imports only the standard library, torch and vLLM.
Messages are lines of JSON on stdin and stdout; a line starts the engine, and every further one is a request:

    in   {"model": FOLDER, "dtype": "float32", "max_model_len": 512, "max_num_seqs": 512, ...}   arguments of `vllm.LLM`
    out  {"version": "0.32.0"}
    in   {"prompts": [[5, 9]], "against": null, "seeds": [[71, 72]], "guidance": 0.0, "suppress": [],
          "params": {"temperature": 1.0, "top_p": 0.9, "max_tokens": 20, "stop_token_ids": [1]}}
    out  {"completions": [[[7, 1], [8, 6, 1]]], "redone": 0}

`python vllm_worker.py check` imports vLLM and prints its version as the first `out` line does. Logs go to stderr.
"""

import json
import os
import sys
from typing import Any

# Engine and requests in one process: the two requests of a pair are then admitted in the same step.
os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
ASKED, OTHER = "asked", "other"
ATTEMPTS = 5
"""How often pairs that fell out of step are sampled again, in smaller groups each time."""


def main() -> None:
    """Serve requests until stdin ends."""
    # vLLM and its children print to stdout; replies keep the original one for themselves.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # The folder of this script is no place to import from.
    sys.path[:] = [entry for entry in sys.path if entry != os.path.dirname(os.path.abspath(__file__))]  # noqa: PTH100, PTH120
    import vllm

    engine = None
    if sys.argv[1:] == ["check"]:
        from vllm.v1.sample.logits_processor import LogitsProcessor  # noqa: F401  # what only some versions have

        print(json.dumps({"version": vllm.__version__}), file=replies, flush=True)
        return
    for line in sys.stdin:
        message = json.loads(line)
        if engine is None:
            engine = vllm.LLM(**message, logits_processors=[steering()], skip_tokenizer_init=True)
            reply: dict[str, Any] = {"version": vllm.__version__}
        else:
            reply = sampled(engine, message)
        print(json.dumps(reply), file=replies, flush=True)


def sampled(engine: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Sample every prompt once for each of its seeds."""
    prompts, against, seeds = request["prompts"], request["against"], request["seeds"]
    jobs = [(place, seed) for place, row in enumerate(seeds) for seed in row]
    if against is None:
        tokens = generated(engine, request, [(prompts[place], seed, {}) for place, seed in jobs])
        redone = 0
    else:
        tokens, redone = guided(engine, request, [(prompts[place], against[place], seed) for place, seed in jobs])
    found = iter(tokens)
    return {"completions": [[next(found) for _ in row] for row in seeds], "redone": redone}


def guided(
    engine: Any, request: dict[str, Any], pairs: list[tuple[list[int], list[int], int]]
) -> tuple[list[list[int]], int]:
    """Sample pairs of requests in step: what the first of each draws, and how many were sampled again."""
    found: dict[int, list[int]] = {}
    redone = 0
    for attempt in range(ATTEMPTS):
        left = [number for number in range(len(pairs)) if number not in found]
        redone += len(left) if attempt else 0
        group = 1 if attempt == ATTEMPTS - 1 else max(1, len(pairs) // 4**attempt)
        for start in range(0, len(left), group):
            chosen = left[start : start + group]
            rows: list[tuple[list[int], int, dict[str, Any]]] = []
            for number in chosen:
                asked, other, seed = pairs[number]
                pair = {"pair": number, "weight": request["guidance"]}
                rows += [(asked, seed, {**pair, "role": ASKED}), (other, seed, {**pair, "role": OTHER})]
            tokens = generated(engine, request, rows)
            drawn = zip(chosen, tokens[::2], tokens[1::2], strict=True)
            found.update({number: asked for number, asked, other in drawn if asked == other})
    lost = len(pairs) - len(found)
    if lost:
        raise RuntimeError(f"{lost} of {len(pairs)} pairs of guided requests fell out of step {ATTEMPTS} times")
    return [found[number] for number in range(len(pairs))], redone


def generated(
    engine: Any, request: dict[str, Any], rows: list[tuple[list[int], int, dict[str, Any]]]
) -> list[list[int]]:
    """The token ids that are drawn for `(prompt ids, seed, steering)` rows, with the end token if there is one."""
    from vllm import SamplingParams

    params = [
        SamplingParams(
            **request["params"],
            seed=seed,
            ignore_eos=True,  # of the model's own; the request says which tokens end a completion
            detokenize=False,
            extra_args={**steer, "suppress": request["suppress"]},
        )
        for _, seed, steer in rows
    ]
    outputs = engine.generate([{"prompt_token_ids": ids} for ids, _, _ in rows], params, use_tqdm=False)
    return [[int(id_) for id_ in output.outputs[0].token_ids] for output in outputs]


def steering() -> Any:
    """The class of vLLM logits processors that guides pairs of requests and suppresses tokens."""
    from vllm.v1.sample.logits_processor import LogitsProcessor, MoveDirectionality

    class Steering(LogitsProcessor):
        """Give both rows of a pair the guided logits, so that equal seeds draw equal tokens."""

        def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:  # noqa: ARG002
            self.rows: dict[int, tuple[dict[str, Any], list[int]]] = {}

        def is_argmax_invariant(self) -> bool:
            return False

        def update_state(self, batch_update: Any) -> None:
            if batch_update is None:
                return
            for row in batch_update.removed:
                self.rows.pop(row, None)
            for row, params, _, output in batch_update.added:
                self.rows[row] = (params.extra_args or {}, output)
            for source, target, way in batch_update.moved:
                moved, there = self.rows.pop(source, None), self.rows.pop(target, None)
                if moved is not None:
                    self.rows[target] = moved
                if way == MoveDirectionality.SWAP and there is not None:
                    self.rows[source] = there

        def apply(self, logits: Any) -> Any:
            pairs: dict[int, dict[str, int]] = {}
            for row, (steer, _) in self.rows.items():
                if "pair" in steer:
                    pairs.setdefault(steer["pair"], {})[steer["role"]] = row
            self.guide(logits, [pair for pair in pairs.values() if self.in_step(pair)])
            for row, (steer, _) in self.rows.items():
                if steer.get("suppress"):
                    logits[row, steer["suppress"]] = float("-inf")
            for pair in pairs.values():
                if not self.in_step(pair):
                    # From here on the two rows draw different tokens, so that their results are not used.
                    for role, row in pair.items():
                        logits[row] = float("-inf")
                        logits[row, int(role == OTHER)] = 0.0
            return logits

        def in_step(self, pair: dict[str, int]) -> bool:
            return len({len(self.rows[row][1]) for row in pair.values()}) == 1 and len(pair) == 2

        def guide(self, logits: Any, pairs: list[dict[str, int]]) -> None:
            if not pairs:
                return
            asked, other = ([pair[role] for pair in pairs] for role in (ASKED, OTHER))
            weight = logits.new_tensor([self.rows[row][0]["weight"] for row in asked]).float()[:, None]
            target, against = (logits[rows].float().log_softmax(-1) for rows in (asked, other))
            logits[asked] = logits[other] = (logits[asked].float() + weight * (target - against)).to(logits.dtype)

    return Steering


if __name__ == "__main__":
    main()
