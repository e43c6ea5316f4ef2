"""Run a stage in this process. Stages are imported only when they run, because they may import torch."""

import importlib
from typing import Any, cast

from gcsl_cli.configs.schema import Config
from gcsl_cli.runs import ranks


def run_here(stage: str, config: Config) -> dict[str, Any]:
    """Run a stage in this process, the only one or the leader; any other follows the leader and has no result."""
    if not ranks.leads():
        importlib.import_module("gcsl_cli.stages.processes").follow(stage, config)
        return {}
    try:
        return _run(stage, config)
    finally:
        ranks.dismiss()


def _run(stage: str, config: Config) -> dict[str, Any]:
    if config.dry_run:
        dry_run = importlib.import_module("gcsl_cli.stages.dry_run")
        return cast("dict[str, Any]", dry_run.run(config, stage))
    return cast("dict[str, Any]", importlib.import_module(f"gcsl_cli.stages.{stage}").run(config))
