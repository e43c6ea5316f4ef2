"""Hub artifacts, with fakes for the Hub client's two download functions and its real exceptions."""

import errno
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import huggingface_hub
import pytest
from huggingface_hub import errors

from gcsl_cli.data.artifacts import resolve
from gcsl_cli.errors import ArtifactError, ConfigError, StorageError

Call = tuple[tuple[Any, ...], dict[str, Any]]


def failing(error: Exception) -> Callable[..., str]:
    """A download function that always raises `error`."""

    def download(*args: Any, **kwargs: Any) -> str:
        raise error

    return download


def recording(path: Path, calls: list[Call]) -> Callable[..., str]:
    """A download function that records its arguments and returns `path`."""

    def download(*args: Any, **kwargs: Any) -> str:
        calls.append((args, kwargs))
        return str(path)

    return download


def http_error(kind: type[errors.HfHubHTTPError], status: int) -> errors.HfHubHTTPError:
    """The exception that the Hub client raises for a response with this status."""
    response = SimpleNamespace(status_code=status, headers={}, request=None)
    return kind("the Hub says no", response=cast(Any, response))


def test_model_repository_without_pickles_and_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Call] = []
    (tmp_path / "model.safetensors").touch()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", recording(tmp_path, calls))
    assert resolve("hf://Qwen/Qwen3-4B-Instruct-2507", revision="v1") == tmp_path
    ((args, kwargs),) = calls
    assert args == ("Qwen/Qwen3-4B-Instruct-2507",)
    assert kwargs == {
        "repo_type": "model",
        "revision": "v1",
        "allow_patterns": ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"],
    }


def test_data_set_repository_is_downloaded_completely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Call] = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", recording(tmp_path, calls))
    assert resolve("hf://datasets/allenai/real-toxicity-prompts/") == tmp_path
    ((args, kwargs),) = calls
    assert args == ("allenai/real-toxicity-prompts",)
    assert kwargs == {"repo_type": "dataset", "revision": None, "allow_patterns": None}


@pytest.mark.parametrize(
    ("uri", "repo", "file", "repo_type"),
    [
        ("hf://owner/name/sub/weights.gguf", "owner/name", "sub/weights.gguf", "model"),
        ("hf://datasets/owner/name/prompts.jsonl", "owner/name", "prompts.jsonl", "dataset"),
        ("hf://datasets/owner/name/load.py", "owner/name", "load.py", "dataset"),
    ],
)
def test_single_file(
    uri: str, repo: str, file: str, repo_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Call] = []
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", recording(tmp_path / "file", calls))
    assert resolve(uri, revision="abc") == tmp_path / "file"
    assert calls == [((repo, file), {"repo_type": repo_type, "revision": "abc"})]


@pytest.mark.parametrize("uri", ["hf://gpt2", "hf://", "hf:///name", "hf://datasets/name", "hf://owner//file.json"])
def test_incomplete_uri_shows_the_expected_form(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"expected hf://OWNER/NAME\[/FILE\]"):
        resolve(uri)


@pytest.mark.parametrize("file", ["pytorch_model.bin", "weights.pt", "modeling.py"])
def test_pickles_and_code_of_models_are_refused(file: str) -> None:
    with pytest.raises(ConfigError, match="not downloaded"):
        resolve(f"hf://owner/name/{file}")


def test_file_outside_the_repository_is_refused() -> None:
    with pytest.raises(ArtifactError, match="leaves the repository"):
        resolve("hf://owner/name/../../secret.json")


def test_model_without_safetensors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").touch()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", recording(tmp_path, []))
    with pytest.raises(ArtifactError, match=r"no \.safetensors weights"):
        resolve("hf://owner/name")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            http_error(errors.GatedRepoError, 403),
            r"gated\. Accept its licence at https://huggingface\.co/owner/name, then run: hf auth login",
        ),
        (http_error(errors.RepositoryNotFoundError, 404), r"the Hub has no model repository 'owner/name'"),
        (http_error(errors.RevisionNotFoundError, 404), r"no revision 'v9'"),
        (http_error(errors.RemoteEntryNotFoundError, 404), r"has no file 'config\.json'"),
        (http_error(errors.HfHubHTTPError, 401), r"denies access \(HTTP 401\)\. Run: hf auth login"),
        (http_error(errors.HfHubHTTPError, 503), r"cannot be reached \(the Hub says no\)"),
        (errors.LocalEntryNotFoundError("offline, and not cached"), r"cannot be reached \(offline, and not cached\)"),
        (errors.OfflineModeIsEnabled("offline mode"), r"unset HF_HUB_OFFLINE"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), r"cannot be reached"),
    ],
)
def test_hub_errors_say_what_to_do(error: Exception, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", failing(error))
    with pytest.raises(ArtifactError, match=said) as caught:
        resolve("hf://owner/name/config.json", revision="v9")
    assert str(caught.value).startswith("hf://owner/name/config.json: ")


def test_real_client_refuses_an_invalid_name() -> None:
    with pytest.raises(ConfigError, match="not a valid Hub name"):
        resolve("hf://owner/na--me")


def test_full_disk_is_a_storage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", failing(full))
    with pytest.raises(StorageError, match="disk is full"):
        resolve("hf://owner/name")
