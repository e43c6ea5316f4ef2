"""Runs killed at random moments, several times each: all methods and adapters end as if nothing had happened.

It takes many to hit every moment, so they run on demand:

    GCSL_TEST_KILLS=60 pytest tests/integration/test_kill_sequences.py
"""

import os
import random
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests import outputs
from tests.commands import gcsl, gcsl_until

Lines = Callable[[Path], list[str]]
METHODS = ("gcsl", "sft", "rwr", "unlikelihood", "dpo", "kto")
ADAPTERS = ("lora", "none")
FOLDERS = {"gcsl": "threshold"}
"""How a run's folder begins, where not with the method's name."""
SEQUENCES = int(os.environ.get("GCSL_TEST_KILLS", "0"))
MOST_FILES = 50
"""An undisturbed run renames some 40 files into place."""

pytestmark = pytest.mark.skipif(not SEQUENCES, reason="GCSL_TEST_KILLS is not set; it says how many runs to kill")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, small_run: Lines) -> Callable[[str, str], Path]:
    """The runs folder of each method and adapter without a kill."""

    @cache
    def runs(method: str, adapter: str) -> Path:
        folder = tmp_path_factory.mktemp(f"{method}-{adapter}") / "runs"
        ended = gcsl("evaluate", *small_run(folder), *experiment(method, adapter))
        assert ended.code == 0, ended.err
        return folder

    return runs


def experiment(method: str, adapter: str) -> list[str]:
    return [f"method={method}", f"adapter={adapter}", "train.max_steps=4", "train.learning_rate=1e-2"]


@pytest.mark.parametrize("number", range(SEQUENCES))
def test_a_sequence_of_kills(
    tmp_path: Path, small_run: Lines, undisturbed: Callable[[str, str], Path], number: int
) -> None:
    draw = random.Random(number)
    method, adapter = METHODS[number % 6], ADAPTERS[number // 6 % 2]
    runs, whole = tmp_path / "runs", undisturbed(method, adapter)
    for _ in range(draw.randint(1, 3)):
        stage = draw.choice(["prepare", "train", "generate", "evaluate"])
        stopped = gcsl_until(
            draw.randint(1, MOST_FILES), signal.SIGKILL, tmp_path, stage, *small_run(runs), *experiment(method, adapter)
        )
        assert stopped.code in (0, -signal.SIGKILL), stopped.err  # 0: fewer files were left to write
    ended = gcsl("evaluate", *small_run(runs), *experiment(method, adapter))

    assert ended.code == 0, ended.err
    assert outputs.feedback(runs) == outputs.feedback(whole)
    run, other = (next(folder.glob(f"toxicity/{FOLDERS.get(method, method)}-*")) for folder in (runs, whole))
    outputs.assert_same_training(run, other)
    assert outputs.generations(runs) == outputs.generations(whole)
    assert outputs.metrics(runs) == outputs.metrics(whole)
