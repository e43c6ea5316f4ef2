"""What goal discrimination is compared with: how well simple classifiers tell good held-out completions from poor ones.

    gcsl prepare experiment=small/code task.feedback.solutions=samples.jsonl.gz
    python scripts/bench_discrimination.py runs/code/feedback-samples-*/feedback.parquet --cut 1

They see the words of completions and no prompt, are fitted to the rows for training and judged on those for validation.
Naive Bayes models completions of either kind, as a language model under a goal does; logistic regression only tells
them apart. Length is that of the completion in characters, the shorter one taken for the better one.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.records import FeedbackRows, read_feedback
from gcsl_cli.metrics.discrimination import goal_discrimination

RESAMPLES = 1000
SIGNS = r"\w+|[^\w\s]"
"""A word, or one sign."""


def classifiers() -> dict[str, Any]:
    """Pipelines of scikit-learn, by what they are."""
    return {
        "naive Bayes, words": make_pipeline(CountVectorizer(token_pattern=SIGNS), MultinomialNB()),
        "naive Bayes, words and pairs": make_pipeline(
            CountVectorizer(token_pattern=SIGNS, ngram_range=(1, 2)), MultinomialNB()
        ),
        "logistic regression, 2 to 4 characters": make_pipeline(
            TfidfVectorizer(analyzer="char", ngram_range=(2, 4), sublinear_tf=True),
            LogisticRegression(max_iter=1000, class_weight="balanced"),
        ),
    }


def told(name: str, difference: Floats, rows: FeedbackRows, cut: float) -> None:
    """Print both AUC with their intervals over prompts."""
    prompts = rows.table["prompt_id"].to_pylist()
    found = goal_discrimination(difference, rows.scores, prompts, resamples=RESAMPLES, seed=0, cut=cut)
    shown = [f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in (found.pooled, found.within)]
    print(f"{name:40s} all rows {shown[0]}  within prompts {shown[1]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("feedback", type=Path)
    parser.add_argument("--cut", type=float, default=1.0, help="good rows have this score at least")
    parser.add_argument("--rows", type=int, help="of training, at random; all by default")
    given = parser.parse_args()

    rows = read_feedback(given.feedback)
    training, held_out = rows.of_split("train"), rows.of_split("validation")
    training = training.take(np.random.default_rng(0).permutation(len(training))[: given.rows])
    texts = training.table["completion"].to_pylist()
    judged = held_out.table["completion"].to_pylist()
    good = training.scores >= given.cut
    held_out_good = int((held_out.scores >= given.cut).sum())
    print(f"{len(training)} rows, {good.sum()} of them good; {len(held_out)} held out, {held_out_good} of them good")
    for name, classifier in classifiers().items():
        classifier.fit(texts, good)
        odds = classifier.predict_log_proba(judged)
        told(name, np.asarray(odds[:, 1] - odds[:, 0], dtype=np.float64), held_out, given.cut)
    told("length", -np.array([len(text) for text in judged], dtype=np.float64), held_out, given.cut)


if __name__ == "__main__":
    main()
