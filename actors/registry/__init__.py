"""The living: the actors, what they share, and the friendly front to them."""
