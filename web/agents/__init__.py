"""The built-in agents, the agent for OpenAI-compatible models, and loading an agent by name."""
