"""What `machine.step` may do, laid down as data: the rows, and the conditions that they are written in."""
