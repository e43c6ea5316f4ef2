"""Options of several processes that would have no effect, or none that is meant, are refused."""

import pytest

from gcsl_cli import configs
from gcsl_cli.errors import ConfigError

pytestmark = pytest.mark.usefixtures("remembered_composition")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("distributed.processes=0", "distributed.processes=0: expected a positive number, gpu"),
        ("distributed.fsdp.reshard_after_forward=maybe", "reshard_after_forward=maybe: expected true or false."),
        ("+distributed.fsdp.reshard_after_foward=false", "no such option. Did you mean reshard_after_forward?"),
        ("+distributed.fsdp.version=1", "distributed.fsdp.version: FSDP2 has no such option."),
    ],
)
def test_refused(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        configs.load(["distributed=fsdp2", override])
    assert said in str(refusal.value)


def test_another_option_of_fsdp_is_accepted() -> None:
    config = configs.load(["distributed=fsdp2", "+distributed.fsdp.activation_checkpointing=true"])
    assert config.distributed.fsdp["activation_checkpointing"] is True
