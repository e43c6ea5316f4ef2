"""Data in and out: files supplied by users, the records passed between stages, splits, and downloaded artifacts."""
