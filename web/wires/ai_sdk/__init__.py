"""The UI message streams of Vercel's AI SDK, which `useChat` and assistant-ui speak.

The layout::

    message     the message that a turn is to a chat, chunk by chunk
    attempts    what of a turn stands that was started more than once
    asked       what the bodies of requests ask for
    refusals    how a chat is told that something is refused
    chat        the handlers: send, resume, stop
    wire        all routes
"""
