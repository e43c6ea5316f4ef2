"""From graded feedback to the goal and the batch plan, with advice, and what training needs of memory."""
