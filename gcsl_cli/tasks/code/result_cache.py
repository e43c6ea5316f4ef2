"""Parquet files with the results of long-running grading, so that interrupted work resumes where it stopped."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from gcsl_cli.data.records import read_table, write_columns
from gcsl_cli.errors import DataError

log = logging.getLogger("gcsl")


def cache_path(folder: Path | None, keys: object) -> Path | None:
    """File for results that depend on these keys (any JSON value); None without a folder."""
    return None if folder is None else folder / f"{hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:16]}.parquet"


def load_results(path: Path | None, schema: pa.Schema) -> list[dict[str, Any]] | None:
    """Rows of a cached file; None if there is no such file or it is damaged, which is logged."""
    if path is None or not path.exists():
        return None
    try:
        rows: list[dict[str, Any]] = read_table(path, schema).to_pylist()
    except DataError as error:
        log.warning("%s", error)
        return None
    return rows


def save_results(path: Path | None, schema: pa.Schema, results: Sequence[object]) -> None:
    """Write results, whose attributes are the columns of the schema; no-op without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {name: [_encodable(getattr(one, name)) for one in results] for name in schema.names}
        write_columns(path, schema, columns)


def _encodable(value: object) -> object:
    """Replace lone surrogates, which a program's text may contain."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
