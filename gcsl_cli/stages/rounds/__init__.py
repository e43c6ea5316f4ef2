"""Rounds of feedback: a chain of experiments, what each samples, its curve, and when it ends."""
