"""What a session published, and its readers."""
