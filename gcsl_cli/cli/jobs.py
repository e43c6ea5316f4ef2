"""Jobs in Hydra's hands: one function that runs a stage, and outcomes that come back through files.

Hydra's launchers may run a job in another process, and one that raises ends a whole sweep, so a job never raises: it
leaves `job-3.json` in the folder that `GCSL_OUTCOMES` names:
    {"job": 3, "overrides": ["seed=3"], "code": 2, "result": {"stage": "train", "status": "failed", "message": "..."}}
"""

import contextlib
import importlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from gcsl_cli.cli import console
from gcsl_cli.cli.failures import explain
from gcsl_cli.configs.schema import Config
from gcsl_cli.runs.files import storage_errors

FOLDER = "GCSL_OUTCOMES"
FAILED = "failed"


@dataclass
class Outcome:
    """What became of one job: `code` is its exit code, `result` what the stage returned (or the failure)."""

    job: int
    overrides: list[str]
    code: int
    result: dict[str, Any] = field(default_factory=dict)


# Outcomes that the disk had no room for; only jobs in this process can leave one here.
_unwritten: list[Outcome] = []


def run_jobs(
    stage: str, members: Sequence[Sequence[str]], arguments: Sequence[str], conf_dir: Path, hydra_dir: Path
) -> list[Outcome]:
    """Run a stage through Hydra and return one outcome a member, in order.

    `members` are the override lines of each run as composed beforehand, `arguments` is what Hydra gets as its command
    line, `hydra_dir` is Hydra's own folder. A sweeper that chooses as it goes may leave more outcomes than members.

    Raises:
        StorageError: `hydra_dir` cannot be written.
    """
    with _outcomes_folder(hydra_dir) as folder:
        request = {"stage": stage, "jobs": len(members), "process": os.getpid()}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        code, lost = 1, "The job ended without a result; the lines above may say why."
        try:
            hand_over(arguments, conf_dir)
        except Exception as error:  # noqa: BLE001
            code, lost = explain(error)
        found = {outcome.job: outcome for outcome in [*_read(folder), *_unwritten]}
        _unwritten.clear()
    missing = [number for number in range(len(members)) if number not in found]
    failures = [_failure(number, members[number], stage, code, lost) for number in missing]
    return sorted([*found.values(), *failures], key=lambda outcome: outcome.job)


@contextlib.contextmanager
def _outcomes_folder(hydra_dir: Path) -> Iterator[Path]:
    """Beside Hydra's own files, not in the system's temporary folder: jobs on other machines share the runs folder."""
    with storage_errors(hydra_dir):
        hydra_dir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="outcomes-", dir=hydra_dir)).absolute()
    before = os.environ.get(FOLDER)
    os.environ[FOLDER] = str(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.pop(FOLDER)
        if before is not None:
            os.environ[FOLDER] = before


def hand_over(arguments: Sequence[str], conf_dir: Path) -> None:
    """Call Hydra's main as from the shell: to run jobs, or to print for `--cfg`, `--info` and `--hydra-help`."""
    import hydra

    from gcsl_cli.configs.folders import ROOT_CONFIG, register_schema

    register_schema()
    before = sys.argv
    sys.argv = ["gcsl", *arguments]
    # Otherwise Hydra prints errors by itself and ends the process.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir), config_name=ROOT_CONFIG)(job)()
    except SystemExit as stop:
        if stop.code not in {0, None}:
            raise RuntimeError(f"Hydra stopped with exit code {stop.code}") from stop
    finally:
        sys.argv = before


def job(config: Any) -> None:
    """One job as Hydra runs it, in this process or another: run the stage, leave an outcome, never raise."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from gcsl_cli.configs import finish

    folder = Path(os.environ[FOLDER])
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    if os.getpid() != request["process"]:
        os.environ["GCSL_PLAIN"] = "1"
    console.setup()
    hydra_node = HydraConfig.get()
    number = 0 if OmegaConf.is_missing(hydra_node.job, "num") else int(hydra_node.job.num)
    lines = [str(line) for line in hydra_node.overrides.task]
    stage = str(request["stage"])
    if request["jobs"] > 1:
        console.log.info("%s, run %d of %d: %s", stage, number + 1, request["jobs"], " ".join(lines) or "defaults")
    try:
        result = run_stage(stage, finish(config, lines))
        outcome = Outcome(number, lines, 0, result)
    except (Exception, SystemExit) as error:  # noqa: BLE001
        code, message = explain(error)
        outcome = _failure(number, lines, stage, code, message)
        if request["jobs"] > 1:
            console.log.error("run %d of %d failed: %s", number + 1, request["jobs"], message)
    _write(folder, outcome)


def run_stage(stage: str, config: Config) -> dict[str, Any]:
    """Run a stage, or its dry run; stages are imported when they are needed, because they may import torch."""
    if config.dry_run:
        preview = importlib.import_module("gcsl_cli.stages.preview")
        return cast("dict[str, Any]", preview.run(config, stage))
    return cast("dict[str, Any]", importlib.import_module(f"gcsl_cli.stages.{stage}").run(config))


def _failure(number: int, lines: Sequence[str], stage: str, code: int, message: str) -> Outcome:
    return Outcome(number, list(lines), code, {"stage": stage, "status": FAILED, "message": message})


def _write(folder: Path, outcome: Outcome) -> None:
    path = folder / f"job-{outcome.job}.json"
    try:
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(outcome), default=plain), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        code, message = explain(error)
        stage = str(outcome.result.get("stage", ""))
        _unwritten.append(outcome if outcome.code else _failure(outcome.job, outcome.overrides, stage, code, message))


def plain(value: Any) -> Any:
    """A value that JSON has no form for: a number of numpy or torch as a number, everything else as text."""
    return value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else str(value)


def _read(folder: Path) -> list[Outcome]:
    read = (json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("job-*.json"))
    return sorted((Outcome(**entry) for entry in read), key=lambda outcome: outcome.job)
