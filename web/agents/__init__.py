"""The agents that come along, and how an agent is loaded by name."""
