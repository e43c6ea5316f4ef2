"""A user's own prompts: read them, sample the policy on them, grade what it says."""
