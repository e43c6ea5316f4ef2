"""Shards of results about programs: what is kept while a long job is made, so that it goes on where it stopped."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from gcsl_cli.data.records import read_table, write_columns
from gcsl_cli.errors import DataError

log = logging.getLogger("gcsl")


def kept_rows(path: Path, schema: pa.Schema) -> list[dict[str, Any]] | None:
    """The rows of a shard that is there; one that is damaged is to be made again."""
    if not path.exists():
        return None
    try:
        rows: list[dict[str, Any]] = read_table(path, schema).to_pylist()
    except DataError as error:
        log.warning("%s", error)
        return None
    return rows


def keep(path: Path, schema: pa.Schema, results: Sequence[object]) -> None:
    """Write results that have the schema's columns as attributes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_columns(path, schema, {name: [_writable(getattr(one, name)) for one in results] for name in schema.names})


def _writable(value: object) -> object:
    """A text of a program's may hold halves of characters."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
