"""Tasks: sources of graded feedback, evaluation prompts, graders and metrics."""
