"""Generation: sampling with goals and guidance, and the likelihood of given completions."""
