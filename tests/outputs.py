"""Files of a finished run, in a form that allows comparing two runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.data.records import read_feedback, read_generations

if TYPE_CHECKING:
    from gcsl_cli.data.records import FeedbackRow, Generation

# Keys that record when and where a run was made, not its results.
CIRCUMSTANCES = {"seconds", "run", "command", "feedback", "training_seconds", "training_seconds_of_all_rounds"}


def only(folder: Path, pattern: str) -> Path:
    """Return the only path in the folder that matches the pattern."""
    found = sorted(folder.glob(pattern))
    assert len(found) == 1, found
    return found[0]


def training(runs: Path) -> Path:
    """The run folder."""
    return only(runs, "toxicity/threshold-language-*")


def feedback(runs: Path) -> "list[FeedbackRow]":
    """The graded rows."""
    return list(read_feedback(only(runs, "toxicity/feedback-*/feedback.parquet")))


def generations(runs: Path) -> "dict[str, list[Generation]]":
    """Completions of every sampled arm, by the name of its folder."""
    files = sorted(runs.glob("toxicity/*/generations/*/generations.parquet"))
    return {file.parent.name: read_generations(file) for file in files}


def weights(model: Path) -> dict[str, NDArray[np.float32]]:
    """Tensors of a model folder, by name."""
    from safetensors.numpy import load_file

    return load_file(model / "model.safetensors")


def losses(run: Path) -> list[tuple[float, ...]]:
    """Step, loss, gradient norm and learning rate of each training step, followed by the validation losses."""
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [
        tuple(entry[key] for key in ("step", "loss", "grad_norm", "learning_rate"))
        for entry in entries
        if "loss" in entry
    ]
    return [*steps, *((entry["step"], entry["eval_loss"]) for entry in entries if "eval_loss" in entry)]


def metrics(runs: Path) -> dict[str, Any]:
    """The evaluation's results, without the keys in CIRCUMSTANCES."""
    text = only(runs, "toxicity/*/evaluations/*/metrics.json").read_text(encoding="utf-8")
    found: dict[str, Any] = without_circumstances(json.loads(text))
    return found


def without_circumstances(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_circumstances(inner) for key, inner in value.items() if key not in CIRCUMSTANCES}
    return [without_circumstances(inner) for inner in value] if isinstance(value, list) else value


def finished(folder: Path) -> bool:
    """Return True if the manifest marks its work as finished."""
    return bool(json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("finished"))


def assert_same_training(one: Path, other: Path) -> None:
    """Assert that weights and logged losses of two run folders agree to 1e-6 and their plans exactly."""
    ours, theirs = weights(one / "model"), weights(other / "model")
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(
        [value for entry in losses(one) for value in entry],
        [value for entry in losses(other) for value in entry],
        rtol=0,
        atol=1e-6,
    )
    assert (one / "plan.parquet").read_bytes() == (other / "plan.parquet").read_bytes()
