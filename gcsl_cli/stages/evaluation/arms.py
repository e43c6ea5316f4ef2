"""Arms of an evaluation: which model is asked for which goal. Each arm is one row of the results."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gcsl_cli.configs.schema import GenerationConfig
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.joint import JointSpec, shortened
from gcsl_cli.goals.joint_requests import joint_goals
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.tasks.base import RankingTask

SAMPLING = ("samples", "max_new_tokens", "temperature", "top_p", "seed")


@dataclass(frozen=True, slots=True)
class Contrast:
    """A goal that an arm steers away from."""

    goal: float | None
    """`None`: the prompt without a goal."""
    weight: float = 0.0
    """Of guidance; 0 in a likelihood ratio."""
    part: str = ""
    """The score in which it differs from the requested goal; empty if guidance has one weight for all."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A model, the goal that it is asked for, and guidance: one row of the results."""

    name: str
    label: str
    trained: bool
    goal: float | None
    """The requested goal; `None`: no goal."""
    against: tuple[Contrast, ...] = ()
    """The goals that guidance pushes away from."""
    ratio: bool = False
    """Rank candidates by the likelihood ratio of `goal` to the one in `against`."""
    reference: bool = False
    """A baseline of the task that needs no language model."""

    @property
    def guidance(self) -> float:
        """The weight of guidance, in all; 0 without guidance."""
        return sum((contrast.weight for contrast in self.against), 0.0)

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each goal to push away from in the weight of guidance."""
        return tuple(contrast.weight / self.guidance if self.guidance else 1.0 for contrast in self.against)

    @property
    def plain(self) -> bool:
        """Whether the trained model is asked for a goal, without guidance."""
        return self.trained and not self.guidance and not self.ratio


def evaluation_arms(experiment: Experiment) -> list[Arm]:
    """Base, base asked for the best goal, every requested level and the configured arm, each once."""
    config, spec = experiment.config.evaluation, experiment.spec
    ranks = isinstance(experiment.task, RankingTask)
    if not config.generations and not ranks:
        return []
    configured = configured_arm(experiment)
    arms = []
    if config.base:
        arms.append(Arm("base", "base, no goal", False, None))
    if not spec.has_goal:
        return [*arms, configured]
    if config.base and spec.wording != "token":  # the base model has never seen a control token
        arms.append(Arm("base-best", "base, asked for best", False, spec.best))
        if configured.guidance:
            name, label = guidance_suffixes(spec, configured.against)
            arms.append(Arm(f"base-best{name}", f"base, asked{label}", False, spec.best, configured.against))
    arms += [trained_arm(spec, goal) for goal in requested_goals(spec, config.levels)]
    arms += [] if configured in arms else [configured]
    if ranks:
        label = "trained, best over worst goal"
        arms.append(Arm("best-over-worst", label, True, spec.best, (Contrast(spec.worst),), ratio=True))
    return arms


def requested_goals(spec: GoalSpec, levels: Any) -> list[float]:
    """Requested goals in ascending order, from `all` or a list of `worst`, `best` and numbers.

    Raises:
        ConfigError: it is neither.
    """
    if not spec.has_goal:
        return []
    if isinstance(spec, JointSpec):
        return joint_goals(spec, levels)
    if levels == "all":
        return list(spec.levels) or [spec.worst, spec.best]
    if not isinstance(levels, list):
        raise ConfigError(f"evaluation.levels={levels}: not a list; write all or, for instance, [worst,best].")
    return sorted({spec.goal(level) for level in levels})


def configured_arm(experiment: Experiment) -> Arm:
    """The arm with the goal and guidance of the generation config."""
    spec = experiment.spec
    if not spec.has_goal:
        return Arm("trained", "trained", True, None)
    return trained_arm(spec, configured_goal(experiment), contrasts(experiment))


def configured_goal(experiment: Experiment) -> float:
    """The goal that the config requests."""
    config = experiment.config
    return experiment.spec.goal(config.goal.target if config.generation.target is None else config.generation.target)


def contrasts(experiment: Experiment) -> tuple[Contrast, ...]:
    """The goals that guidance pushes away from: one, or one for each score that has a weight of its own."""
    generation = experiment.config.generation
    return guidance_contrasts(experiment.spec, configured_goal(experiment), generation.weights, generation.against)


def guidance_contrasts(spec: GoalSpec, goal: float, weights: Mapping[str, float], against: Any) -> tuple[Contrast, ...]:
    """The goals that guidance pushes a request for `goal` away from, by the weights of parts, or of all as `""`.

    Raises:
        ConfigError: there is no such part, or it is neither asked for nor steered away from.
    """
    found = []
    for part, weight in weights.items():
        if part and isinstance(spec, JointSpec):
            other = spec.against_part(goal, part, against)
        else:
            other = None if against == "none" else spec.against(goal, against)
        found.append(Contrast(other, float(weight), part))
    return tuple(found)


def trained_arm(spec: GoalSpec, goal: float, against: tuple[Contrast, ...] = ()) -> Arm:
    """The trained model asked for a goal."""
    name = spec.label(goal)
    suffix, label = guidance_suffixes(spec, against)
    return Arm(f"{name}{suffix}", f"trained, {name} goal{label}", True, goal, against)


def guidance_suffixes(spec: GoalSpec, against: tuple[Contrast, ...]) -> tuple[str, str]:
    """Suffixes that guidance adds to an arm's name and to its label."""
    if not against:
        return "", ""
    if against[0].part:
        of_parts = ",".join(f"{contrast.part}={contrast.weight:g}" for contrast in against)
        return f"-w-{shortened(of_parts)}", f", guidance {of_parts}"
    weight, goal = against[0].weight, against[0].goal
    other = "none" if goal is None else spec.label(goal)
    name, label = f"-w{weight:g}", f", guidance {weight:g}"
    return (name, label) if other == "worst" else (f"{name}-{other}", f"{label} against {other}")


def sampling(config: GenerationConfig) -> str:
    """Sampling settings other than goals and guidance, as text: `samples 4, max_new_tokens 20, ...`."""
    settings = {key: getattr(config, key) for key in SAMPLING} | config.backend_keys
    return ", ".join(f"{key} {value}" for key, value in settings.items())
