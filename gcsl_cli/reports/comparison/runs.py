"""Find the runs of a comparison by folder or glob, and read their evaluations."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcsl_cli.errors import GcslError
from gcsl_cli.metrics.bootstrap import PerPrompt
from gcsl_cli.reports.saved import EVALUATIONS, METRICS_FILE, RESULT_VERSION, VALUES_FILE, read_values
from gcsl_cli.runs.files import read_json
from gcsl_cli.runs.folders import FORMAT_VERSION, MANIFEST, changed_file


@dataclass(frozen=True)
class Evaluation:
    """One finished evaluation of a run."""

    path: Path
    finished: str
    result: Mapping[str, Any]
    """The content of `metrics.json`."""

    @property
    def sampling(self) -> str:
        """How completions were sampled: `samples 4, max_new_tokens 20, temperature 1.0, ...`."""
        return str(self.result["compared_by"]["sampling"])

    @property
    def settings(self) -> dict[str, str]:
        """Sampling settings by name."""
        return {name: value for name, _, value in (part.partition(" ") for part in self.sampling.split(", "))}

    @property
    def protocol(self) -> tuple[str, ...]:
        """How arms were evaluated: prompts, sampling and measures."""
        shared = self.result["compared_by"]
        return (shared["evaluation prompts"], self.sampling, shared["measures"])

    @property
    def pairing(self) -> tuple[str, ...]:
        """What two evaluations must share for a paired difference.

        Temperature and top-p may differ: like guidance, they move a model between cautious and varied text.
        """
        shared = self.result["compared_by"]
        settings = (value for name, value in self.settings.items() if name not in ("temperature", "top_p"))
        return (shared["evaluation prompts"], *settings, shared["measures"])

    def values(self) -> dict[str, dict[str, PerPrompt]]:
        """The metrics of every arm, per prompt."""
        return read_values(self.path / VALUES_FILE)


@dataclass(frozen=True)
class Run:
    """A trained run with its finished evaluations, newest first."""

    path: Path
    manifest: Mapping[str, Any]
    evaluations: tuple[Evaluation, ...]

    @property
    def keys(self) -> dict[str, Any]:
        """What was trained, without the seed."""
        return {key: value for key, value in self.manifest["keys"].items() if key != "seed"}

    @property
    def seed(self) -> int:
        """The training seed."""
        return int(self.manifest["keys"]["seed"])


def matching(patterns: Iterable[str]) -> tuple[list[Path], list[str]]:
    """Return the run folders at or below the given folders and globs, and a line for each pattern without any."""
    found: dict[Path, None] = {}
    problems = []
    for pattern in patterns:
        try:
            places = [Path(pattern)] if Path(pattern).exists() else _glob(pattern)
        except (OSError, ValueError) as error:
            problems.append(f"{pattern}: {getattr(error, 'strerror', None) or error}.")
            continue
        runs = [run for place in places for run in runs_below(place)]
        if not runs:
            problems.append(f"{pattern}: {'contains no run' if places else 'matches nothing'}.")
        found.update(dict.fromkeys(runs))
    return list(found), problems


def _glob(pattern: str) -> list[Path]:
    path = Path(pattern)
    root = Path(path.anchor) if path.is_absolute() else Path()
    relative = str(path.relative_to(path.anchor)) if path.is_absolute() else pattern
    return sorted(root.glob(relative)) if relative else []


def runs_below(folder: Path) -> Iterator[Path]:
    """Yield the folder itself if it is a run, otherwise the runs in it."""
    if _kind(folder) == "training":
        yield folder
        return
    if folder.is_dir():
        yield from (path for path in sorted(folder.rglob("*")) if path.is_dir() and _kind(path) == "training")


def _kind(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("kind"))
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def read_runs(folders: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Return the runs that can be compared, and a line for each one that cannot."""
    runs, problems = [], []
    for folder in folders:
        try:
            runs.append(_read_run(folder))
        except UnusableError as reason:
            problems.append(f"{folder}: {reason}")
    return runs, problems


class UnusableError(Exception):
    """Why a run cannot be compared."""


def _read_run(folder: Path) -> Run:
    manifest = _read(folder / MANIFEST)
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise UnusableError(f"made by a different version of gcsl (format {version}; this one reads {FORMAT_VERSION}).")
    if not manifest.get("finished"):
        raise UnusableError("its training is not finished; run the same command again to resume it.")
    evaluations: list[Evaluation] = []
    reasons: list[str] = []
    for path in sorted((folder / EVALUATIONS).glob("*")):
        try:
            evaluations.append(_read_evaluation(path))
        except UnusableError as reason:
            reasons.append(f"{path.name}: {reason}")
    if not evaluations:
        raise UnusableError("; ".join(reasons) or "not evaluated yet; run gcsl evaluate with its overrides.")
    evaluations.sort(key=lambda evaluation: evaluation.finished, reverse=True)
    run = Run(folder, manifest, tuple(evaluations))
    try:
        _ = run.seed, run.keys["method"]["label"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnusableError(f"{MANIFEST} is not what gcsl wrote (its keys are {manifest.get('keys')!r}).") from error
    return run


def _read_evaluation(folder: Path) -> Evaluation:
    manifest = _read(folder / MANIFEST)
    if not manifest.get("finished"):
        raise UnusableError("its evaluation is not finished; run gcsl evaluate again to resume it.")
    for name in (METRICS_FILE, VALUES_FILE):
        if changed_file(folder, manifest, name):
            raise UnusableError(f"{name} is damaged; delete it and run gcsl evaluate again.")
    result = _read(folder / METRICS_FILE)
    version = result.get("format_version")
    if version != RESULT_VERSION:
        raise UnusableError(
            f"evaluated by a different version of gcsl (format {version}); run gcsl evaluate with force=true."
        )
    if not result.get("arms"):
        raise UnusableError("nothing was sampled, so there are no metrics (evaluation.generations=false).")
    return Evaluation(folder, str(manifest["finished"]), result)


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except (OSError, ValueError, GcslError) as error:
        raise UnusableError(f"{path.name} is missing or unreadable.") from error
