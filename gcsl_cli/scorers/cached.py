"""Grades that cost time or money are kept on disk, so that no completion is graded twice.

They are in the cache folder, one SQLite file per scorer identity: `grades/reward_model-1a2b3c4d5e.sqlite`. Its rows are
the SHA-256 of what was graded, and the grade. Grades are saved as they come: an interruption loses those on the way.
"""

import hashlib
import json
import re
import sqlite3
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.artifacts import cache_dir
from gcsl_cli.errors import StorageError
from gcsl_cli.runs.files import make_folder
from gcsl_cli.runs.folders import identity
from gcsl_cli.runs.progress import progress
from gcsl_cli.scorers.base import Example, Scorer

BUSY_SECONDS = 60.0
"""How long to wait for another process that is writing."""


class Done(Protocol):
    """Takes the grades of some examples, by their index."""

    def __call__(self, indices: Sequence[int], grades: Sequence[float]) -> None:
        """Keep the grades; NaN for none."""


@dataclass
class CachedScorer(Scorer):
    """A scorer whose grades are kept. Subclasses implement `grade_new`."""

    cache: bool = True

    def __post_init__(self) -> None:
        self.looked_up = 0
        """Number of grades that the last call did not have to make."""

    @abstractmethod
    def grade_new(self, examples: Sequence[Example], done: Done) -> None:
        """Grade examples that were never graded, and pass every grade to `done` as soon as it is known."""

    def seen(self, example: Example) -> Any:
        """All that a grade depends on, apart from the scorer; any JSON value."""
        return [example.format, example.prompt, example.completion, example.reference, dict(example.columns)]

    def keys(self) -> dict[str, Any]:
        """Without the switch of the cache, which changes no grade."""
        return {key: value for key, value in super().keys().items() if key != "cache"}

    def grade(self, examples: Sequence[Example]) -> Floats:
        """Look up the grades, and make and keep those that are missing; equal examples are graded once."""
        digests = [_digest(self.seen(example)) for example in examples]
        distinct = dict(zip(digests, examples, strict=True))
        with _kept_grades(self._file() if self.cache else None) as kept:
            known = kept.look_up(distinct)
            self.looked_up = len(known)
            new = [digest for digest in distinct if digest not in known]
            if new:
                with progress(f"grading: {self.name}", len(new), "completions") as bar:

                    def done(indices: Sequence[int], grades: Sequence[float]) -> None:
                        found = {new[index]: grade for index, grade in zip(indices, grades, strict=True)}
                        known.update(found)
                        # No grade may be a passing failure, so the next call tries again.
                        kept.save({digest: grade for digest, grade in found.items() if np.isfinite(grade)})
                        bar.advance(len(found))

                    self.grade_new([distinct[digest] for digest in new], done)
        return np.array([known[digest] for digest in digests], dtype=np.float64)

    def _file(self) -> Path:
        name = re.sub(r"\W+", "-", self.name)
        return cache_dir() / "grades" / f"{name}-{identity('scorer', self.keys())}.sqlite"


def _digest(seen: Any) -> bytes:
    return hashlib.sha256(json.dumps(seen, sort_keys=True, default=str).encode()).digest()


class _KeptGrades:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        connection.execute("CREATE TABLE IF NOT EXISTS grades (seen BLOB PRIMARY KEY, grade REAL) WITHOUT ROWID")

    def look_up(self, digests: Mapping[bytes, Any]) -> dict[bytes, float]:
        find = self.connection.execute
        rows = ((digest, find("SELECT grade FROM grades WHERE seen = ?", (digest,)).fetchone()) for digest in digests)
        return {digest: row[0] for digest, row in rows if row is not None}

    def save(self, grades: Mapping[bytes, float]) -> None:
        with self.connection:
            self.connection.executemany("INSERT OR REPLACE INTO grades VALUES (?, ?)", grades.items())


@contextmanager
def _kept_grades(path: Path | None) -> Iterator[_KeptGrades]:
    """Open the file, or a database in memory without a path."""
    if path is not None:
        make_folder(path.parent)
    try:
        with closing(sqlite3.connect(path or ":memory:", timeout=BUSY_SECONDS)) as connection:
            yield _KeptGrades(connection)
    except sqlite3.DatabaseError as error:
        raise StorageError(
            f"{path}: the kept grades cannot be used ({error}). If there is space left and you may write there, the "
            "file is damaged: delete it. GCSL_CACHE=FOLDER keeps them elsewhere; scorer.cache=false keeps none."
        ) from error
