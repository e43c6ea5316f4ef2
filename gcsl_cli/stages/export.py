"""export: the model of a run with a model card, as a folder or on the Hugging Face Hub."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from gcsl_cli.configs.saved import saved_model
from gcsl_cli.data.artifacts.hub import parse_hub_uri, upload_model
from gcsl_cli.errors import ConfigError, RunError
from gcsl_cli.goals.scale import short_number
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.goals.spec_file import FILE_NAME, load_spec
from gcsl_cli.models.loading import is_adapter
from gcsl_cli.reports.model_card import Card, model_card
from gcsl_cli.runs.files import make_folder, read_json, resolved, storage_errors, write_text
from gcsl_cli.runs.folders import MANIFEST, changed_file, trained_manifest

CARD = "README.md"
HUB = "hf://"
FACTS = (
    ("optimizer steps", "steps"),
    ("tokens", "tokens"),
    ("supervised tokens", "supervised_tokens"),
    ("validation loss", "validation_loss"),
    ("finished", "finished"),
    ("commit of gcsl", "commit"),
)
"""Entries of the manifest that the card lists: label and key."""


def run(folder: Path, to: str, *, private: bool) -> dict[str, Any]:
    """Write the model, `goal.json` and the card to `to`, a folder or `hf://OWNER/NAME`.

    Raises:
        ConfigError: `to` is not a usable name, or a folder that is not empty.
        RunError: `folder` is not that of a trained run, or its model is damaged.
        ArtifactError: the Hub refuses the upload.
    """
    manifest = trained_manifest(folder)
    hub = to.startswith(HUB)
    if "://" in to and not hub:
        raise ConfigError(f"--to {to}: expected a folder or hf://OWNER/NAME.")
    if private and not hub:
        raise ConfigError("--private is for the Hub: --to hf://OWNER/NAME.")
    name = _repository(to) if hub else resolved(to).name
    card = _card(folder, manifest, name)
    if hub:
        with tempfile.TemporaryDirectory(prefix="gcsl-") as temporary:
            _fill(folder, Path(temporary) / "model", card)
            place = upload_model(Path(temporary) / "model", name, private=private)
    else:
        place = to
        # A link to an empty folder stays, and the model appears where it leads.
        _write_atomically(folder, resolved(to), card)
    return {
        "stage": "export",
        "status": "done",
        "run": str(folder),
        "message": f"exported to {place}",
        "summary": [
            ["weights", "an adapter" if card.adapter else "whole model"],
            ["goals", ", ".join(goal for goal, _ in card.goals) or "none"],
            ["results", "from its evaluation" if card.result else "none: no evaluation is finished and undamaged"],
        ],
    }


def _repository(to: str) -> str:
    item = parse_hub_uri(to)
    if item.repo_type != "model" or item.file is not None:
        raise ConfigError(f"--to {to}: expected a folder or hf://OWNER/NAME.")
    return item.repo_id


def _write_atomically(folder: Path, target: Path, card: Card) -> None:
    """Write to a folder that appears only once it is complete."""
    if resolved(folder) in target.parents:
        raise ConfigError(f"--to {target}: inside the run that is exported. Name a folder elsewhere.")
    make_folder(target.parent)
    with storage_errors(target):
        taken = target.exists()
    if taken and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"--to {target}: exists and is not an empty folder. Choose another name, or remove it.")
    with (
        storage_errors(target),
        tempfile.TemporaryDirectory(prefix=".gcsl-", dir=target.parent) as temporary,
    ):
        _fill(folder, Path(temporary) / "model", card)
        if target.exists():
            target.rmdir()
        (Path(temporary) / "model").rename(target)


def _fill(folder: Path, target: Path, card: Card) -> None:
    shutil.copytree(folder / "model", target)
    shutil.copyfile(folder / FILE_NAME, target / FILE_NAME)
    write_text(target / CARD, model_card(card))


def _card(folder: Path, manifest: dict[str, Any], name: str) -> Card:
    spec = load_spec(folder)
    keys: Any = manifest.get("keys")
    try:
        label, seed = str(keys["method"]["label"]), str(keys["seed"])
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{folder / MANIFEST} is damaged: its keys are {keys!r}. Train again with force=true."
        ) from error
    low, high = sorted(spec.scale.grade(score) for score in spec.training_range)
    return Card(
        name=name,
        base=saved_model(folder).uri,
        label=label,
        goals=_goals(spec),
        target=_default_goal(spec),
        scale=f"{spec.scale.name} from {short_number(low)} to {short_number(high)}",
        plain=spec.prompt_format == "plain",
        adapter=is_adapter(folder / "model"),
        command=str(manifest.get("command", "")),
        facts=[
            ("task", spec.task),
            ("method", label),
            ("seed", seed),
            *((label, str(manifest[key])) for label, key in FACTS if manifest.get(key) is not None),
        ],
        result=_newest_result(folder),
    )


def _goals(spec: GoalSpec) -> list[tuple[str, str]]:
    return [*spec.named_goals(), ("none", "(no goal)")] if spec.has_goal else []


def _default_goal(spec: GoalSpec) -> str:
    return spec.label(spec.goal()) if spec.has_goal else "none"


def _newest_result(folder: Path) -> dict[str, Any] | None:
    """`metrics.json` of the newest evaluation on test prompts that is finished and whole."""
    found: list[tuple[str, dict[str, Any]]] = []
    for path in (folder / "evaluations").glob(f"*/{MANIFEST}"):
        try:
            manifest = read_json(path)
            whole = manifest.get("finished") and not changed_file(path.parent, manifest, "metrics.json")
            result = read_json(path.parent / "metrics.json") if whole else None
        except RunError:
            continue
        if result is not None and result.get("arms"):
            found.append((str(manifest["finished"]), result))
    return max(found, key=lambda pair: pair[0])[1] if found else None
