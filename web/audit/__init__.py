"""`turnkeeper audit`: plays the model and a crowd for any chat server, and counts its faults."""
