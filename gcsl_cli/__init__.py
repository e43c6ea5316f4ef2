"""gcsl: fine-tune language models on graded feedback by goal-conditioned supervised learning."""

__version__ = "0.1.0"

COMMAND = "GCSL_COMMAND"
"""Environment variable with the command line, for manifests and reports."""
