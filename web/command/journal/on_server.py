"""What a running server is asked to forget."""

import os

from turnkeeper.actors.model.words import SessionState
from turnkeeper.web.client.client import Client
from turnkeeper.web.client.connection import TOKEN_VARIABLE
from turnkeeper.web.client.errors import Refused
from turnkeeper.web.command.screen import Screen

#: The status of what another has forgotten meanwhile.
_GONE = 404


async def forget_user(url: str, user: str, screen: Screen) -> int:
    """Have a server forget all sessions of a user; return how many. Raises `ClientError`.

    Turns in flight are cancelled first. Sessions that the user opens meanwhile are forgotten too.
    """
    forgotten: set[str] = set()
    async with Client(url, os.environ.get(TOKEN_VARIABLE)) as client:
        await client.hello()
        with screen.progress("forgetting") as progress:
            while found := await _sessions(client, user) - forgotten:
                for done, session in enumerate(sorted(found)):
                    progress(done, len(found))
                    try:
                        await client.free(session)
                    except Refused as refused:
                        if refused.status != _GONE:
                            raise
                    forgotten.add(session)
    return len(forgotten)


async def _sessions(client: Client, user: str) -> set[str]:
    states = (None, SessionState.CLOSED.value)  # those that are closed are listed by themselves
    return {each["log_id"] for state in states for each in await client.sessions(user=user, state=state)}
