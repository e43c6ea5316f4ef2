"""Rows, splits, files of people's data, and artifacts that are fetched."""
