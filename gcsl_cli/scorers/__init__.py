"""Scorers grade completions: one module, one YAML in `conf/scorer/` and one test each; `base.py` is their interface."""
