"""A model card in the Hub's format, written from what a run recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gcsl_cli import __version__
from gcsl_cli.reports.estimates import Result
from gcsl_cli.reports.evaluation import differences_table, values_table
from gcsl_cli.reports.sections import render


@dataclass(frozen=True)
class Card:
    """What a card tells about a model."""

    name: str
    """`OWNER/NAME` on the Hub, or the name of a folder."""
    base: str
    """URI of the base model."""
    label: str
    """The method with its variant, such as `threshold-language`."""
    goals: Sequence[tuple[str, str]]
    """Template argument and wording of each goal; empty without goals."""
    target: str
    """The goal that is asked for by default."""
    scale: str
    """Range of the training grades, in words."""
    plain: bool
    """Trained on plain text, not on chats."""
    adapter: bool
    command: str
    """The command that trained it."""
    facts: Sequence[tuple[str, str]]
    """Label and value pairs about the training."""
    result: Result | None = None
    """`metrics.json` of an evaluation."""


def model_card(card: Card) -> str:
    """The card as Markdown with the Hub's metadata."""
    results = ""
    if card.result is not None:
        tables = [values_table(card.result), differences_table(card.result)]
        results = "\n".join(table.markdown() for table in tables if table is not None)
    values = {item: getattr(card, item) for item in Card.__dataclass_fields__ if item != "result"}
    return render("model_card.md.j2", **values, results=results, metadata=_metadata(card), version=__version__)


def _metadata(card: Card) -> str:
    from huggingface_hub import ModelCardData

    known: Mapping[str, Any] = {}
    if card.base.startswith("hf://"):
        known = {"base_model": "/".join(card.base.removeprefix("hf://").split("/")[:2])}
    library = "peft" if card.adapter else "transformers"
    tags = ["gcsl", "goal-conditioned"]
    return ModelCardData(library_name=library, pipeline_tag="text-generation", tags=tags, **known).to_yaml()
