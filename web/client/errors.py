"""What a client raises. The text of each is one line for people.

ClientError
├── Misconfigured   the address or the token cannot be used; nothing was asked
├── Unreachable     no turnkeeper of this version answers at the address
└── Refused         the server refuses the request
"""


class ClientError(Exception):
    """Everything that a client raises."""


class Misconfigured(ClientError):
    """The address or the token cannot be used. Nothing was asked."""


class Unreachable(ClientError):
    """No turnkeeper of this version answers at the address, or no longer."""


class Refused(ClientError):
    """The server refuses the request. ``status`` and ``code`` are those of its problem body."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
