"""gcsl: fine-tune language models on graded feedback by goal-conditioned supervised learning.

    from gcsl_cli import compose, train

    trained = train(compose("task=toxicity", "goal=threshold"))

The functions are loaded from `gcsl_cli.stages.api` on first use, so `import gcsl_cli` imports nothing heavy.
"""

TYPE_CHECKING = False  # importing `typing` takes longer than all else that happens before Ctrl-C is handled
if TYPE_CHECKING:
    from typing import Any

    from gcsl_cli.stages.api import (
        EvaluateResult,
        GenerateResult,
        PrepareResult,
        TrainResult,
        compose,
        evaluate,
        generate,
        prepare,
        train,
    )

__all__ = ["COMMAND", "EvaluateResult", "GenerateResult", "PrepareResult", "TrainResult", "__version__"]
__all__ += ["compose", "evaluate", "generate", "prepare", "train"]

__version__ = "0.1.0"

COMMAND = "GCSL_COMMAND"
"""Environment variable with the command line, for manifests and reports."""


def __getattr__(name: str) -> "Any":
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("gcsl_cli.stages.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
