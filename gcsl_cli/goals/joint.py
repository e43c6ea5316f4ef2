"""Goals with several parts: one `GoalSpec` for each score, and how their phrases are joined.

"Give a response whose helpfulness is at least 4 of 4 and whose verbosity is at most 2 of 4." has the parts helpfulness
and verbosity. A goal is the number of a combination (see `combinations.py`), so that prompts, plans and arms treat it
as they treat the goal of a single score.
"""

from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.errors import ConfigError, listed
from gcsl_cli.goals.combinations import combination, numbered, reaches
from gcsl_cli.goals.levels import Levels, levels_of
from gcsl_cli.goals.parts import known_name
from gcsl_cli.goals.spec import GoalSpec

PLACE = "{parts}"
"""The place of the phrases in the frame."""
MOST_SAVED = 1000
"""Combinations of the training rows that goal.json lists, the most frequent ones."""
REACHABLE = "reachable"
COMMON = 0.01
"""Share of the training rows from which a combination counts as one that can be reached."""
LONGEST_LABEL = 100
NAMED = 3
"""Combinations that a warning names."""
Target = Any
"""`best`, `worst`, `reachable`, or for each part by name `best`, `worst`, a grade, or null to leave it open."""


@dataclass(frozen=True, slots=True)
class JointSpec(GoalSpec):
    """The goals of a model that was trained on several scores. A goal is the number of a combination."""

    names: tuple[str, ...]
    parts: tuple[GoalSpec, ...]
    """Levels, phrases, scale and weights of each score."""
    frame: str
    """The text around the phrases, which replace `{parts}`."""
    joins: tuple[str, str]
    """What stands between two phrases, and between the last two."""
    parts_dropout: float
    """Share of single parts that training left open."""
    combinations: tuple[tuple[int, ...], ...]
    """The combinations that training rows have as their own, the most frequent first."""
    rows: tuple[int, ...]
    """How many training rows have each of them."""

    def __hash__(self) -> int:
        # The target may be a mapping, which has no hash.
        return hash((self.names, self.parts, self.frame, str(self.target)))

    @property
    def counts(self) -> tuple[int, ...]:
        """Levels of each part."""
        return tuple(len(part.levels) for part in self.parts)

    @property
    def best(self) -> float:
        """The best level of every part, whether or not any row reached all of them."""
        return self.number([count - 1 for count in self.counts])

    @property
    def worst(self) -> float:
        """The lowest level of every part."""
        return self.number([0] * len(self.parts))

    @property
    def long_goals(self) -> list[float]:
        """Goals among which is the one with the most tokens, judging by characters: the longest phrase of each part."""
        longest = [max(enumerate(part.texts), key=lambda text: len(text[1]))[0] for part in self.parts]
        return [self.number(longest), self.best, self.worst]

    @property
    def reachable(self) -> float:
        """The best combination that training rows have, so that it can be reached.

        Of the combinations that at least `COMMON` of the rows have, with all scores known, it is the one with the
        highest mean level, each part on a scale from 0 to 1, and the most frequent of equal ones. It is the simplest
        form of the selection of MOGCSL (arXiv 2412.08911), which models the goals that can be reached.
        """
        known = [place for place, levels in enumerate(self.combinations) if min(levels) >= 0]
        common = [place for place in known if self.rows[place] >= COMMON * sum(self.rows)] or known
        if not common:
            raise ConfigError(f"target={REACHABLE}: no training row has all scores. Name the parts that you ask for.")
        spans = np.maximum(np.array(self.counts) - 1, 1)
        # The most frequent combinations come first.
        return self.number(self.combinations[max(common, key=lambda place: np.mean(self.combinations[place] / spans))])

    def number(self, levels: "list[int] | tuple[int, ...] | Ints") -> float:
        """The goal with these levels, -1 for an open part."""
        return float(numbered(np.asarray([levels], dtype=np.int64), self.counts)[0])

    def levels_of_parts(self, goal: float) -> tuple[int, ...]:
        """The level of each part, -1 for an open one; the reverse of `number`."""
        return tuple(combination(np.array([goal]), self.counts)[0].tolist())

    def levels_of_goal(self, goal: float) -> tuple[float | None, ...]:
        """The score that each part has to reach, `None` for an open one."""
        own = self.levels_of_parts(goal)
        return tuple(None if level < 0 else part.levels[level] for part, level in zip(self.parts, own, strict=True))

    def asked(self, goal: float) -> dict[str, float]:
        """The grade that is asked for of each part; open parts are missing."""
        return {
            name: part.grade(part.levels[level])
            for name, part, level in zip(self.names, self.parts, self.levels_of_parts(goal), strict=True)
            if level >= 0
        }

    def goal(self, target: Target = None) -> float:
        """Resolve a target: `best`, `worst`, `reachable`, or the target of each part by name; others are left open.

        Raises:
            ConfigError: there is no such part or level, or no part is asked for.
        """
        target = self.target if target is None else target
        if target in ("best", "worst", REACHABLE):
            return {"best": self.best, "worst": self.worst, REACHABLE: self.reachable}[target]
        if not isinstance(target, Mapping) and len(self.names) == 1:
            target = {self.names[0]: target}
        if not isinstance(target, Mapping):
            raise ConfigError(
                f"target={target}: the goals of this model have several parts ({listed(self.names)}). Name the part, "
                f"for example target.{self.names[0]}={target}, or use best, worst or {REACHABLE}."
            )
        for name in target:
            known_name(f"target.{name}", str(name), self.names)
        levels = [_level(part, name, target.get(name)) for name, part in zip(self.names, self.parts, strict=True)]
        if max(levels) < 0:
            raise ConfigError(f"target: no part is asked for. Give at least one of {listed(self.names)} a target.")
        return self.number(levels)

    def against(self, goal: float, target: Target) -> float:
        """The goal that guidance steers a request for `goal` away from.

        `worst` and `best` are those of all parts that `goal` asks for. A mapping changes the parts that it names; the
        others are as in `goal`, so that guidance steers in the named parts only.
        """
        own = self.levels_of_parts(goal)
        if isinstance(target, Mapping):
            named = self.levels_of_parts(self.goal(target))
            return self.number([new if new >= 0 else old for new, old in zip(named, own, strict=True)])
        other = self.levels_of_parts(self.goal(target))
        return self.number([new if old >= 0 else -1 for new, old in zip(other, own, strict=True)])

    def against_part(self, goal: float, name: str, target: Target) -> float | None:
        """The goal that guidance in one part steers a request for `goal` away from: it differs in that part only.

        `target` is as for `against`; a mapping without the part means its worst level. `none` leaves the part open, and
        `None` is the prompt without a goal.

        Raises:
            ConfigError: the part is to be left open, but is not asked for.
        """
        levels, place = list(self.levels_of_parts(goal)), self.names.index(name)
        if target != "none":
            other = target if not isinstance(target, Mapping) else {name: target.get(name, "worst")}
            levels[place] = self.levels_of_parts(self.goal(other))[place]
        elif levels[place] < 0:
            raise ConfigError(f"generation.guidance.{name}: {name} is not asked for, so there is nothing to leave out.")
        else:
            levels[place] = -1
        return None if max(levels) < 0 else self.number(levels)

    def label(self, goal: float) -> str:
        """`best`, `worst`, or the parts that are asked for: `helpfulness=best,verbosity=1`.

        It becomes the name of a folder, so the number of the goal replaces the end of a long one.
        """
        ends = {self.worst: "worst", self.best: "best"}
        named = ends.get(goal) or ",".join(
            f"{name}={part.label(part.levels[level])}"
            for name, part, level in zip(self.names, self.parts, self.levels_of_parts(goal), strict=True)
            if level >= 0
        )
        return shortened(named, f"...{int(goal)}")

    def display(self, goal: float) -> str:
        """The goal as tables show it: `helpfulness 4, verbosity 1`."""
        return self.shown(self.levels_of_parts(goal))

    def shown(self, levels: tuple[int, ...]) -> str:
        """A combination as tables show it."""
        return ", ".join(
            f"{name} {part.display(part.levels[level])}"
            for name, part, level in zip(self.names, self.parts, levels, strict=True)
            if level >= 0
        )

    def text(self, goal: float) -> str:
        """The goal as it appears in the prompt: the phrases of the parts that are asked for, in order."""
        return self._together([part.texts for part in self.parts], goal)

    def meaning(self, goal: float) -> str:
        """The goal in words, also where control tokens stand for them."""
        return self._together([part.words or part.texts for part in self.parts], goal)

    def weights_of(self, goals: Floats) -> Floats:
        """Loss weight of a row under each of `goals`: the mean of the weights of the levels that it asks for."""
        if not any(part.weights for part in self.parts):
            return np.ones(len(goals))
        levels = combination(goals, self.counts)
        tables = [np.array([*(part.weights or [1.0] * len(part.levels)), 0.0]) for part in self.parts]
        summed = np.sum([table[levels[:, place]] for place, table in enumerate(tables)], axis=0)
        asked = (levels >= 0).sum(axis=1)
        return np.where(np.isnan(goals), 1.0, summed / np.maximum(asked, 1))

    def unseen(self, goal: float) -> str | None:
        """Say that no training row reached a goal in all of its parts, and name the nearest that some had."""
        asked, own = np.array(self.levels_of_parts(goal)), np.array(self.combinations)
        found = (asked < 0) | (own == asked) if self.formulation == "exact" else reaches(own, asked)[:, None]
        if found.all(axis=1).any():
            return None
        missing = np.where(asked < 0, 0, asked - own) / np.maximum(np.array(self.counts) - 1, 1)
        distance = np.abs(missing if self.formulation == "exact" else np.maximum(missing, 0)).sum(axis=1)
        nearest = np.argsort(distance, kind="stable")[:NAMED].tolist()
        named = "; ".join(f"{self.shown(self.combinations[place])} ({self.rows[place]} rows)" for place in nearest)
        return f"No training row reached {self.display(goal)} together. The nearest that rows had: {named}."

    def _together(self, phrases: "list[tuple[str, ...]]", goal: float) -> str:
        chosen = [texts[level] for texts, level in zip(phrases, self.levels_of_parts(goal), strict=True) if level >= 0]
        between, last = self.joins
        joined = last.join([between.join(chosen[:-1]), chosen[-1]]) if len(chosen) > 1 else chosen[0]
        return self.frame.replace(PLACE, joined)


