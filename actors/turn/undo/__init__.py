"""What undoes a turn: the hooks that were registered for that, and how they are run."""
