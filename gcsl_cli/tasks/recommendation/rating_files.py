"""Read named columns of text and Parquet files in blocks, so that ten million rows need little memory.

A file of ratings has a header such as `user_id,item_id,rating,timestamp`, a file of items `item_id,movie_title`. Column
names may carry a type after a colon (`user_id:token`), as in RecBole's files; it is ignored.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.input_files import Place, is_number
from gcsl_cli.errors import ConfigError, DataError, did_you_mean, listed
from gcsl_cli.tasks.recommendation.rating_format import (
    DOUBLE_COLON,
    OPTIONAL,
    PACKED,
    SUFFIXES,
    UNIT_SEPARATOR,
    RatingFormat,
    text_format,
    usual_name,
)

BLOCK = 4 * 2**20
"""Bytes read at a time."""
Block = tuple[int, list[pa.Array]]
"""The line number (in Parquet: row number) of a block's first row, and its columns."""


def rating_files(path: Path) -> list[Path]:
    """List the file at a path, or all supported files below a folder, sorted by name; `DataError` if there are none."""
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{path}: the folder contains no rating files. Supported: {listed(SUFFIXES)}.")
    return found


def read_blocks(path: Path, names: Sequence[str], key: str, role: str = "ratings") -> Iterator[Block]:
    """Yield the columns `names` in this order, block by block, as text (Parquet: in the file's own types).

    `key` is the config key of the names, for error messages; `role`, `ratings` or `items`, chooses in a zip archive.

    Raises:
        ConfigError: a column does not exist.
        DataError: the file cannot be read; the message has the line, if known.
    """
    if path.suffix.lower() == ".parquet":
        yield from _parquet(path, names, key)
    else:
        yield from _delimited(_checked(path, role), names, key)


def columns_of(path: Path, role: str) -> tuple[Sequence[str], list[str]]:
    """The column names of a file, and how it is read, for people.

    Raises:
        DataError: the file cannot be read.
    """
    if path.suffix.lower() != ".parquet":
        found = _checked(path, role)
        return found.columns, list(found.decisions())
    try:
        return pq.read_schema(path).names, []
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def matched(name: str | None, columns: Sequence[str], default: str | None) -> str | None:
    """The column that a configured name means: a default name may go by another usual name, or be missing.

    A name that differs from the default is taken as it is.
    """
    if name is None or name != default:
        return name
    found = usual_name(name, columns)
    return found if found is not None or name in OPTIONAL else name


def _checked(path: Path, role: str) -> RatingFormat:
    if not any(suffix.lower() in (*SUFFIXES, *PACKED) for suffix in path.suffixes[-1:]):
        raise DataError(f"{path}: unsupported file type {path.suffix!r}. Supported: {listed([*SUFFIXES, *PACKED])}.")
    return text_format(path, role)


def numbers(column: pa.Array, name: str, path: Path, first: int, *, missing: bool = False) -> Floats:
    """Convert a column to numbers, shape `(rows,)`. With `missing`, empty values are allowed and become NaN.

    The name, the file and the line number of the block's `first` row are for error messages.

    Raises:
        DataError: a value is not a number; the message has its line.
    """
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), None, column)
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    try:
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        for index, value in enumerate(column.to_pylist()):
            if value is not None and not is_number(value):
                raise DataError(f"{Place(path, first + index)}: {name} is {value!r}. Expected a number.") from None
        raise
    wrong = ~np.isfinite(values) if not missing else np.isinf(values)
    if wrong.any():
        index = int(np.flatnonzero(wrong)[0])
        shown = "missing" if column[index].as_py() is None else f"{values[index]}"
        raise DataError(f"{Place(path, first + index)}: {name} is {shown}. Expected a number.")
    return np.asarray(values, dtype=np.float64)


def _delimited(found: RatingFormat, names: Sequence[str], key: str) -> Iterator[Block]:
    path, delimiter = found.path, found.delimiter
    _check_names(found.columns, names, path, key)
    # Columns are read by position, because names in the header may be quoted or carry a type.
    chosen = [str(found.columns.index(name)) for name in names]
    places = [str(index) for index in range(len(found.columns))]
    first = 1 if found.header else 0
    reading = pv.ReadOptions(
        use_threads=False, block_size=BLOCK, skip_rows=first, column_names=places, encoding=found.encoding
    )
    parsing = pv.ParseOptions(
        delimiter=UNIT_SEPARATOR if delimiter == DOUBLE_COLON else delimiter,
        quote_char='"' if delimiter in ",;" else False,
        escape_char="\\" if delimiter == ";" else False,
    )
    types = dict.fromkeys(chosen, pa.string())
    converting = pv.ConvertOptions(column_types=types, include_columns=list(types))
    line = 1 + first
    try:
        with found.stream() as stream:
            for batch in pv.open_csv(stream, reading, parsing, converting):
                yield line, [batch.column(name) for name in chosen]
                line += batch.num_rows
    except pa.ArrowException as error:
        if line == 1 + first and "Empty CSV" in str(error):
            return
        raise DataError(
            f"{path}:{line} or below: {error}. The file is damaged, or not of the type its name says."
        ) from error


def _parquet(path: Path, names: Sequence[str], key: str) -> Iterator[Block]:
    row = 1
    try:
        file = pq.ParquetFile(path)
        _check_names(file.schema_arrow.names, names, path, key)
        for batch in file.iter_batches(columns=list(dict.fromkeys(names))):
            yield row, [batch.column(name) for name in names]
            row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: cannot be read as Parquet ({error}). The file is truncated or damaged.")


def _check_names(available: Sequence[str], names: Sequence[str], path: Path, key: str) -> None:
    for name in names:
        if name not in available:
            near = did_you_mean(name, available)
            raise ConfigError(f"{key}: {path} has no column {name!r}.{near} Its columns: {listed(available)}.")
