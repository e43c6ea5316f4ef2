"""Check the `distributed` group: transformers ignores an option of FSDP that it does not know."""

from collections.abc import Iterator

from gcsl_cli.configs.schema import Config
from gcsl_cli.errors import did_you_mean, listed

SWITCHES = ("reshard_after_forward", "cpu_offload", "activation_checkpointing", "cpu_ram_efficient_loading")
FSDP_OPTIONS = (*SWITCHES, "auto_wrap_policy", "min_num_params", "transformer_layer_cls_to_wrap", "state_dict_type")
"""What transformers takes of `fsdp_config` for FSDP2."""


def distributed_problems(config: Config) -> Iterator[str]:
    """Yield one message per problem with the processes, each with the fix."""
    processes = config.distributed.processes
    if processes is not None and processes != "gpu" and not (type(processes) is int and processes > 0):
        yield (
            f"distributed.processes={processes}: expected a positive number, gpu (one per GPU), or null (as many as a "
            "launcher has started)."
        )
    for name, value in config.distributed.fsdp.items():
        if name not in FSDP_OPTIONS:
            near = did_you_mean(name, FSDP_OPTIONS)
            yield f"distributed.fsdp.{name}: FSDP2 has no such option.{near} Options: {listed(FSDP_OPTIONS)}."
        elif name in SWITCHES and not isinstance(value, bool):
            yield f"distributed.fsdp.{name}={value}: expected true or false."
