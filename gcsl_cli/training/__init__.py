"""Training: the batch plan, its rows as batches, and thin adapters to TRL's trainers."""
