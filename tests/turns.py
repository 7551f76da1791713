"""Turns and sessions for tests, with what a test does not care about filled in."""

from turnkeeper.actors.session.settings import Settings

#: What a session with the default settings remembers.
LIMITS = Settings().limits
