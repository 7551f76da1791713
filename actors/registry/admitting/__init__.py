"""How turns are let in: whether there is room for one, and whose is the next slot."""
