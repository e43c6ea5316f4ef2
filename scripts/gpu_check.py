"""Run what only a GPU can show, in about ten minutes: scripts/gpu_check.sh WHEELS, or python scripts/gpu_check.py.

Trains random models of the shapes of Qwen3-4B and Llama-3.1-8B with LoRA on made-up rows, 20 steps each: a bare TRL
script and gcsl on the same plan, with gradient checkpointing, with goals after the prompt as separate rows and with
shared prompts (FlexAttention), in 4 bits, and sharded by FSDP2 in one process. Before that, a tiny model in float32 on
the GPU and on the CPU. Writes one JSON file: for every check its tokens per second, peak memory, losses and gradient
norms, or why there are none, and the largest relative differences between checks that should do the same. Nothing is
downloaded. `--tiny --device cpu` tries the script itself.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from gpu_models import SHAPES, build, write_rows
from transformers import TrainerCallback
from trl import SFTTrainer

from gcsl_cli.configs import load
from gcsl_cli.models.attention import attention_of
from gcsl_cli.runs.progress import progress
from gcsl_cli.stages import trainer
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import ensure_feedback
from gcsl_cli.stages.planning.goal import make_goal
from gcsl_cli.stages.planning.plan import make_examples, make_plan
from gcsl_cli.training.loop import common_arguments, train_plan
from gcsl_cli.training.micro_batches import IGNORED
from gcsl_cli.training.plan import Budget
from gcsl_cli.training.sft import sft_arguments

Result = dict[str, Any]
WARM_UP = 4
"""Steps that are not timed: kernels are compiled and memory is allocated."""
AFTER = ["goal.placement=after_prompt", "goal.pairing=all"]
TINY = "tiny, float32"
ARMS: dict[str, list[str]] = {
    "cpu": [],
    "bare TRL": [],
    "gcsl": [],
    "checkpointing": ["train.gradient_checkpointing=true"],
    "separate rows": [*AFTER, "train.shared_prefix=off"],
    "shared prompts": [*AFTER, "train.shared_prefix=on"],
    "nf4": ["adapter=qlora"],
    "fsdp2": [],
}
"""The checks of a shape, and their overrides."""
COMPARED = (
    ("gcsl", "cpu"),
    ("gcsl", "bare TRL"),
    ("checkpointing", "gcsl"),
    ("shared prompts", "separate rows"),
    ("fsdp2", "gcsl"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="the same layers, but few and narrow")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=540, help="start no check after this time")
    parser.add_argument("--alone", nargs=3, metavar=("SHAPE", "ARM", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif not torch.cuda.is_available():
        raise SystemExit("No GPU was found. Try the script with --tiny --device cpu.")
    if given.alone:
        shape, arm, place = given.alone
        given.output.write_text(json.dumps(measured(Path(place), shape, arm, given.steps)), encoding="utf-8")
        return
    started = time.monotonic()
    device = torch.cuda.get_device_name() if given.device == "cuda" else "cpu"
    found: Result = {"device": device, "torch": torch.__version__, "tiny": given.tiny, "steps": given.steps}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.jsonl")
        for shape, make in {TINY: SHAPES["llama3.1-8b"], **SHAPES}.items():
            arms: dict[str, Result] = {}
            for arm in ARMS:
                if (arm == "cpu") != (shape == TINY) and (arm == "cpu" or arm in ("nf4", "fsdp2")):
                    continue
                if time.monotonic() - started > given.seconds:
                    arms[arm] = {"skipped": "no time was left"}
                    continue
                place = folder / shape.replace(", ", "-")
                if not place.exists():
                    build(place, make, tiny=given.tiny or shape == TINY, device=given.device)
                check = in_a_process if arm in ("cpu", "fsdp2") else in_this_process
                arms[arm] = attempt(partial(check, given, place, shape, arm))
                shown = {key: value for key, value in arms[arm].items() if key not in ("losses", "gradient_norms")}
                print(shape, arm, shown, flush=True)
                found[shape] = {"checks": arms, "differences": differences(arms)}
                given.output.write_text(json.dumps(found, indent=1), encoding="utf-8")
            for path in folder.rglob("*.safetensors"):
                path.unlink()  # two models may not fit on the disk
    found["seconds"] = round(time.monotonic() - started)
    given.output.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(f"{given.output}: {found['seconds']} s")


def attempt(check: Callable[[], Result]) -> Result:
    """The result of a check, or its error: the others go on."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001
        return {"error": f"{type(error).__name__}: {str(error)[:500]}"}
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def measured(folder: Path, shape: str, arm: str, steps: int) -> Result:
    """Train the model in `folder` and return tokens per second, peak memory in GiB and the loss of each step."""
    precision = "train.precision=fp32" if shape == TINY else "train.precision=auto"
    experiment = Experiment(load([*lines(folder), precision, *ARMS[arm]]))
    trainer.check_setup(experiment)
    feedback = ensure_feedback(experiment)
    rows = feedback.of_split("train")
    spec, levels = make_goal(experiment.config, feedback, rows)
    examples = make_examples(experiment, spec, rows)
    plan = make_plan(experiment, examples, spec, levels, Budget(steps=steps))
    settings = replace(trainer.train_settings(experiment), checkpoint_every=plan.steps + 1)
    if arm == "fsdp2":
        settings = replace(settings, fsdp=dict(load(["distributed=fsdp2"]).distributed.fsdp))
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    watch = Watch()
    with tempfile.TemporaryDirectory() as checkpoints:
        if arm == "bare TRL":
            batches = examples.planned(plan)
            model = trainer.trained_base(experiment, spec, bf16=settings.bf16)
            attention = attention_of(model.config)
            arguments = sft_arguments(common_arguments(settings, Path(checkpoints), validated=False))
            arguments.per_device_train_batch_size = experiment.config.train.batch_size
            arguments.remove_unused_columns = True
            arguments.save_strategy = "no"
            bare = SFTTrainer(
                model=model,
                args=arguments,
                train_dataset=plain_rows(batches),
                processing_class=experiment.tokenizer,
                peft_config=trainer.peft_config(experiment.config.adapter),
                callbacks=[watch],
            )
            bare.train()
            history, share = bare.state.log_history, None
        else:
            make, share = trainer.make_trainer(experiment, spec, examples, plan, settings)

            def watched(given: dict[str, Any], callbacks: list[TrainerCallback]) -> Any:
                return make(given, [*callbacks, watch])

            with progress("training", int(plan.tokens.sum()), "tokens") as bar:
                trained = train_plan(watched, plan, settings, Path(checkpoints), bar, validated=False)
            history, attention = trained.history, attention_of(trained.model.config)
    per_step = torch.bincount(torch.tensor(plan.step), weights=torch.tensor(plan.tokens, dtype=torch.float64))
    warm = min(WARM_UP, plan.steps - 1)
    return {
        "tokens_per_second": round(float(per_step[warm:].sum()) / (watch.times[-1] - watch.times[warm - 1])),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if torch.cuda.is_available() else None,
        "attention": attention,
        "shares_prompts": share is not None,
        "tokens_per_step": round(float(per_step.mean())),
        "losses": [entry["loss"] for entry in history if "loss" in entry],
        "gradient_norms": [entry["grad_norm"] for entry in history if "grad_norm" in entry],
    }


