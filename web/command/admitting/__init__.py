"""``turnkeeper admission``: how turns are let in, shown and changed."""
