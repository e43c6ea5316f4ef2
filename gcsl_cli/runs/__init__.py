"""Run identities, folders, locks, whole files, provenance and progress."""
