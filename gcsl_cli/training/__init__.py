"""Training: the batch plan, the collator, and thin adapters to TRL's trainers."""