class Watch(TrainerCallback):
    """When each step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Wait for the GPU and note the time."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


def in_this_process(given: argparse.Namespace, folder: Path, shape: str, arm: str) -> Result:
    """Run a check here."""
    return measured(folder, shape, arm, given.steps)


def in_a_process(given: argparse.Namespace, folder: Path, shape: str, arm: str) -> Result:
    """Run a check in a process that does not see the GPU, or for FSDP2, in one with a process group of its own."""
    if arm == "fsdp2" and given.device == "cpu":
        return {"skipped": "accelerate offers FSDP2 on GPUs only"}
    ranks = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29511"}
    output, hidden = folder / f"{arm}.json", {"CUDA_VISIBLE_DEVICES": ""}
    program = [sys.executable, __file__, "--steps", str(given.steps), "--output", str(output)]
    device = "cpu" if arm == "cpu" else given.device
    ended = subprocess.run(
        [*program, "--device", device, "--alone", shape, arm, str(folder)],
        env={**os.environ, **(hidden if arm == "cpu" else ranks)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(ended.stderr[-400:])
    result: Result = json.loads(output.read_text(encoding="utf-8"))
    return result


def differences(arms: dict[str, Result]) -> Result:
    """Of arms that should do the same: the largest relative difference of losses, and of the first gradient norm."""
    return {
        f"{one} / {other}": difference(arms[one], arms[other])
        for one, other in COMPARED
        if "losses" in arms.get(one, {}) and "losses" in arms.get(other, {})
    }


def difference(one: Result, other: Result) -> Result:
    pairs = zip(one["losses"], other["losses"], strict=True)
    first, second = one["gradient_norms"][0], other["gradient_norms"][0]
    return {
        "loss": max(abs(a - b) / abs(b) for a, b in pairs),
        "first loss": abs(one["losses"][0] / other["losses"][0] - 1),
        "first gradient norm": abs(first / second - 1),
    }


def lines(folder: Path) -> list[str]:
    """Overrides that all checks of a model share."""
    return [
        "task=feedback",
        f"task.path={folder.parent / 'rows.jsonl'}",
        "task.format=plain",
        "goal=gcsl_bey",
        "model=local",
        f"model.uri={folder}",
        "train.batch_size=16",
        "train.micro_batch_size=16",
        "train.gradient_checkpointing=false",
        f"runs_dir={folder / 'runs'}",
    ]


def plain_rows(batches: Any) -> Dataset:
    """The rows of a plan as TRL takes them."""
    return Dataset.from_list(
        [
            {"input_ids": row.input_ids, "labels": [IGNORED] * row.prompt_tokens + row.input_ids[row.prompt_tokens :]}
            for item in batches
            for sequence in item["sequences"]
            for row in sequence.rows
        ]
    )


if __name__ == "__main__":
    main()
