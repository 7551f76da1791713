"""The UI message streams of Vercel's AI SDK, which `useChat` and assistant-ui speak.

The layout::

    message     the message that a turn is to a chat, chunk by chunk
    attempts    what of a turn stands that was started more than once
    asked       what the bodies of requests ask for
    refusals    how a chat is told that something is refused
    before      the messages that a chat is opened with
    session     the session that a chat is, and the reply that a page waits for
    opening     the handler that opens a chat
    chat        the handlers that send, resume and stop
    wire        all routes
"""
