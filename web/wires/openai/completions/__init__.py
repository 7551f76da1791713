"""OpenAI's Chat Completions: each is a turn whose client sends the conversation along.

The layout::

    asked       what the body of a request asks for, and which of its fields can be honoured
    messages    which message is the turn's, and what messages may hold
    session     where it runs: in the session that a header names, or in one of its own
    ends        how a turn is said that has not completed
    fold        the events of a turn -> its chunks, or the completion as a whole
    handlers    the route
"""
