"""``turnkeeper cancel``: one turn, or many."""
