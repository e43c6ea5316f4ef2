"""Files of a finished evaluation that comparisons read: the result, and every metric per prompt for resampling.

A row of `values.parquet`:
    {"arm": "best", "metric": "mean_toxicity", "numerator": [0.4, 1.1], "denominator": [4, 4], "transform": "identity"}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from gcsl_cli.data.records import VALUES, read_table, write_columns
from gcsl_cli.metrics.bootstrap import PerPrompt

EVALUATIONS = "evaluations"
METRICS_FILE = "metrics.json"
VALUES_FILE = "values.parquet"
RESULT_VERSION = 2
"""Format version of `metrics.json`."""


def write_values(path: Path, arms: Mapping[str, Mapping[str, PerPrompt]]) -> None:
    """Write the metrics of every arm to one Parquet file, atomically."""
    rows = [
        (arm, name, metric.numerator.tolist(), metric.denominator.tolist(), metric.transform)
        for arm, metrics in arms.items()
        for name, metric in metrics.items()
    ]
    columns = list(zip(*rows, strict=True)) or [()] * len(VALUES)
    write_columns(path, VALUES, dict(zip(VALUES.names, columns, strict=True)))


def read_values(path: Path) -> dict[str, dict[str, PerPrompt]]:
    """Read the metrics of every arm, by arm and name; raises as `read_table` does."""
    arms: dict[str, dict[str, PerPrompt]] = {}
    for row in read_table(path, VALUES).to_pylist():
        numerator, denominator = (np.array(row[key], dtype=np.float64) for key in ("numerator", "denominator"))
        transform: Literal["exp", "identity"] = "exp" if row["transform"] == "exp" else "identity"
        arms.setdefault(row["arm"], {})[row["metric"]] = PerPrompt(numerator, denominator, transform)
    return arms
