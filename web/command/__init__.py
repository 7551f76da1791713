"""The `turnkeeper` command."""
