"""Parquet files with the results of long-running grading, so that interrupted work resumes where it stopped."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from gcsl_cli.data.records import write_columns


def cache_path(folder: Path | None, keys: object) -> Path | None:
    """File for results that depend on these keys (any JSON value); None without a folder."""
    return None if folder is None else folder / f"{hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:16]}.parquet"


def save_results(path: Path | None, schema: pa.Schema, results: Sequence[object]) -> None:
    """Write results, whose attributes are the columns of the schema; no-op without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {name: [_encodable(getattr(one, name)) for one in results] for name in schema.names}
        write_columns(path, schema, columns)


def _encodable(value: object) -> object:
    """Replace lone surrogates, which a program's text may contain."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
