r"""Screen goal wordings before training: measure goal discrimination of the base model on training rows.

    python scripts/screen_goals.py experiment=small/code task.feedback.solutions=samples.jsonl.gz
    python scripts/screen_goals.py experiment=small/code task.feedback.solutions=samples.jsonl.gz \
        'task.sentences=["# Wrong.","# Correct."]' goal.placement=after_prompt

Choosing the wording on training rows keeps held-out rows, which this script does not read, a fair test of the trained
model. For each prompt with good and poor rows, up to `--each` of either kind are scored under the best and the worst
goal.
"""

import argparse

import numpy as np

from gcsl_cli.cli import console
from gcsl_cli.configs import load
from gcsl_cli.configs.choices import Wording
from gcsl_cli.data.arrays import Ints
from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.stages.evaluation.held_out import HeldOut
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.feedback import ensure_feedback
from gcsl_cli.stages.planning.goal import make_goal


def both_kinds(rows: FeedbackRows, cut: float, each: int) -> Ints:
    """Draw the indices of up to `each` good and poor rows of every prompt that has both, grouped by prompt."""
    order = np.random.default_rng(0).permutation(len(rows))
    prompts, good = rows.prompts[order], rows.scores[order] >= cut
    chosen = []
    for prompt in np.unique(prompts):
        kinds = [order[(prompts == prompt) & (good == kind)][:each] for kind in (True, False)]
        if all(len(kind) for kind in kinds):
            chosen += kinds
    return np.concatenate(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=4, help="maximum number of good and of poor rows per prompt")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides")
    arguments = parser.parse_args()
    console.setup()
    config = load(arguments.overrides)
    config.goal.wording = Wording.language  # the base model cannot read control tokens
    experiment = Experiment(config)
    feedback = ensure_feedback(experiment)
    training = feedback.of_split("train")
    experiment.spec, _ = make_goal(experiment.config, feedback, training)
    rows = training.take(both_kinds(training, HeldOut(experiment, training).cut, arguments.each))
    auc = HeldOut(experiment, rows).auc(experiment.base_model)
    spec = experiment.spec
    print(f"worst: {spec.text(spec.worst)!r}\nbest:  {spec.text(spec.best)!r}\n{spec.placement}, {len(rows)} rows")
    for name in ("pooled", "within"):
        print(f"AUC {name}: {auc[name]['value']:.3f} [{auc[name]['low']:.3f}, {auc[name]['high']:.3f}]")


if __name__ == "__main__":
    main()
