"""What a session published, and those who read it."""
