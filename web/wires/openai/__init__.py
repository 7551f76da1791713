"""OpenAI's API: Responses and Chat Completions.

The layout::

    refusals    how this API says that something is refused
    failures    why a turn has no reply, in a sentence
    models      GET /v1/models: the agents
    ids         of responses and conversations
    histories   whether an agent takes what a request brings that was said before
    items       messages as the items of this API
    pages       lists of items, page by page
    conversations  the sessions
    responses   the turns
    completions  the turns of clients that send the conversation along
    wire        all routes
"""
