"""Run folders: identities, locks, atomic writes, provenance and progress."""
