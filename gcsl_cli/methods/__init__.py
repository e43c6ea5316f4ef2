"""Learning methods: each is one dataclass in one module, chosen by `method=NAME`."""
