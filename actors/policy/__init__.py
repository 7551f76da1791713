"""How turns are run: what the settings, an agent, a user and a send say, resolved field by field."""
