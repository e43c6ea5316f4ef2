"""Run identity, run folders, locks and manifests.

The same override line names the same run in every command. Identities nest, feedback < training < generation <
evaluation: each hashes its own keys and its parent's identity, nothing else. A folder is a readable name and a short
hash; `manifest.json` in it says what it is and, when the work is done, what it took.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gcsl_cli import __version__
from gcsl_cli.errors import RunError
from gcsl_cli.runs.files import is_partial, read_json, remove_partial, storage_errors, write_json
from gcsl_cli.runs.locks import locked
from gcsl_cli.runs.provenance import provenance

FORMAT_VERSION = 2
MANIFEST = "manifest.json"

log = logging.getLogger("gcsl")


def identity(kind: str, keys: Mapping[str, Any], parent: str = "") -> str:
    """Ten hex digits that name the work `kind` with `keys` on top of `parent`."""
    text = json.dumps([FORMAT_VERSION, kind, parent, keys], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


@dataclass
class Folder:
    """A stage's folder: what it is (`kind`, `keys`, identity) and where."""

    path: Path
    kind: str
    keys: Mapping[str, Any]
    parent: str = ""
    _started: float = field(default_factory=time.monotonic)

    @property
    def identity(self) -> str:
        """The identity of the work that this folder holds."""
        return identity(self.kind, self.keys, self.parent)

    def done(self) -> bool:
        """Whether the work is finished; also checks that what is there belongs to this config.

        Raises:
            RunError: the folder holds another config's run, or one of another format version.
        """
        manifest = self.manifest()
        return bool(manifest and manifest.get("finished"))

    def manifest(self) -> dict[str, Any]:
        """The manifest, checked against this config; empty if there is none."""
        path = self.path / MANIFEST
        if not path.exists():
            # A gcsl that was killed while it wrote the manifest leaves it half-written.
            if self.path.is_dir() and any(
                entry.name != ".lock" and not is_partial(entry) for entry in self.path.iterdir()
            ):
                raise RunError(
                    f"{self.path} is not empty and holds no {MANIFEST}: no run of gcsl. "
                    "Choose another folder (run=PATH)."
                )
            return {}
        manifest = read_json(path)
        version = manifest.get("format_version")
        if version != FORMAT_VERSION:
            raise RunError(
                f"{path}: format version {version}; this gcsl ({__version__}) reads {FORMAT_VERSION}. "
                "Update gcsl, or choose another folder (run=PATH)."
            )
        if manifest.get("identity") != self.identity or manifest.get("kind") != self.kind:
            raise RunError(
                f"{self.path} holds another run: {self._difference(manifest)}. Choose another folder (run=PATH)."
            )
        return manifest

    @contextmanager
    def working(self, force: bool = False) -> Iterator[bool]:
        """Hold the folder's lock; yields whether there is work to do. `force` empties the folder first."""
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path / ".lock", f"works on {self.path}"):
            if force:
                self.manifest()
                # First unfinished, then empty: killed in between, it is a run that goes on, not one that counts.
                self._write({})
                self._clear()
            todo = not self.done()
            if todo:
                remove_partial(self.path)
            if todo and not (self.path / MANIFEST).exists():
                self._write({})
            self._started = time.monotonic()
            yield todo

    def finish(self, **facts: Any) -> None:
        """Mark the work as done, with what it took."""
        seconds = round(time.monotonic() - self._started, 2)
        self._write({"finished": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": seconds, **facts})

    def _clear(self) -> None:
        """Remove everything but the lock and the manifest."""
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
        then, now = _flat(manifest.get("keys") or {}), _flat(json.loads(json.dumps(self.keys, default=str)))
        different = [
            f"{key}={then.get(key, 'unset')} there, {now.get(key, 'unset')} here"
            for key in sorted({*then, *now})
            if then.get(key) != now.get(key)
        ]
        return "; ".join(different[:3]) or "it was made from other feedback or another model"


def _flat(keys: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in keys.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
