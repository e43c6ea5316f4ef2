"""A trial of a few steps, thrown away: how fast training is here, for a budget in seconds."""

import logging
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.method import AnyExamples, make_trainer
from gcsl_cli.stages.optimisation import train_settings
from gcsl_cli.stages.policy import base_dtype, control_ids, peft_config, starting_model
from gcsl_cli.stages.sharing import share
from gcsl_cli.training.plan import Plan

STEPS = 8
WARM_UP = 2
"""Steps that are not counted: the first ones allocate memory."""

log = logging.getLogger("gcsl")


def measured_speed(experiment: Experiment, examples: AnyExamples, spec: GoalSpec, plan: Plan) -> float:
    """Processed tokens a second of the first steps of `plan`."""
    from gcsl_cli.training.loop import train_plan

    config = experiment.config
    settings = replace(train_settings(config.train, config.seed), report_to=[], checkpoint_every=plan.steps + 1)
    adapter = peft_config(config.adapter, control_ids(experiment, spec))
    frozen = adapter is not None
    model = starting_model(experiment, spec, base_dtype(frozen=frozen, bf16=settings.bf16))
    given = (examples, plan, None, adapter)
    sharing = share(experiment, model, examples, plan)
    make = make_trainer(experiment, model, experiment.tokenizer, *given, bf16=settings.bf16, share=sharing)
    watch = _Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        train_plan(make, plan, settings, Path(folder), watch, validated=False)
    speed = watch.speed()
    log.info("a trial of %d steps: %.0f tokens/s", plan.steps, speed)
    return speed


class _Stopwatch:
    """Takes what a progress bar is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def advance(self, n: float = 1) -> None:
        self.seen.append((time.monotonic(), n))

    def speed(self) -> float:
        # The first entry is what a checkpoint has seen: nothing, at the start.
        counted = self.seen[1 + WARM_UP :]
        return sum(tokens for _, tokens in counted) / (counted[-1][0] - self.seen[WARM_UP][0])
