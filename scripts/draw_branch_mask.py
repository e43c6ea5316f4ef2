"""Draw the figure of docs/prompt_sharing.md from the output of `branch_masks`: python scripts/draw_branch_mask.py."""

from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.figure import Figure
from transformers import LlamaConfig

from gcsl_cli.models.prompting import EncodedRow
from gcsl_cli.training.branches import Branched
from gcsl_cli.training.micro_batches import PlanCollator
from gcsl_cli.training.shared_prefix import branch_masks

OUTPUT = Path(__file__).parents[1] / "docs" / "prompt_sharing.svg"
PROMPT, GOAL, COMPLETION, GOALS = 6, 2, 3, 3
COLOURS = ["#ffffff", "#4c78a8", "#f58518", "#54a24b", "#b279a2"]
"""Masked, the prompt, and each branch."""


def main() -> None:
    prompt = list(range(PROMPT))
    rows = tuple(
        EncodedRow(
            [*prompt, *[10 + number] * GOAL, *[20] * COMPLETION], PROMPT + GOAL, truncated=False, retokenized=False
        )
        for number in range(GOALS)
    )
    batch = PlanCollator(0)([{"sequences": [Branched(rows, PROMPT)]}])
    mask = branch_masks(LlamaConfig(attn_implementation="sdpa"), batch["branches"], batch["position_ids"])[0, 0]
    names = ["p"] * PROMPT + [
        name for number in range(1, GOALS + 1) for name in [f"g{number}"] * GOAL + ["c"] * COMPLETION
    ]
    shown = torch.where(mask, batch["branches"][0][None, :] + 1, 0)
    mpl.rcParams |= {"svg.hashsalt": "gcsl", "font.size": 8}
    figure = Figure(figsize=(5.4, 5.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shown.numpy(), cmap=mpl.colors.ListedColormap(COLOURS), vmin=0, vmax=4)
    ticks = list(range(len(names)))
    axes.set_xticks([tick + 0.5 for tick in ticks], minor=True)
    axes.set_yticks([tick + 0.5 for tick in ticks], minor=True)
    axes.grid(which="minor", color="#dddddd", linewidth=0.5)
    axes.set_xticks(ticks, names)
    axes.xaxis.tick_top()
    positions = batch["position_ids"][0].tolist()
    axes.set_yticks(ticks, [f"{name}  {position}" for name, position in zip(names, positions, strict=True)])
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("attends to (p: prompt, g: goal, c: completion)")
    axes.set_ylabel("token and its position")
    figure.savefig(OUTPUT, metadata={"Date": None})


if __name__ == "__main__":
    main()
