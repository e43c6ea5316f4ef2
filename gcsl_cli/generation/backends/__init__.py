"""Backends: what samples completions, behind one protocol."""
