"""The command line: commands, options, launching, and results on stdout."""