def shortened(label: str, end: str = "...") -> str:
    """A label that can be the name of a folder: the end of a long one is replaced."""
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 20]}{end}"


def _level(part: GoalSpec, name: str, target: Any) -> int:
    """The level of a part that a target names; -1 if there is no target."""
    if target is None:
        return -1
    if isinstance(target, bool) or not isinstance(target, int | float | str):
        raise ConfigError(f"target.{name}={target}: expected best, worst, a level, or null to leave it open.")
    try:
        level = part.goal(target)
    except ConfigError as error:
        raise ConfigError(str(error).replace("target=", f"target.{name}=", 1)) from error
    return bisect(part.levels, level) - 1


@dataclass(frozen=True, eq=False)
class JointLevels(Levels):
    """The levels of each part, and which combination of them each row reaches. There are no levels of the whole."""

    names: tuple[str, ...] = ()
    parts: tuple[Levels, ...] = ()

    @staticmethod
    def of(parts: Mapping[str, Levels]) -> "JointLevels":
        """Put the levels of parts together."""
        return JointLevels("joint", "dataset", np.empty(0), tuple(parts), tuple(parts.values()))

    @property
    def counts(self) -> tuple[int, ...]:
        """Levels of each part."""
        return tuple(len(levels.values) for levels in self.parts)

    def reached_by(self, rows: FeedbackRows) -> Ints:
        """The highest level of each part that each row reaches, -1 where its score is not known, `(rows, parts)`."""
        found = np.full((len(rows), len(self.parts)), -1, dtype=np.int64)
        for place, (name, levels) in enumerate(zip(self.names, self.parts, strict=True)):
            scores = rows.part(name)
            known = ~np.isnan(scores)
            # A held-out score may lie below the lowest level, which is the training minimum.
            floored = np.maximum(scores[known], levels.values[0])
            found[known, place] = levels.highest(floored, rows.prompts[known])
        return found

    def goals_of(self, rows: FeedbackRows) -> Floats:
        """Goal of each held-out row, `(rows,)`: the combination that it reaches."""
        return numbered(self.reached_by(rows), self.counts)


def saved_levels(spec: GoalSpec) -> Levels:
    """The levels of a saved goal spec, of one score or of several."""
    if not isinstance(spec, JointSpec):
        return levels_of(spec)
    return JointLevels.of({name: levels_of(part) for name, part in zip(spec.names, spec.parts, strict=True)})


def most_frequent(combinations: Ints, rows: Ints) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """The combinations `(n, parts)` and their rows `(n,)` as goal.json lists them."""
    order = np.argsort(-rows, kind="stable")[:MOST_SAVED]
    return tuple(tuple(row) for row in combinations[order].tolist()), tuple(rows[order].tolist())
