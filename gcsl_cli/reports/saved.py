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
    rows = [(arm, name, metric) for arm, metrics in arms.items() for name, metric in metrics.items()]
    write_columns(
        path,
        VALUES,
        {
            "arm": [arm for arm, _, _ in rows],
            "metric": [name for _, name, _ in rows],
            "numerator": [metric.numerator.tolist() for _, _, metric in rows],
            "denominator": [metric.denominator.tolist() for _, _, metric in rows],
            "transform": [metric.transform for _, _, metric in rows],
        },
    )


def read_values(path: Path) -> dict[str, dict[str, PerPrompt]]:
    """Read the metrics of every arm, by arm and name.

    Raises:
        DataError: the file is missing, truncated or has another schema.
    """
    arms: dict[str, dict[str, PerPrompt]] = {}
    for row in read_table(path, VALUES).to_pylist():
        numerator, denominator = (np.array(row[key], dtype=np.float64) for key in ("numerator", "denominator"))
        transform: Literal["exp", "identity"] = "exp" if row["transform"] == "exp" else "identity"
        arms.setdefault(row["arm"], {})[row["metric"]] = PerPrompt(numerator, denominator, transform)
    return arms
