"""Streams of several sessions: what one resumes from, what it writes, and which are open."""
