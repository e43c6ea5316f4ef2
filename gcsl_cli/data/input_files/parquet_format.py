"""Rows of Parquet files, numbered from 1."""

from collections.abc import Iterator

from gcsl_cli.data.input_files.faults import NumberedRow
from gcsl_cli.data.input_files.opening import OpenedFile
from gcsl_cli.errors import DataError

BATCH_ROWS = 4096


def parquet_rows(file: OpenedFile) -> Iterator[NumberedRow]:
    """Yield the rows of a Parquet file; values are decoded in batches.

    Raises:
        DataError: the file is truncated or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        for batch in pq.ParquetFile(file.path).iter_batches(batch_size=BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pa.ArrowException, OSError) as error:
        message = f"{file.path}: cannot be read as Parquet ({error}). The file is truncated or damaged."
        raise DataError(message) from error
