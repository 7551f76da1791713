"""How much there may be: of one user's, and in all. Pure."""
