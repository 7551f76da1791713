"""The chat page and its files."""
