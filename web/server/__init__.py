"""The server that `turnkeeper serve` runs: it listens, keeps its connections, and ends when it should."""
