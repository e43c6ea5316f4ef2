"""Run identities, run folders and manifests.

The same overrides name the same run in every command. Identities are nested (feedback, training, generation,
evaluation): each hashes its own keys and the identity of its parent, nothing else. A folder's name is readable and ends
in a short hash. The folder's `manifest.json` holds its identity and, once the work is finished, versions, counts and
time.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gcsl_cli import __version__
from gcsl_cli.errors import RunError, StorageError
from gcsl_cli.runs.files import checksum, is_partial, make_folder, read_json, remove_partial, write_json
from gcsl_cli.runs.locks import locked
from gcsl_cli.runs.provenance import provenance

FORMAT_VERSION = 2
MANIFEST = "manifest.json"


def identity(kind: str, keys: Mapping[str, Any], parent: str = "") -> str:
    """Return the ten hex digits that identify the work `kind` with `keys`, based on the work `parent`."""
    text = json.dumps([FORMAT_VERSION, kind, parent, keys], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


@dataclass
class Folder:
    """The folder of one piece of work, with everything that identifies the work."""

    path: Path
    kind: str
    keys: Mapping[str, Any]
    parent: str = ""
    _started: float = field(default_factory=time.monotonic)

    @staticmethod
    def named(inside: Path, label: str, kind: str, keys: Mapping[str, Any], parent: str = "") -> "Folder":
        """The folder of some work inside another folder: its name is a label and a short hash of the identity."""
        return Folder(inside / f"{label}-{identity(kind, keys, parent)[:8]}", kind, keys, parent)

    @property
    def identity(self) -> str:
        """The identity of this folder's work."""
        return identity(self.kind, self.keys, self.parent)

    def done(self) -> bool:
        """Return True if the work is finished.

        Raises:
            RunError: the folder belongs to another config or format version, or is not a run folder.
        """
        manifest = self.manifest()
        return bool(manifest and manifest.get("finished"))

    def manifest(self) -> dict[str, Any]:
        """Return the manifest after checking it against this config, or an empty dictionary if there is none."""
        path = self.path / MANIFEST
        if not path.exists():
            # A process that was killed while writing the manifest leaves a partial file; that is not a foreign file.
            if self.path.is_dir() and any(
                entry.name != ".lock" and not is_partial(entry) for entry in self.path.iterdir()
            ):
                raise RunError(
                    f"{self.path} is not empty and contains no {MANIFEST}, so it is not a run of gcsl. "
                    "Choose another folder (run=PATH)."
                )
            return {}
        manifest = read_json(path)
        version = manifest.get("format_version")
        if version != FORMAT_VERSION:
            raise RunError(
                f"{path}: format version {version}; this gcsl ({__version__}) reads {FORMAT_VERSION}. "
                "Use the version of gcsl that wrote it, or choose another folder (run=PATH)."
            )
        if manifest.get("identity") != self.identity or manifest.get("kind") != self.kind:
            raise RunError(
                f"{self.path} contains another run: {self._difference(manifest)}. Choose another folder (run=PATH)."
            )
        return manifest

    @contextmanager
    def working(self, force: bool = False) -> Iterator[bool]:
        """Hold the folder's lock during the block, and yield True if there is work to do, False if it is finished.

        With `force`, the folder is emptied first, so that the work is done again. Finished work can be read where
        nothing can be written, and so without a lock.
        """
        with ExitStack() as lock:
            try:
                make_folder(self.path)
                lock.enter_context(locked(self.path / ".lock", f"using {self.path}"))
            except StorageError:
                if force or not self.done():
                    raise
                yield False
                return
            if force:
                self.manifest()
                # Mark it as unfinished before emptying it: a process killed in between must not leave a finished run.
                self._write({})
                self._clear()
            todo = not self.done()
            if todo:
                remove_partial(self.path)
            if todo and not (self.path / MANIFEST).exists():
                self._write({})
            self._started = time.monotonic()
            yield todo

    def finish(self, *files: str, **facts: Any) -> None:
        """Mark the work as finished; record `facts` about it and the checksums of `files`, or of folders of files."""
        seconds = round(time.monotonic() - self._started, 2)
        paths = [path for name in files for path in [self.path / name, *sorted((self.path / name).rglob("*"))]]
        sums = {path.relative_to(self.path).as_posix(): checksum(path) for path in paths if path.is_file()}
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        self._write({"finished": finished, "seconds": seconds, **facts, "files": sums})

    def verified(self, name: str) -> Path:
        """Return the path of a file or folder of the finished work, after checking it against the manifest.

        Raises:
            RunError: a file has changed since it was written, or is missing.
        """
        changed = changed_file(self.path, self.manifest(), name)
        if changed is not None:
            fix = "Delete it and run the same command again."
            if self.kind == "training":
                fix = "Run gcsl train with force=true to train again."
            raise RunError(f"{changed} is damaged: it is not what was written. {fix}")
        return self.path / name

    def _clear(self) -> None:
        """Remove everything except the lock and the manifest."""
        for entry in self.path.iterdir():
            if entry.name in (".lock", MANIFEST):
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _write(self, facts: Mapping[str, Any]) -> None:
        head = {
            "format_version": FORMAT_VERSION,
            "kind": self.kind,
            "identity": self.identity,
            "parent": self.parent,
            "keys": json.loads(json.dumps(self.keys, default=str)),
        }
        write_json(self.path / MANIFEST, {**head, **facts, **provenance()})

    def _difference(self, manifest: Mapping[str, Any]) -> str:
        if manifest.get("kind") != self.kind:
            return f"it is a {manifest.get('kind')} folder, not a {self.kind} folder"
        then, now = flatten(_mapping(manifest, "keys")), flatten(json.loads(json.dumps(self.keys, default=str)))
        different = [
            f"{key} is {then.get(key, 'unset')} there and {now.get(key, 'unset')} here"
            for key in sorted({*then, *now})
            if then.get(key) != now.get(key)
        ]
        return "; ".join(different[:3]) or "it is based on other feedback or another model"


def changed_file(folder: Path, manifest: Mapping[str, Any], name: str) -> Path | None:
    """Return the first file at or below `name` that differs from its checksum in the manifest, or None."""
    for file, wanted in _mapping(manifest, "files").items():
        if file == name or file.startswith(f"{name}/"):
            path = folder / file
            if not path.is_file() or checksum(path) != wanted:
                return path
    return None


def trained_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a finished training run, after checking its model.

    Raises:
        RunError: the folder is not that of a trained run, or its model has been damaged.
    """
    manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    if not manifest.get("finished") or manifest.get("kind") != "training":
        raise RunError(f"{folder}: not the folder of a trained run. gcsl train prints it at its end.")
    changed = changed_file(folder, manifest, "model")
    if changed is not None:
        raise RunError(f"{changed} is damaged: it is not what was written. Train again with force=true.")
    return manifest


def _mapping(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = manifest.get(key)
    return value if isinstance(value, Mapping) else {}


def flatten(keys: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in keys.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
