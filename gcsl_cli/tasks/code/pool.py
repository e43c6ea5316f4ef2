"""The problems of a task: which are trained on, which are evaluated, and which cannot be used."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gcsl_cli.data.input_files import Fault, Faults
from gcsl_cli.data.records import Prompt
from gcsl_cli.data.splits import SplitConfig, prompt_id, split_ids
from gcsl_cli.errors import ConfigError, DataError, listed
from gcsl_cli.tasks.code.records import CodeProblem

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Pool:
    """Problems by the identity of their prompt, and their splits; `none` are used for nothing."""

    problems: dict[str, CodeProblem]
    splits: dict[str, str]
    faults: Faults = field(default_factory=Faults)

    @staticmethod
    def of(
        given: Sequence[CodeProblem], tests: Sequence[CodeProblem] | None, split: SplitConfig, *, overlap: bool
    ) -> "Pool":
        """Split the given problems: as their data set does where it has splits, else by a hash of their prompts.

        Args:
            given: what is trained on, and evaluated where there are no `tests`.
            tests: problems of their own for evaluation; then none of `given` is evaluated.
            split: shares.
            overlap: whether a problem may be both.

        Raises:
            ConfigError: some are both, and `overlap` does not allow it.
            DataError: there are too few.
        """
        faults = Faults()
        problems = _distinct(given, faults)
        own = {id_: problem.split for id_, problem in problems.items()}
        if not any(own.values()):
            own = dict(zip(problems, split_ids(list(problems), split).tolist(), strict=True))
        splits = {id_: found if found in SPLITS else "none" for id_, found in own.items()}
        if tests is not None:
            official = any(problem.split for problem in given)
            splits = {id_: _elsewhere(found, official=official) for id_, found in splits.items()}
            others = _distinct(tests, faults)
            used = {id_ for id_, found in splits.items() if found != "none"}
            both = used & set(others) | _same_identity(problems, others, used)
            if both and not overlap:
                names = listed(sorted(problems[id_].identity for id_ in both)[:3])
                raise ConfigError(
                    f"{len(both)} problems for training are evaluation problems too ({names}, ...). Choose other "
                    "task.problems, leave out task.test_problems for a split of them, or say task.allow_overlap=true."
                )
            problems, splits = problems | others, splits | dict.fromkeys(others, "test")
        for name in SPLITS:
            if name not in splits.values():
                raise DataError(f"No problem is in the split {name!r} ({len(problems)} in all). Give more problems.")
        return Pool(problems, splits, faults)

    def of_split(self, *names: str) -> list[CodeProblem]:
        """The problems of splits, in a fixed random order."""
        return [self.problems[id_] for id_ in sorted(self.problems) if self.splits[id_] in names]

    def prompts(self, *names: str) -> list[Prompt]:
        """Their prompts, in the same order."""
        chosen = [id_ for id_ in sorted(self.problems) if self.splits[id_] in names]
        return [Prompt(id_, self.problems[id_].prompt, self.splits[id_]) for id_ in chosen]

    def told(self) -> str:
        """How many there are of each split."""
        counts = {name: sum(found == name for found in self.splits.values()) for name in SPLITS}
        return ", ".join(f"{count} {name}" for name, count in counts.items())


def _distinct(problems: Sequence[CodeProblem], faults: Faults) -> dict[str, CodeProblem]:
    found: dict[str, CodeProblem] = {}
    for problem in problems:
        if found.setdefault(prompt_id(problem.prompt), problem) is not problem:
            faults.add(Fault("a problem with the prompt of another one"), problem.identity)
    return found


def _elsewhere(split: str, *, official: bool) -> str:
    """Where a problem goes that is not evaluated: an official test problem is used for nothing."""
    if split != "test":
        return split
    return "none" if official else "train"


def _same_identity(problems: dict[str, CodeProblem], others: dict[str, CodeProblem], used: set[str]) -> set[str]:
    names = {problem.identity for problem in others.values()}
    return {id_ for id_ in used if problems[id_].identity in names}
