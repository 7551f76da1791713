"""From what the model and the users wrote down: figures and faults. Pure."""
