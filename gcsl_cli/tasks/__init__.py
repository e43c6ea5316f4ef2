"""Tasks: where graded feedback comes from, which prompts are evaluated, and how a completion is graded."""
