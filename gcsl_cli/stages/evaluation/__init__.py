"""Arms of an evaluation, their completions, scores and metrics, and what needs no sampling."""
