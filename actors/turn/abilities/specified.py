"""What a turn knows from the send that it is for."""

from collections.abc import Mapping
from typing import Any

from turnkeeper.actors.model.records import SessionId, TurnId, TurnSpec
from turnkeeper.actors.model.value import replace


class Specified:
    """What a turn knows from the send that it is for."""

    __slots__ = ("spec",)
    spec: TurnSpec

    @property
    def message(self) -> Any:
        """What was sent, the parts of a list as dicts, or what the `pre_process_msg` stages made of it."""
        return self.spec.message

    @property
    def text(self) -> str:
        """The message as text: its text parts joined."""
        return text_of(self.spec.message)

    @property
    def params(self) -> Mapping[str, Any]:
        """What the send has said to the agent beside the message: a read-only dict, empty for nothing."""
        return self.spec.params

    @property
    def session_id(self) -> SessionId:
        """The session this turn holds."""
        return self.spec.session_id

    @property
    def turn_id(self) -> TurnId:
        """The turn's own id (``task_id`` over HTTP)."""
        return self.spec.turn_id

    @property
    def user(self) -> str:
        """Who sent the message."""
        return self.spec.user

    @property
    def agent(self) -> str:
        """The name of the agent that runs."""
        return self.spec.agent

    @property
    def max_iterations(self) -> int | None:
        """What the caller of `send_message_to_agent` allowed; ``None`` if it said nothing."""
        return None if self.spec.options is None else self.spec.options.max_iterations

    @property
    def brought_context(self) -> Any:
        """The context that the caller brought, to be used as it is; ``None`` if it brought none."""
        return None if self.spec.options is None else self.spec.options.context

    def replace_message(self, message: Any) -> None:
        """Give the agent another message than the one that was sent."""
        self.spec = replace(self.spec, message=message)


def text_of(message: Any) -> str:
    """A message's text: the message itself, or its parts of type ``text`` joined."""
    if isinstance(message, str):
        return message
    if isinstance(message, list):
        texts = (part.get("text") for part in message if isinstance(part, dict))
        return "".join(text for text in texts if isinstance(text, str))
    return ""
