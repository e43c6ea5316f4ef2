"""Labels for KTO: expected ones are written down by hand."""

import numpy as np
import pytest

from gcsl_cli.configs import load
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.methods.kto import desirable


def test_rows_from_the_threshold_on_are_desirable() -> None:
    assert desirable(np.array([0.1, 0.5, 0.9]), 0.5).tolist() == [False, True, True]
    assert desirable(np.array([1.0, 2.0, 3.0, 4.0]), None).tolist() == [False, False, True, True]


@pytest.mark.parametrize(("threshold", "said"), [(0.0, "All rows"), (1.0, "No rows")])
def test_labels_of_one_kind_teach_nothing(threshold: float, said: str) -> None:
    with pytest.raises(DataError, match=rf"{said} have a score of at least .* \(scores: 0.1 to 0.9\)"):
        desirable(np.array([0.1, 0.9]), threshold)


def test_one_row_per_pass_has_nothing_to_compare_with() -> None:
    with pytest.raises(ConfigError, match="method=kto with one row per forward pass"):
        load(["method=kto", "train.micro_batch_size=1"])
