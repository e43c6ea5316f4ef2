"""Programming problems, what a model writes for them, and how well it does."""
