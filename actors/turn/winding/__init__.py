"""What the end of a turn runs: the hooks that were registered for that, and how they are run."""
