"""Arms of an evaluation: which model is asked for which goal. Each arm is one row of the results."""

from dataclasses import dataclass
from typing import Any

from gcsl_cli.configs.schema import GenerationConfig
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.joint import JointSpec
from gcsl_cli.goals.joint_requests import joint_goals
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.tasks.base import RankingTask

SAMPLING = ("samples", "max_new_tokens", "temperature", "top_p", "seed")


@dataclass(frozen=True, slots=True)
class Arm:
    """A model, the goal that it is asked for, and guidance: one row of the results."""

    name: str
    label: str
    trained: bool
    goal: float | None
    """The requested goal; `None`: no goal."""
    guidance: float = 0.0
    against: float | None = None
    """The goal that guidance pushes away from; `None`: the prompt without a goal."""
    ratio: bool = False
    """Rank candidates by the likelihood ratio of `goal` to `against`."""
    reference: bool = False
    """A baseline of the task that needs no language model."""

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
            weight, against = guided(experiment)
            name, label = guidance_suffixes(spec, weight, against)
            arms.append(Arm(f"base-best{name}", f"base, asked{label}", False, spec.best, weight, against))
    arms += [trained_arm(spec, goal) for goal in requested_goals(spec, config.levels)]
    arms += [] if configured in arms else [configured]
    if ranks:
        label = "trained, best over worst goal"
        arms.append(Arm("best-over-worst", label, True, spec.best, against=spec.worst, ratio=True))
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
    return trained_arm(spec, configured_goal(experiment), *guided(experiment))


def configured_goal(experiment: Experiment) -> float:
    """The goal that the config requests."""
    config = experiment.config
    return experiment.spec.goal(config.goal.target if config.generation.target is None else config.generation.target)


def guided(experiment: Experiment) -> tuple[float, float | None]:
    """The guidance weight and the goal that guidance pushes away from."""
    generation, spec = experiment.config.generation, experiment.spec
    if not generation.guidance or generation.against == "none":
        return generation.guidance, None
    return generation.guidance, spec.against(configured_goal(experiment), generation.against)


def trained_arm(spec: GoalSpec, goal: float, guidance: float = 0.0, against: float | None = None) -> Arm:
    """The trained model asked for a goal."""
    name = spec.label(goal)
    suffix, label = guidance_suffixes(spec, guidance, against)
    return Arm(f"{name}{suffix}", f"trained, {name} goal{label}", True, goal, guidance, against)


def guidance_suffixes(spec: GoalSpec, guidance: float, against: float | None) -> tuple[str, str]:
    """Suffixes that guidance adds to an arm's name and to its label."""
    if not guidance:
        return "", ""
    other = "none" if against is None else spec.label(against)
    name, label = f"-w{guidance:g}", f", guidance {guidance:g}"
    return (name, label) if other == "worst" else (f"{name}-{other}", f"{label} against {other}")


def sampling(config: GenerationConfig) -> str:
    """Sampling settings other than goals and guidance, as text: `samples 4, max_new_tokens 20, ...`."""
    settings = {key: getattr(config, key) for key in SAMPLING} | config.backend_keys
    return ", ".join(f"{key} {value}" for key, value in settings.items())
