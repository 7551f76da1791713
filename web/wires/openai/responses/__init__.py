"""OpenAI's Responses: each is a turn, and its conversation is the session.

The layout::

    asked       what the body of a request says: its fields, and which of them can be honoured
    given       its input: a message, and a history if it brings one
    item        what a response has put out, item by item
    response    the response object
    fold        the events of a turn -> the events of its response
    writing     these on a connection, from any of them on
    known       what is known of a response that is asked for
    inputs      what a response was asked with
    handlers    the routes
"""
