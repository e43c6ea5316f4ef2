"""Check the adapter and what is exported of it."""

import re
from collections.abc import Iterator

from gcsl_cli.configs import ranges
from gcsl_cli.configs.choices import Wording
from gcsl_cli.configs.goal_checks import shown
from gcsl_cli.configs.schema import AdapterConfig, Config
from gcsl_cli.errors import did_you_mean, listed

ADAPTERS = ("none", "lora", "qlora")
HIGHEST_RANK = 2**16
"""No weight matrix of a language model has a higher one, and memory for it would be in vain."""
INITS = ("default", "gaussian", "orthogonal", "olora", "pissa", "pissa_niter_N")
"""PEFT's initializations that need nothing but the base's weights."""


def adapter_problems(config: Config) -> Iterator[str]:
    """Yield a message for each setting of the adapter or the export that cannot be used, with the fix."""
    adapter = config.adapter
    if adapter.name not in ADAPTERS:
        yield f"adapter.name={adapter.name}: no such adapter. Allowed: {listed(ADAPTERS)}."
    if not 0 <= adapter.dropout < 1:
        yield f"adapter.dropout={adapter.dropout}: must be at least 0 and below 1. 0 disables dropout."
    yield from ranges.between("adapter.r", adapter.r, 1, HIGHEST_RANK)
    yield from _target_modules(adapter)
    yield from _initialization(config)
    strategy = config.distributed.strategy
    if strategy.shards and (adapter.quantized or adapter.changes_base):
        setting = "adapter=qlora" if adapter.quantized else f"adapter.init={adapter.init}"
        yield (
            f"{setting} with distributed.strategy={strategy}: it cannot be sharded. Use adapter=lora with "
            "adapter.init=default, or distributed=ddp."
        )
    if not config.export.merged:
        yield from _adapter_alone(config)


def _target_modules(adapter: AdapterConfig) -> Iterator[str]:
    modules = adapter.target_modules
    names = modules if isinstance(modules, list) else [modules]
    if not names or not all(isinstance(name, str) and name for name in names):
        yield (
            f"adapter.target_modules={shown(modules)}: expected all-linear, a list of module names or a regular "
            "expression. Example: adapter.target_modules=[q_proj,v_proj]"
        )


def _initialization(config: Config) -> Iterator[str]:
    adapter, setting = config.adapter, f"adapter.init={config.adapter.init}"
    if adapter.init not in INITS[:-1] and not re.fullmatch(r"pissa_niter_\d+", adapter.init):
        near = did_you_mean(adapter.init, INITS)
        yield f"{setting}: no such initialization.{near} Allowed: {listed(INITS)}, with a number for N."
    if adapter.init == "orthogonal" and adapter.r % 2:
        yield f"{setting} with adapter.r={adapter.r}: the rank must be even. Use adapter.r={adapter.r + 1}."
    if not adapter.changes_base:
        return
    if adapter.quantized:
        yield f"{setting} with adapter=qlora: it changes weights that are in 4 bits. Use adapter=lora or another init."
    if config.method.uses_reference:
        yield (
            f"{setting} with method={config.method.name}: the reference model is the base without its adapter, and "
            f"{adapter.init} moves a part of the base into the adapter. Use adapter.init=default."
        )


def _adapter_alone(config: Config) -> Iterator[str]:
    adapter = config.adapter
    if adapter.name == "none":
        yield "export.merged=false with adapter=none: full fine-tuning has no adapter to save. Use adapter=lora."
    if adapter.changes_base:
        yield (
            f"export.merged=false with adapter.init={adapter.init}: such an adapter fits only the base that it has "
            "changed. Use export.merged=true or adapter.init=default."
        )
    if config.method.uses_goals and config.goal.wording is Wording.token:
        yield (
            "export.merged=false with goal.wording=token: control tokens are new rows of the base's embeddings, which "
            "an adapter does not hold. Use export.merged=true, or goal.wording=language."
        )
