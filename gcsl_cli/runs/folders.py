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
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gcsl_cli import __version__
from gcsl_cli.errors import RunError
from gcsl_cli.runs.files import is_partial, make_folder, read_json, remove_partial, write_json
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

        With `force`, the folder is emptied first, so that the work is done again.
        """
        make_folder(self.path)
        with locked(self.path / ".lock", f"using {self.path}"):
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

    def finish(self, **facts: Any) -> None:
        """Mark the work as finished and record `facts` about it in the manifest."""
        seconds = round(time.monotonic() - self._started, 2)
        self._write({"finished": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": seconds, **facts})

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
        then, now = flatten(manifest.get("keys") or {}), flatten(json.loads(json.dumps(self.keys, default=str)))
        different = [
            f"{key} is {then.get(key, 'unset')} there and {now.get(key, 'unset')} here"
            for key in sorted({*then, *now})
            if then.get(key) != now.get(key)
        ]
        return "; ".join(different[:3]) or "it is based on other feedback or another model"


def flatten(keys: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in keys.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
