"""Help texts: `gcsl --help` with the way through the commands, `gcsl train --help` with config groups and examples."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

OVERVIEW = (
    ("gcsl train task=toxicity goal=threshold", "fine-tune on graded feedback"),
    ("gcsl evaluate task=toxicity goal=threshold", "do all that leads to a report"),
    ("gcsl train -m seed=0,1,2", "a sweep"),
    ("gcsl compare task=toxicity", "all runs of a task in one table"),
    ("gcsl train --help", "what can be configured"),
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
    "compare": (
        "gcsl compare task=toxicity",
        "gcsl compare method=sft,dpo,kto seed=0,1,2 --baseline dpo",
        "gcsl compare 'runs/toxicity/threshold-*' runs/toxicity/sft-all-smollm2-135m-s0-1a2b3c4d",
        "gcsl compare task=toxicity --format latex",
    ),
    "evaluate": (
        "gcsl evaluate task=toxicity goal=threshold",
        "gcsl evaluate evaluation.levels=all --json",
        "gcsl evaluate -m goal.placement=before_prompt,after_prompt seed=0,1",
    ),
}


class CompareCommand(TyperCommand):
    """Help with examples."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Typer's help, then examples."""
        super().format_help(ctx, formatter)
        _section(formatter, "Examples", [(line, "") for line in EXAMPLES["compare"]])


class Group(TyperGroup):
    """The command group, with examples under its help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Typer's help, then examples."""
        super().format_help(ctx, formatter)
        _section(formatter, "Examples", OVERVIEW)


class StageCommand(TyperCommand):
    """A stage: its arguments are overrides, so its help names what can be overridden."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS] [OVERRIDES]...`, though Typer sees no argument."""
        return [*super().collect_usage_pieces(ctx), "[KEY=VALUE]..."]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Typer's help, then the config groups as they are on disk, and examples."""
        from gcsl_cli.configs.folders import conf_dir, group_options

        super().format_help(ctx, formatter)
        groups = [(group, ", ".join(options)) for group, options in group_options(conf_dir()).items()]
        _section(formatter, "Config groups (GROUP=OPTION)", groups)
        _section(formatter, "Examples", [(line, "") for line in EXAMPLES.get(str(ctx.info_name), ())])


def _section(formatter: Any, title: str, rows: Any) -> None:
    """Plain text: the boxes of rich would make every `--help` a third slower."""
    with formatter.section(title):
        formatter.write_dl(rows, col_max=48)
