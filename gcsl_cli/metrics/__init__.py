"""Metrics: pure functions from scores to numbers, with bootstrap intervals over prompts. No torch."""
