"""`turnkeeper audit`: plays the model and a crowd of users for a chat server, and counts its faults."""
