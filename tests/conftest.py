"""Small, deterministic inputs that need no network: a tiny model, prompts, texts and graded rows."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.inputs import NICE, RUDE, sentences, write_rtp

# At this model size, threads cost more than they gain. Must be set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the wheel's tests first: idle workers steal from the end, where these would be split or finish late."""
    items.sort(key=lambda item: item.get_closest_marker("wheel") is None)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random model."""
    from tests.tiny import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of text files with sixty prompts, one per line."""
    folder = tmp_path_factory.mktemp("prompts")
    lines = sentences(NICE + RUDE, words=5, count=60)
    (folder / "first.txt").write_text("\n".join(lines[:40]) + "\n", encoding="utf-8")
    (folder / "second.txt").write_text("\n".join(lines[40:]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSON Lines file of sixty kind and sixty rude texts."""
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    lines = sentences(NICE, words=12, count=60) + sentences(RUDE, words=12, count=60)
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def rtp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred rows in the RealToxicityPrompts format, with toxicities from 0.00 to 0.99."""
    path = tmp_path_factory.mktemp("rtp") / "rtp.jsonl"
    write_rtp(path, [number / 100 for number in range(100)])
    return path


@pytest.fixture(scope="session")
def real_rtp() -> Path:
    """The actual RealToxicityPrompts rows; skips if GCSL_TEST_DATA does not have them."""
    folder = os.environ.get("GCSL_TEST_DATA")
    if not folder:
        pytest.skip("GCSL_TEST_DATA is not set; it names a folder with rtp_3500.jsonl")
    path = Path(folder) / "rtp_3500.jsonl"
    if not path.exists():
        pytest.skip(f"{path} does not exist")
    return path


@pytest.fixture(scope="session")
def vllm_double(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of an interpreter that has a double of vLLM (tests/doubles/vllm)."""
    path = tmp_path_factory.mktemp("vllm-environment") / "python"
    doubles = Path(__file__).parent / "doubles"
    path.write_text(f'#!/bin/sh\nPYTHONPATH={doubles} exec {sys.executable} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="session")
def real_vllm() -> str:
    """Path of the interpreter that has vLLM; skips if GCSL_VLLM_PYTHON does not name it."""
    python = os.environ.get("GCSL_VLLM_PYTHON")
    if not python:
        pytest.skip("GCSL_VLLM_PYTHON is not set; it names the interpreter of an environment that has vLLM")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    return python


@pytest.fixture(scope="session")
def small_run(tiny_model: Path, prompts: Path, texts: Path) -> Callable[[Path], list[str]]:
    """Overrides for a whole experiment that takes seconds and no network, with its runs in the given folder."""

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


@pytest.fixture(scope="module")
def remembered_composition() -> Iterator[None]:
    """Compose the same overrides over the same files once per process."""
    from gcsl_cli.configs.hydra_internals import loader_class
    from tests.composing import remembering

    loader = loader_class()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "load_configuration", remembering(loader.load_configuration))
        yield


@pytest.fixture(scope="session")
def bubblewrap() -> None:
    """Skip if the bubblewrap program itself does not work; if it does, the sandbox must work too."""
    from gcsl_cli.tasks.code.sandbox.probe import why_not

    trial = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    if shutil.which("bwrap") is None or subprocess.run(trial, capture_output=True, check=False).returncode:
        pytest.skip("bwrap is missing or user namespaces are forbidden (sudo apt-get install bubblewrap)")
    assert why_not() == ""
