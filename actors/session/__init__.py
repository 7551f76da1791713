"""The life of one session, pure: `machine.step` decides, everything else here serves it."""
