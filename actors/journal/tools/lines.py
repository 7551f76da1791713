"""The text that a journal is exported as: JSON, one entry a line, below a line that says how much follows.

::

    {"format":"turnkeeper journal","version":1,"sessions":1,"entries":3}
    {"session":"s1","position":1,"entry":{"kind":"opened","owner":"ada","at":1767225600.0}}
    {"session":"s1","position":2,"entry":{"kind":"started","turn_id":"t1",...}}
    {"session":"s1","entry":{"kind":"events","epoch":1,"n":1,"events":[["delta",{"text":"hi"}]]}}

A session's entries come one below the other, in their order. Those on which nothing depends, events and
titles, have no position. `turnkeeper.actors.journal.entries` says what the entries are.
"""

from typing import Final

import msgspec

#: What stands at the beginning of each file.
FORMAT: Final = "turnkeeper journal"
VERSION: Final = 1


class Heading(msgspec.Struct):
    """What is in the file: how many sessions, with how many entries in all."""

    format: str
    version: int
    sessions: int
    entries: int


class Line(msgspec.Struct, omit_defaults=True):
    """One entry, of which session, and where in its log."""

    session: str
    position: int | None = None
    entry: msgspec.Raw = msgspec.Raw(b"")


encode: Final = msgspec.json.Encoder().encode
decode_heading: Final = msgspec.json.Decoder(Heading).decode
decode_line: Final = msgspec.json.Decoder(Line).decode
