"""Many runs, one table: which runs, which of them are comparable, aggregated over seeds. No torch."""
