"""Run a stage as Hydra jobs and collect their outcomes.

Hydra's launchers may run a job in another process, and a job that raises ends the whole sweep. So a job never raises;
it writes its outcome to a file in the folder named by the environment variable `GCSL_OUTCOMES`, such as `job-3.json`:

    {"job": 3, "overrides": ["seed=3"], "code": 2, "result": {"stage": "train", "status": "failed", "message": "..."}}
"""

import contextlib
import errno
import importlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gcsl_cli.cli import console
from gcsl_cli.cli.failures import explain
from gcsl_cli.cli.in_process import run_here
from gcsl_cli.cli.processes import run_in_processes
from gcsl_cli.configs.schema import Config
from gcsl_cli.errors import GcslError, StorageError, first_line
from gcsl_cli.runs.files import make_folder, plain_value, read_json, storage_errors, write_text

FOLDER = "GCSL_OUTCOMES"
FAILED = "failed"
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass
class Outcome:
    """Outcome of one job: its exit code, and the dictionary that the stage returned or that describes the failure."""

    job: int
    overrides: list[str]
    code: int
    result: dict[str, Any] = field(default_factory=dict)


# Outcomes that could not be written because the disk is full; only jobs in this process can be saved this way.
_unwritten: list[Outcome] = []


def run_jobs(stage: str, members: Sequence[Sequence[str]], arguments: Sequence[str], hydra_dir: Path) -> list[Outcome]:
    """Run a stage through Hydra and return its outcomes in job order, one per member.

    Members are the overrides of each run, known from composing; a sweeper that picks values adaptively may run more
    jobs. `arguments` are Hydra's command line, and `hydra_dir` is its own folder.

    Raises:
        StorageError: `hydra_dir` is not writable.
    """
    with _outcomes_folder(hydra_dir) as (folder, overrides):
        request = {"stage": stage, "jobs": len(members), "process": os.getpid()}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        code, message = 1, "The job ended without a result. See the output above for the cause."
        try:
            run_hydra([*arguments, *overrides])
        except (TypeError, ValueError) as error:  # of the launcher: a job never raises
            code, message = 2, f"{first_line(error)}. Check the values of hydra.launcher and hydra.sweeper."
        except Exception as error:  # noqa: BLE001
            code, message = explain(error)
        written = [Outcome(**read_json(path)) for path in folder.glob("job-*.json")]
        found = {outcome.job: outcome for outcome in [*written, *_unwritten]}
        _unwritten.clear()
    for number, member in enumerate(members):
        found.setdefault(number, _failure(number, member, stage, code, message))
    return [found[number] for number in sorted(found)]


@contextlib.contextmanager
def _outcomes_folder(hydra_dir: Path) -> Iterator[tuple[Path, list[str]]]:
    """Create the folder for outcomes, next to Hydra's files: jobs on other machines see it, unlike a local /tmp.

    Only where nothing can be written, and finished runs can still be looked at, both are in a temporary folder, which
    the overrides that are yielded tell Hydra.
    """
    with contextlib.ExitStack() as stack:
        overrides: list[str] = []
        try:
            folder = _new_folder(hydra_dir)
        except StorageError as error:
            if getattr(error.__cause__, "errno", None) not in READ_ONLY:
                raise
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="gcsl-"))
            folder = _new_folder(Path(temporary))
            overrides = [f"{key}='{temporary}'" for key in ("hydra.run.dir", "hydra.sweep.dir")]
        before = os.environ.get(FOLDER)
        os.environ[FOLDER] = str(folder)
        try:
            yield folder, overrides
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.environ.pop(FOLDER)
            if before is not None:
                os.environ[FOLDER] = before


def _new_folder(parent: Path) -> Path:
    make_folder(parent)
    with storage_errors(parent):
        return Path(tempfile.mkdtemp(prefix="outcomes-", dir=parent)).absolute()


def run_hydra(arguments: Sequence[str]) -> None:
    """Call Hydra's main as if from a shell: to run jobs, or to print for `--cfg`, `--info` and `--hydra-help`."""
    import hydra

    from gcsl_cli.configs.search_path import ROOT_CONFIG, conf_dir, register_schema

    register_schema()
    before = sys.argv
    sys.argv = ["gcsl", *arguments]
    # Without this, Hydra prints errors itself and exits the process.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=ROOT_CONFIG)(job)()
    except SystemExit as stop:
        if stop.code not in {0, None}:
            raise RuntimeError(f"Hydra stopped with exit code {stop.code}") from stop
    finally:
        sys.argv = before


def job(config: Any) -> float | None:
    """Run the stage and write the outcome; Hydra calls this once per job, in this process or another. Never raises.

    Returns:
        The number that a sweeper minimizes; `None` if the stage has none or failed.
    """
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
        outcome = Outcome(number, lines, 0, run_stage(stage, finish(config, lines), folder))
    except (Exception, SystemExit) as error:  # noqa: BLE001
        code, message = explain(error)
        outcome = _failure(number, lines, stage, code, message)
        if request["jobs"] > 1:
            console.log.error("run %d of %d failed: %s", number + 1, request["jobs"], message)
    _write(folder, outcome)
    objective = outcome.result.get("objective")
    return None if objective is None else float(objective)


def run_stage(stage: str, config: Config, folder: Path) -> dict[str, Any]:
    """Run a stage, in several processes if the config asks for them; `folder` is for their files."""
    processes = importlib.import_module("gcsl_cli.stages.processes").to_start(stage, config)
    return run_here(stage, config) if processes == 1 else run_in_processes(stage, config, processes, folder)


def _failure(number: int, lines: Sequence[str], stage: str, code: int, message: str) -> Outcome:
    return Outcome(number, list(lines), code, {"stage": stage, "status": FAILED, "message": message})


def _write(folder: Path, outcome: Outcome) -> None:
    try:
        write_text(folder / f"job-{outcome.job}.json", json.dumps(asdict(outcome), default=plain_value))
    except (GcslError, OSError) as error:
        code, message = explain(error)
        stage = str(outcome.result.get("stage", ""))
        _unwritten.append(outcome if outcome.code else _failure(outcome.job, outcome.overrides, stage, code, message))
