"""Scores to numbers: pure functions of arrays, with bootstrap intervals over prompts. No torch."""
