"""Which graded rows plain supervised fine-tuning takes; pure.

Scores 0.1, 0.9, 0.5, 0.9 of the prompts a, a, b, b: the top half are rows 1 and 3, the best of each prompt as well.
"""

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def select_rows(scores: Floats, prompts: Ints, *, select: str, top_fraction: float, min_score: float | None) -> Ints:
    """Indices of the rows that are taken, ascending.

    `all` takes every row; `top_fraction` the rows whose score is among the best share (and those that tie with the last
    of them); `min_score` the rows with at least this score; `best_per_prompt` the best row of each prompt, the first of
    equal ones.

    Raises:
        ConfigError: `select` is unknown.
        DataError: no row is left.
    """
    if select == "all":
        taken = np.arange(len(scores))
    elif select == "top_fraction":
        count = max(1, round(top_fraction * len(scores)))
        taken = np.flatnonzero(scores >= np.sort(scores)[-count])
    elif select == "min_score":
        taken = np.flatnonzero(scores >= (-np.inf if min_score is None else min_score))
    elif select == "best_per_prompt":
        # By prompt, the best score first, of equal ones the first row.
        order = np.lexsort((np.arange(len(scores)), -scores, prompts))
        taken = np.sort(order[np.r_[True, np.diff(prompts[order]) != 0]])
    else:
        raise ConfigError(f"method.select={select}: unknown; one of all, top_fraction, min_score, best_per_prompt.")
    if not len(taken):
        raise DataError(f"No row has a score of {min_score:g} or more; the best is {scores.max():g}.")
    return taken.astype(np.int64)
