"""When rounds end early."""

import pytest

from gcsl_cli.configs.schema import StopConfig
from gcsl_cli.stages.rounds.validation import Validated, reason_to_stop


@pytest.mark.parametrize(
    ("stop", "results", "said"),
    [
        (StopConfig(), [(0.9, 5.0), (0.1, 5.0)], ""),
        (StopConfig(gain=0.01), [(0.5, 0.1)], ""),
        (StopConfig(gain=0.01), [(0.5, 0.1), (0.52, 0.2)], ""),
        (StopConfig(gain=0.01), [(0.5, 0.1), (0.505, 0.2)], "0.505 after 0.500, a gain below rounds.stop.gain=0.01"),
        # The second round was better than the third's predecessor: the best so far counts.
        (StopConfig(gain=0.0), [(0.5, 0.1), (0.7, 0.2), (0.6, 0.2)], "0.600 after 0.700"),
        (StopConfig(gain=0.0), [(0.5, 0.1), (0.5, 0.2)], ""),
        (StopConfig(divergence=0.3), [(0.5, 0.3)], ""),
        (StopConfig(divergence=0.3), [(0.5, 0.31)], "0.310 nats per token, above rounds.stop.divergence=0.3"),
        (StopConfig(gain=0.1, divergence=0.3), [(0.5, 0.1), (0.9, 0.4)], "0.400 nats per token"),
    ],
)
def test_reasons(stop: StopConfig, results: list[tuple[float, float]], said: str) -> None:
    found = reason_to_stop(stop, [Validated(*result) for result in results])

    assert said in found
    assert bool(found) == bool(said)
