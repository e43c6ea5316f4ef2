"""Scorers: callables that grade completions, one per module."""
