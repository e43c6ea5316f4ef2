"""Small inputs that need no network: a tiny model, prompts, texts, graded rows; all the same in each session."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inputs import NICE, RUDE, sentences, write_rtp

# Threads cost more than they bring to a model of this size. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random model."""
    from tests.tiny import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of text files, sixty prompts, one a line."""
    folder = tmp_path_factory.mktemp("prompts")
    lines = sentences(NICE + RUDE, words=5, count=60)
    (folder / "first.txt").write_text("\n".join(lines[:40]) + "\n", encoding="utf-8")
    (folder / "second.txt").write_text("\n".join(lines[40:]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty kind and sixty rude texts in JSON lines."""
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    lines = sentences(NICE, words=12, count=60) + sentences(RUDE, words=12, count=60)
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def rtp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred rows in the form of RealToxicityPrompts, toxicities 0.00 to 0.99."""
    path = tmp_path_factory.mktemp("rtp") / "rtp.jsonl"
    write_rtp(path, [number / 100 for number in range(100)])
    return path


@pytest.fixture(scope="session")
def real_rtp() -> Path:
    """The real RealToxicityPrompts rows, where the machine has them."""
    folder = os.environ.get("GCSL_TEST_DATA")
    if not folder:
        pytest.skip("GCSL_TEST_DATA is not set; it names a folder with rtp_3500.jsonl")
    path = Path(folder) / "rtp_3500.jsonl"
    if not path.exists():
        pytest.skip(f"{path} does not exist")
    return path


@pytest.fixture(scope="session")
def small_run(tiny_model: Path, prompts: Path, texts: Path) -> Callable[[Path], list[str]]:
    """Override lines of a whole experiment in seconds, without network, with its runs in the given folder."""

    def lines(runs: Path) -> list[str]:
        return [
            "debug=tiny",
            "model=local",
            f"model.uri={tiny_model}",
            f"task.prompts_uri={prompts}",
            "task.prompts_sha256=null",
            f"task.feedback.texts={texts}",
            "task.feedback.texts_sha256=null",
            "task.feedback.shard_prompts=10",
            "generation.shard_prompts=3",
            "train.precision=fp32",
            "train.checkpoint_every=2",
            f"runs_dir={runs}",
        ]

    return lines


@pytest.fixture
def remembered_composition(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same overrides over the same files are composed once a session; for tests of what happens around it."""
    from gcsl_cli.configs.hydra_internals import loader_class
    from tests.composing import remembering

    loader = loader_class()
    monkeypatch.setattr(loader, "load_configuration", remembering(loader.load_configuration))


@pytest.fixture(scope="session")
def bubblewrap() -> None:
    """Skips where the bubblewrap program itself does not work; where it does, the sandbox has to."""
    from gcsl_cli.tasks.code.sandbox.probe import working

    trial = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    if shutil.which("bwrap") is None or subprocess.run(trial, capture_output=True, check=False).returncode:
        pytest.skip("bwrap is missing or user namespaces are forbidden (sudo apt-get install bubblewrap)")
    assert working().reason == ""
