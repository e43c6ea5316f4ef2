"""`hf://[datasets/]OWNER/NAME[/FILE]`: Hugging Face Hub repositories, stored in the Hub client's own cache."""

import logging
from dataclasses import dataclass
from pathlib import Path

from gcsl_cli.data.artifacts.archive import leaves_archive
from gcsl_cli.errors import ArtifactError, ConfigError, GcslError, first_line
from gcsl_cli.runs.files import storage_errors

MODEL_FILES = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
"""Files downloaded from a model repository: weights, configs and tokenizer, but no pickles or code."""

_REFUSED = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth", ".py"})

logger = logging.getLogger("gcsl")


@dataclass(frozen=True, slots=True)
class HubItem:
    """A parsed `hf://` URI; `file` is None for the whole repository."""

    uri: str
    repo_id: str
    repo_type: str
    file: str | None

    @property
    def page(self) -> str:
        """URL of the repository's web page."""
        kind = "datasets/" if self.repo_type == "dataset" else ""
        return f"https://huggingface.co/{kind}{self.repo_id}"


def parse_hub_uri(uri: str) -> HubItem:
    """Parse an `hf://` URI.

    Raises:
        ConfigError: the URI is malformed, or names a pickle or code file of a model repository.
        ArtifactError: the file path points outside the repository.
    """
    parts = uri.removeprefix("hf://").removesuffix("/").split("/")
    repo_type = "dataset" if parts[0] == "datasets" else "model"
    if repo_type == "dataset":
        parts = parts[1:]
    if len(parts) < 2 or not all(parts):
        raise ConfigError(f"{uri}: expected hf://OWNER/NAME[/FILE] or hf://datasets/OWNER/NAME[/FILE].")
    file = "/".join(parts[2:]) or None
    if file is not None and leaves_archive(file):
        raise ArtifactError(f"{uri}: the path {file!r} leaves the repository. Give a path inside it.")
    if file is not None and repo_type == "model" and Path(file).suffix in _REFUSED:
        raise ConfigError(
            f"{uri}: model files of type {Path(file).suffix} are not downloaded, because loading them runs code. "
            "Name a .safetensors or .gguf file, or the repository."
        )
    return HubItem(uri, "/".join(parts[:2]), repo_type, file)


def resolve_hub(uri: str, revision: str | None) -> Path:
    """Return the local path of a Hub repository (a folder) or of one of its files.

    Raises:
        ConfigError: see `parse_hub_uri`; also if the Hub does not allow the name.
        ArtifactError: offline, gated, or no such repository, revision or file.
        StorageError: the disk is full or the Hub's cache is not writable.
    """
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    # The Hub client re-exports the base error of its HTTP library, which differs between versions.
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # isort: skip

    item = parse_hub_uri(uri)
    logger.info("looking for %s on the Hugging Face Hub", item.uri.removeprefix("hf://"))
    try:
        with storage_errors(Path(HF_HUB_CACHE)):
            path = _download(item, revision)
    except (EntryNotFoundError, HFValidationError, HTTPError, ConnectionError, TimeoutError) as error:
        raise _explain(error, item, revision) from error
    if item.file is None and item.repo_type == "model" and not any(path.rglob("*.safetensors")):
        raise ArtifactError(
            f"{uri}: no .safetensors weights in this repository. Choose one that has them; see {item.page}."
        )
    return path


def upload_model(folder: Path, repo_id: str, *, private: bool) -> str:
    """Upload a folder as a model repository, which is created if needed; return the URL of its page.

    Raises:
        ConfigError: the Hub does not allow the name.
        ArtifactError: offline, or no permission to write.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # isort: skip

    item = parse_hub_uri(f"hf://{repo_id}")
    try:
        api = HfApi()
        api.create_repo(repo_id, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Model and card, written by gcsl")
    except HFValidationError as error:
        raise ConfigError(f"{item.uri}: {repo_id!r} is not a valid Hub name. Expected OWNER/NAME.") from error
    except (HTTPError, ConnectionError, TimeoutError) as error:
        raise ArtifactError(
            f"{item.uri}: the Hub did not take the upload ({first_line(error)}). Log in with write access (hf auth "
            "login, or HF_TOKEN), check the name, and run the same command again."
        ) from error
    return item.page


def _download(item: HubItem, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download, snapshot_download

    if item.file is not None:
        return Path(hf_hub_download(item.repo_id, item.file, repo_type=item.repo_type, revision=revision))
    patterns = MODEL_FILES if item.repo_type == "model" else None
    return Path(snapshot_download(item.repo_id, repo_type=item.repo_type, revision=revision, allow_patterns=patterns))


def _explain(error: Exception, item: HubItem, revision: str | None) -> GcslError:
    """Turn a Hub client error into one that says what to do. The order matters: GatedRepoError is a subclass."""
    from huggingface_hub import errors

    name = f"{item.uri}: "
    if isinstance(error, errors.HFValidationError):
        return ConfigError(f"{name}{item.repo_id!r} is not a valid Hub name. Expected OWNER/NAME.")
    if isinstance(error, errors.GatedRepoError):
        return ArtifactError(
            f"{name}the repository is gated. Accept its licence at {item.page}, then run: hf auth login "
            "(or set HF_TOKEN)."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ArtifactError(
            f"{name}the Hub has no {item.repo_type} repository {item.repo_id!r}, or it is private. Check the name "
            f"at {item.page}; for a private repository, run: hf auth login."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ArtifactError(
            f"{name}no revision {revision!r}. Set revision to a branch, tag or commit of {item.page}/commits/main."
        )
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return ArtifactError(
            f"{name}the repository has no file {item.file!r}. See {item.page}/tree/{revision or 'main'}."
        )
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in (401, 403):
        return ArtifactError(
            f"{name}the Hub denies access (HTTP {error.response.status_code}). Run: hf auth login, or set HF_TOKEN to "
            "a valid token with read access."
        )
    return ArtifactError(
        f"{name}the Hub cannot be reached ({first_line(error.__cause__ or error)}) and its local cache is incomplete. "
        "Connect and run the same command again (unset HF_HUB_OFFLINE if it is set), or give the path of a local copy."
    )
