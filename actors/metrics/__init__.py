"""What a registry counts. Imports nothing else of turnkeeper."""
