"""What the host's coroutine is given, and how it is run."""
