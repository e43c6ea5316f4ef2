"""A user's own file of graded completions: find its columns, parse its rows, report the bad ones."""
