"""Programs that a model wrote, run where they can do no harm, and graded where they cannot grade themselves."""
