"""Recommendation from users' ratings of items: read them, order them by time, render histories, rank candidates."""
