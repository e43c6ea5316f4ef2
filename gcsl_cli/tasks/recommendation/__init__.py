"""Ratings of items by users: read column by column, put in order of time, rendered as histories."""
