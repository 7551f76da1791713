"""How the audit talks to a chat server: an adapter is data, read from TOML; some come along."""
