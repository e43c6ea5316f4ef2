r"""Programming problems and their splits.

CodeProblem("HumanEval/0", "def add(a, b):\n    \"\"\"The sum.\"\"\"", "add", ("def check(candidate): ...",),
            setup="def add(a, b): ...\n    pass\n", reference="\n    return a + b\n", gap="\n")
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gcsl_cli.data.input_files import Fault, Faults
from gcsl_cli.data.records import Prompt
from gcsl_cli.data.splits import SplitConfig, prompt_id, split_ids
from gcsl_cli.errors import ConfigError, DataError, listed
from gcsl_cli.tasks.code.sandbox.grader import Problem

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Scaling:
    """Inputs of growing size to time programs on, in ENAMEL's format. All of it is untrusted code."""

    generator: str
    """Code that defines `generate_input(size, lid, cid)`, which returns the arguments as a tuple."""
    sizes: tuple[int, ...]
    """One size per level, ascending."""
    reference: str
    """A fast program, complete with the prompt."""
    checker: str = ""
    """Code that defines `__check(input, answer, output)`; empty: answers are compared for equality."""


@dataclass(frozen=True, slots=True)
class CodeProblem:
    """A problem with its tests and the dataset's own solution."""

    identity: str
    prompt: str
    """Text that the model reads and that programs start with. It has no trailing whitespace, because tokenizers attach
    that to the next token."""
    entry_point: str
    tests: tuple[str, ...]
    """As in `gcsl_cli.tasks.code.sandbox.grader.Problem`."""
    setup: str = ""
    """Code to run before the tests, such as helper functions from the prompt."""
    reference: str = ""
    """The dataset's solution as a completion of the prompt; empty if there is none."""
    gap: str = ""
    """Whitespace between the prompt and a solution in the dataset."""
    split: str = ""
    """The dataset's own split: `train`, `validation`, `test` or `none` (unused); empty if it has no splits."""
    scaling: Scaling | None = None

    def for_grader(self) -> Problem:
        """The tests in the grader's form."""
        reference = self.prompt + self.reference if self.reference else ""
        return Problem(self.identity, self.tests, self.entry_point, self.setup, reference=reference)


@dataclass(frozen=True)
class ProblemSet:
    """Problems by the id of their prompt, and the split of each; problems in the split `none` are unused."""

    problems: dict[str, CodeProblem]
    splits: dict[str, str]
    faults: Faults = field(default_factory=Faults)

    @staticmethod
    def of(
        problems: Sequence[CodeProblem], tests: Sequence[CodeProblem] | None, split: SplitConfig, *, overlap: bool
    ) -> "ProblemSet":
        """Assign splits: the dataset's own if it has any, else by a hash of the prompts.

        If separate evaluation problems (`tests`) are given, none of `problems` is evaluated. With `overlap`, a problem
        may be in both.

        Raises:
            ConfigError: A problem is in both, and `overlap` is false.
            DataError: A split is empty.
        """
        faults = Faults()
        by_id = _distinct(problems, faults)
        own = {id_: problem.split for id_, problem in by_id.items()}
        if not any(own.values()):
            own = dict(zip(by_id, split_ids(list(by_id), split).tolist(), strict=True))
        splits = {id_: name if name in SPLITS else "none" for id_, name in own.items()}
        if tests is not None:
            # Official test problems are not trained on; hash-based ones may be, because others are evaluated.
            instead = "none" if any(problem.split for problem in problems) else "train"
            splits = {id_: instead if name == "test" else name for id_, name in splits.items()}
            evaluated = _distinct(tests, faults)
            names = {problem.identity for problem in evaluated.values()}
            used = {id_ for id_, name in splits.items() if name != "none"}
            both = {id_ for id_ in used if id_ in evaluated or by_id[id_].identity in names}
            if both and not overlap:
                first = listed(sorted(by_id[id_].identity for id_ in both)[:3])
                raise ConfigError(
                    f"{len(both)} training problems are evaluation problems as well ({first}, ...). Choose other "
                    "task.problems, drop task.test_problems to evaluate on a held-out split, or set "
                    "task.allow_overlap=true."
                )
            by_id, splits = by_id | evaluated, splits | dict.fromkeys(evaluated, "test")
        for name in SPLITS:
            if name not in splits.values():
                raise DataError(f"The {name} split is empty ({len(by_id)} problems in total). Provide more problems.")
        return ProblemSet(by_id, splits, faults)

    def of_split(self, *names: str) -> list[CodeProblem]:
        """Problems of the named splits, in a fixed random order."""
        return [self.problems[id_] for id_ in sorted(self.problems) if self.splits[id_] in names]

    def prompts(self, *names: str) -> list[Prompt]:
        """Prompts of the named splits, in the same order."""
        chosen = [id_ for id_ in sorted(self.problems) if self.splits[id_] in names]
        return [Prompt(id_, self.problems[id_].prompt, self.splits[id_]) for id_ in chosen]

    def split_sizes(self) -> str:
        """Number of problems per split, as text."""
        sizes = list(self.splits.values())
        return ", ".join(f"{sizes.count(name)} {name}" for name in SPLITS)


def _distinct(problems: Sequence[CodeProblem], faults: Faults) -> dict[str, CodeProblem]:
    found: dict[str, CodeProblem] = {}
    for problem in problems:
        if found.setdefault(prompt_id(problem.prompt), problem) is not problem:
            faults.add(Fault("a problem with the same prompt as another one"), problem.identity)
    return found
