"""What becomes of one turn at its end: what is run then, and what it leaves in the conversation."""
