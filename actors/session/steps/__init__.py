"""What each message does to a session, by what the session is doing: a file for each kind of message."""
