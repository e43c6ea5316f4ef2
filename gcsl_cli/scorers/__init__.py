"""Scorers: from a completion to a grade. One small callable each, pure once it is loaded."""
