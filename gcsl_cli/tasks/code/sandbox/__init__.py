"""Sandboxed execution and grading of untrusted programs."""
