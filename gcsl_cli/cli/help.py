"""Help pages: Typer's own text, followed by config groups and examples.

Plain text throughout: drawing boxes with rich would make every `--help` a third slower.
"""

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup

OVERVIEW = (
    ("gcsl train task=toxicity goal=threshold", "fine-tune on graded feedback"),
    ("gcsl evaluate task=toxicity goal=threshold", "everything up to the report"),
    ("gcsl train -m seed=0,1,2", "one run per seed"),
    ("gcsl compare task=toxicity", "all runs of a task in one table"),
    ("gcsl train --help", "list what you can configure"),
)
EXAMPLES = {
    "prepare": ("gcsl prepare task=toxicity", "gcsl prepare task=toxicity dry_run=true"),
    "train": (
        "gcsl train task=toxicity goal=threshold",
        "gcsl train goal.pairing=all train.learning_rate=1e-4 seed=1",
        "gcsl train -m seed=0,1,2",
        "gcsl train dry_run=true",
        "gcsl train --cfg job",
    ),
    "generate": (
        "gcsl generate task=toxicity goal=threshold",
        "gcsl generate generation.target=worst generation.samples=25",
        "gcsl generate -m generation.guidance=0,1,3",
    ),
    "evaluate": (
        "gcsl evaluate task=toxicity goal=threshold",
        "gcsl evaluate evaluation.levels=all --json",
        "gcsl evaluate -m goal.placement=before_prompt,after_prompt seed=0,1",
    ),
    "export": (
        "gcsl export RUN --to polite-smollm2",
        "gcsl export RUN --to hf://OWNER/NAME --private",
    ),
    "chat": (
        "gcsl chat runs/toxicity/threshold-language-smollm2-135m-s0-1a2b3c4d",
        "gcsl chat RUN --goal worst --guidance 2",
        "gcsl chat RUN --prompt 'The waiter came back and'",
    ),
    "inspect": (
        "gcsl inspect answers.jsonl",
        "gcsl inspect answers.jsonl task.columns.score=scores.help 'task.scale=[0,4]'",
        "gcsl inspect ultra.jsonl --output rows.jsonl --pairs pairs.jsonl",
    ),
    "compare": (
        "gcsl compare task=toxicity",
        "gcsl compare method=sft,dpo,kto seed=0,1,2 --baseline dpo",
        "gcsl compare 'runs/toxicity/threshold-*' runs/toxicity/sft-all-smollm2-135m-s0-1a2b3c4d",
        "gcsl compare task=toxicity --format latex",
    ),
    "score": (
        "gcsl score answers.jsonl scorer=contains 'scorer.words=[please,thank you]'",
        "gcsl score answers.csv scorer=reward_model scorer.uri=hf://OWNER/NAME --output graded.csv",
        "gcsl score answers.jsonl scorer=judge scorer.base_url=http://localhost:8000/v1 scorer.model=NAME --json",
    ),
}


class Group(TyperGroup):
    """The `gcsl` command."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Append examples to Typer's help."""
        super().format_help(ctx, formatter)
        _section(formatter, "Examples", OVERVIEW)


class ExamplesCommand(TyperCommand):
    """A command whose help ends with examples."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Append examples to Typer's help."""
        super().format_help(ctx, formatter)
        _section(formatter, "Examples", [(line, "") for line in EXAMPLES[str(ctx.info_name)]])


class StageCommand(TyperCommand):
    """A command that runs a stage. Its arguments are overrides, so its help lists what can be overridden."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Add the overrides to the usage line; Typer declares no argument for them."""
        return [*super().collect_usage_pieces(ctx), "[KEY=VALUE]..."]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Append the config groups found on disk and examples to Typer's help."""
        from gcsl_cli.configs.search_path import conf_dir, group_options

        super().format_help(ctx, formatter)
        groups = [(group, ", ".join(options)) for group, options in group_options(conf_dir()).items()]
        _section(formatter, "Config groups (GROUP=OPTION)", groups)
        _section(formatter, "Examples", [(line, "") for line in EXAMPLES[str(ctx.info_name)]])


def _section(formatter: Any, title: str, rows: Sequence[tuple[str, str]]) -> None:
    with formatter.section(title):
        formatter.write_dl(rows, col_max=48)
