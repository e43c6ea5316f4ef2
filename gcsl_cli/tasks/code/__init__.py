"""Code generation: programming problems, candidate programs and their grading."""
