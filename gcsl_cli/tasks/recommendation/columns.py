"""Named columns of a CSV, a tab-separated or a Parquet file, block by block: ten million rows need little memory.

A file of ratings, header `user_id,item_id,rating,timestamp`, and one of items, header `item_id,movie_title`. Names may
have a type behind a colon (`user_id:token`), as RecBole writes them; it does not count.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gcsl_cli.data.jsonl import Place
from gcsl_cli.errors import ConfigError, DataError, did_you_mean, listed

DELIMITERS = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t"}
KINDS = (*DELIMITERS, ".parquet")
BLOCK = 4 * 2**20
"""Bytes of a file that are read at a time."""
Block = tuple[int, list[pa.Array]]
"""The number of the first line (Parquet: row) of a block, and its columns."""


def rating_files(path: Path) -> list[Path]:
    """The file at a path, or all of a known kind in a folder, in the order of their names.

    Raises:
        DataError: there is none in the folder.
    """
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in KINDS)
    if not found:
        raise DataError(f"{path}: no file of ratings in it. Known are {listed(KINDS)}.")
    return found


def read_blocks(path: Path, wanted: Sequence[str], key: str) -> Iterator[Block]:
    """The `wanted` columns of a file, in their order, as texts (Parquet: as they are).

    `key` is the config key of the names, for messages.

    Raises:
        ConfigError: a column is not there.
        DataError: the file cannot be read; names its line where it is known.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet(path, wanted, key)
    elif suffix in DELIMITERS:
        yield from _delimited(path, wanted, key, DELIMITERS[suffix])
    else:
        raise DataError(f"{path}: a file of the kind {suffix!r}. Known are {listed(KINDS)}.")


def numbers(column: pa.Array, name: str, path: Path, first: int, *, missing: bool = False) -> NDArray[np.float64]:
    """A column as numbers, `(rows,)`; empty values are NaN where they may be `missing`.

    Raises:
        DataError: a value is no number; names its line.
    """
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), None, column)
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    try:
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        for place, value in enumerate(column.to_pylist()):
            if value is not None and not _is_number(value):
                where = Place(path, first + place)
                raise DataError(f"{where}: {name} is {value!r}; expected a number.") from None
        raise
    wrong = ~np.isfinite(values) if not missing else np.isinf(values)
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        shown = "missing" if column[place].as_py() is None else f"{values[place]}"
        raise DataError(f"{Place(path, first + place)}: {name} is {shown}; expected a number.")
    return np.asarray(values, dtype=np.float64)


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def _delimited(path: Path, wanted: Sequence[str], key: str, delimiter: str) -> Iterator[Block]:
    try:
        with path.open("rb") as stream:
            header = stream.readline().decode("utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    raw = [name.strip().strip('"') for name in header.split(delimiter)]
    names = [name.partition(":")[0] for name in raw]
    chosen = [f"{names.index(name)}" for name in _found(names, wanted, path, key)]
    quoted = delimiter == ","
    reading = pv.ReadOptions(
        use_threads=False, block_size=BLOCK, skip_rows=1, column_names=[str(place) for place in range(len(names))]
    )
    parsing = pv.ParseOptions(delimiter=delimiter, quote_char='"' if quoted else False)
    types = dict.fromkeys(chosen, pa.string())
    converting = pv.ConvertOptions(column_types=types, include_columns=list(dict.fromkeys(chosen)))
    line = 2
    try:
        for batch in pv.open_csv(path, reading, parsing, converting):
            yield line, [batch.column(name) for name in chosen]
            line += batch.num_rows
    except pa.ArrowException as error:
        if line == 2 and "Empty CSV" in str(error):
            return
        raise DataError(f"{path}:{line} or below: {error}. The file is damaged, or not what its name says.") from error


def _parquet(path: Path, wanted: Sequence[str], key: str) -> Iterator[Block]:
    row = 1
    try:
        file = pq.ParquetFile(path)
        chosen = _found(file.schema_arrow.names, wanted, path, key)
        for batch in file.iter_batches(columns=list(dict.fromkeys(chosen))):
            yield row, [batch.column(name) for name in chosen]
            row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error}). It is cut off or damaged.") from error


def _found(names: Sequence[str], wanted: Sequence[str], path: Path, key: str) -> list[str]:
    for name in wanted:
        if name not in names:
            near = did_you_mean(name, names)
            raise ConfigError(f"{key}: there is no column {name!r} in {path}.{near} It has {listed(names)}.")
    return list(wanted)
