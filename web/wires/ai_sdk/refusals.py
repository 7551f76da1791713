"""How a chat is told that something is refused. Pure but for the answer that it makes.

The client takes the text of such an answer for the message of its error, which an app shows to people. So it
is in plain words, and the stable code of the refusal stands in a header.
"""

from typing import Final

from aiohttp import web

from turnkeeper.web.http.mount import UNSEEN
from turnkeeper.web.http.problems import Code, Problem

#: The header with the code.
CODE: Final = "Turnkeeper-Code"
#: What is wrong with a body is 422 here.
_STATUSES: Final = {Code.UNSUPPORTED_PARAMETER: 422}
#: What means something else in a chat than where the request says it in our own words.
_SENTENCES: Final = {
    Code.IDEMPOTENCY_KEY_REUSED: (
        "a message of this id was sent before, and said something else: it cannot be changed; send a new one"
    ),
}


def refuse(problem: Problem) -> web.Response:
    """The answer."""
    code = problem.code
    return web.Response(
        status=_STATUSES.get(code, problem.status),
        text=_SENTENCES.get(code, problem.detail),
        headers={**UNSEEN, **problem.headers, CODE: code},
    )
