"""A user's own file of graded completions, read row by row: formats, columns, values, and what is wrong with them."""
