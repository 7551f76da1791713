"""The calls of tools that a turn makes: which are open, and what a conversation has of them."""
