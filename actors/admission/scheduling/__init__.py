"""What the scheduler keeps of the turns that wait for a slot. Pure."""
