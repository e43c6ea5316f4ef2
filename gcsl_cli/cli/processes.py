"""Run a stage in several processes of this machine, through torch's launcher, and act as one of their ranks.

The launcher is the one behind `torchrun` and `accelerate launch`. Each process runs this module on a folder with the
request, a pickled `Request`; the leader leaves its `outcome.json` there.
"""

import json
import logging
import os
import pickle
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gcsl_cli.cli import console, stopping
from gcsl_cli.cli.failures import LOST_CONNECTION, explain
from gcsl_cli.cli.in_process import run_here
from gcsl_cli.configs.schema import Config
from gcsl_cli.errors import TrainingError, text_of
from gcsl_cli.runs import ranks
from gcsl_cli.runs.files import plain_value, read_json, write_text

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

REQUEST = "request.pickle"
OUTCOME = "outcome.json"
SHUTDOWN_SECONDS = 300
"""After Ctrl-C, the time in which a step and its checkpoint have to be finished."""

log = logging.getLogger("gcsl")


@dataclass(frozen=True)
class Request:
    """What each process runs."""

    stage: str
    config: Config


def run_in_processes(stage: str, config: Config, processes: int, folder: Path) -> dict[str, Any]:
    """Run a stage in so many processes and return the leader's result; `folder` is for the files of this call.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; a checkpoint has been saved.
        WorkerError: the leader failed, with its exit code and message.
        TrainingError: a process ended without a message.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    with tempfile.TemporaryDirectory(prefix="processes-", dir=folder) as name:
        outcome = Path(name) / OUTCOME
        (Path(name) / REQUEST).write_bytes(pickle.dumps(Request(stage, config)))
        handlers = {which: signal.getsignal(which) for which in stopping.MESSAGES}
        try:
            _launch(["-m", "gcsl_cli.cli.processes", name], processes)
        except SignalException as stopped:
            _restore(handlers)
            _stop(stopped.sigval)
        except ChildFailedError as failed:
            _restore(handlers)
            _raise_failure(failed, outcome, processes)
        finally:
            _restore(handlers)
        result: dict[str, Any] = read_json(outcome)["result"]
    return result


class WorkerError(TrainingError):
    """The leader's failure, with the exit code that it would have had alone."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def _launch(arguments: list[str], processes: int) -> None:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if not console.debug():
        for name in list(logging.root.manager.loggerDict):
            if name.startswith("torch.distributed."):
                logging.getLogger(name).setLevel(logging.CRITICAL)
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=f"gcsl-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(),
        signals_to_handle="SIGINT,SIGTERM",
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    try:
        elastic_launch(config, sys.executable)(*arguments)
    finally:
        if before is None:
            os.environ.pop("OMP_NUM_THREADS")


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for which, handler in handlers.items():
        if signal.getsignal(which) is not handler:
            signal.signal(which, handler)


def _stop(signum: int) -> NoReturn:
    """Let a signal that the processes have dealt with take its effect here."""
    signal.raise_signal(signum)
    raise KeyboardInterrupt  # where the signal is ignored


def _raise_failure(failed: "ChildFailedError", outcome: Path, processes: int) -> NoReturn:
    code = read_json(outcome)["code"] if outcome.exists() else 0
    killed = [
        (rank, -failure.exitcode)
        for rank, failure in failed.failures.items()
        if failure.exitcode < 0 and -failure.exitcode not in stopping.MESSAGES
    ]
    if code - 128 in stopping.MESSAGES and not killed:
        _stop(code - 128)
    if code and not killed:
        raise WorkerError(read_json(outcome)["message"], code) from failed
    if killed:
        rank, number = killed[0]
        raise WorkerError(
            f"Process {rank} of {processes} (numbered from 0) was ended by {signal.Signals(number).name}, so the "
            "others were stopped. If the system ran out of memory, use smaller batches (train.micro_batch_size). The "
            "newest checkpoint is kept; run the same command to resume.",
            128 + number,
        ) from failed
    rank, failure = failed.get_first_failure()
    raise WorkerError(
        f"Process {rank} of {processes} (numbered from 0) failed; its message is above.", failure.exitcode
    ) from failed


def main(folder: Path) -> int:
    """Run the request in `folder` as one of its ranks, and return the exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored if gcsl runs in the background of a shell
    request: Request = pickle.loads((folder / REQUEST).read_bytes())
    console.setup()
    outcome: dict[str, Any] = {"code": 0}
    try:
        with stopping.sigterm_as_ctrl_c():
            outcome["result"] = run_here(request.stage, request.config)
    except KeyboardInterrupt:
        outcome["code"] = stopping.exit_code()
    except (Exception, SystemExit) as error:  # noqa: BLE001
        outcome["code"], outcome["message"] = explain(error)
        if not ranks.leads() and not any(sign in text_of(error) for sign in LOST_CONNECTION):
            log.error("process %d: %s", ranks.rank(), outcome["message"])
    if ranks.leads():
        write_text(folder / OUTCOME, json.dumps(outcome, default=plain_value))
    return int(outcome["code"])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
