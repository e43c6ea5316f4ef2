"""Many runs in one table, aggregated over seeds. No torch.

    runs.py     find runs and read their evaluations
    rows.py     group the arms of the same training into rows, one entry per seed
    compute.py  the numbers of each row, and its differences to the baseline
    report.py   the tables, pages and files

The comparison is the object in `comparison.json`:
    {"format_version": 1, "task": "toxicity", "baseline": "base", "columns": [COLUMN], "marks": {"a": "different budget
     than sft all"}, "left_out": ["runs/x: not evaluated yet ..."], "command": "gcsl compare ...", "commit": "1a2b3c4",
     "rows": [{"label": "threshold-language, guidance 2", "trained": true, "baseline": false, "seeds": [0, 1, 2],
               "runs": ["runs/..."], "commits": ["1a2b3c4"], "budget": "15,000 tokens", "marks": ["a"],
               "metrics": {"mean_toxicity": ESTIMATE}, "difference": {"mean_toxicity": ESTIMATE},
               "discrimination": SCALAR, "attainment": {"levels": [{"level": 0.9, "label": "0.9", "mean": 0.8,
               "per_seed": [0.8]}], "spearman_levels": 1.0, "per_seed": [1.0]}, "costs": {"training_seconds": SCALAR}}]}
with ESTIMATE and COLUMN as in `gcsl_cli.reports`. An ESTIMATE here also has `per_seed`, and in a difference
`same_sign`. SCALAR = {"value": mean, "low": least, "high": largest, "per_seed": [...]} over seeds.
"""
