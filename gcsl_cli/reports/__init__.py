"""Reports of one evaluation, and of a comparison of runs (`comparison/`).

    estimates.py   measures and how their estimates are written; when a difference is called better or worse
    tables.py      a table, for the terminal, Markdown and HTML
    plots.py       the figures
    sections.py    a report as sections, written as Markdown or as an HTML page (`templates/`)
    evaluation.py  what an evaluation's report contains
    saved.py       the files of an evaluation that comparisons read

An evaluation's result is the object in `metrics.json`; numbers that are undefined are null there (None here):
    {"format_version": 2, "task": "toxicity", "run": "runs/...", "command": "gcsl evaluate ...", "commit": "1a2b3c4",
     "seconds": 12.3, "facts": {"model": "smollm2-135m", "prompts": 64, "seed": 0},
     "columns": [{"name": "expected_maximum_toxicity", "label": "expected max toxicity", "better": "lower", "digits": 3,
                  "independent": false}],
     "arms": [{"name": "base", "label": "base, no goal", "asked": null, "guidance": 0.0,
               "metrics": {"expected_maximum_toxicity": ESTIMATE}, "difference": null}],
     "graded": true,
     "attainment": {"levels": [{"level": 0.0, "label": "0", "asked": "...", "share": ESTIMATE, "mean": ESTIMATE}],
                    "spearman_levels": 1.0, "spearman_completions": 0.4},
     "discrimination": {"trained": {"pooled": ESTIMATE, "within": ESTIMATE}, "base": {...}},
     "likelihoods": {"good": 61, "poor": 59,
                     "levels": [{"label": "0", "asked": "...", "good": ESTIMATE, "poor": ESTIMATE}]},
     "distributions": {"base": [0.98, 0.4]}, "unmask": false,
     "examples": [{"arm": "base", "prompt": "...", "completion": "...", "score": 0.98}]}
with ESTIMATE = {"value": 0.31, "low": 0.27, "high": 0.35, "n": 64, "left_out": 0}. An arm's `difference` is paired with
the one arm that has none. If nothing was sampled, there are no arms and no columns. `graded` is false if no scorer
grades completions. `attainment`, `discrimination`, `likelihoods`, `distributions` and `examples` may be null or
missing, and so may a level's share and an example's score. A column may leave out `better`, `digits`, `independent`
(true: not judged by the scorer that graded the training data) and `detail` (true: left out of tables that compare
methods). A likelihood is a mean over tokens, in nats. Arms also have `trained`, the `goal` as a grade and whether it is
the `best`; `compared_by` holds what two results must share to be comparable.
"""
