"""What one can ask about how turns are run and let in, from code on the event loop."""

from typing import Unpack

from turnkeeper.actors.admission.answers import AdmissionFields
from turnkeeper.actors.events.streams import SessionStreams, asker_of
from turnkeeper.actors.model.messages import (
    Admission,
    GetAdmission,
    GetPolicy,
    ListWaiting,
    PolicyView,
    SetAdmission,
    SetPolicy,
    WaitingTurn,
)
from turnkeeper.actors.model.words import Layer
from turnkeeper.actors.policy.said import PolicyFields
from turnkeeper.actors.runtime import ask


class SlotCalls(SessionStreams):
    """The calls about policies and slots."""

    async def policy(
        self, session_id: str, *, user: str | None = None, agent: str | None = None
    ) -> PolicyView:
        """How the turns of the session's owner are run by an agent, and which layer says so of each field.

        Raises `UnknownSession` and `UnknownAgent`.
        """
        return await ask(self.ref, GetPolicy(session_id, agent, asker_of(user)))

    async def set_policy(self, layer: Layer, name: str | None, fields: PolicyFields) -> None:
        """Say how turns are run, for the sends from now on: by default, of one agent or of one user.

        ``fields`` are all that this layer says, and not only what changes; by default, what the settings say
        stays below. Raises `InvalidRequest`, `UnknownAgent` and `TooManyPolicies`; then nothing has changed.
        """
        await ask(self.ref, SetPolicy(layer, name, fields))

    async def waiting(self, *, user: str | None = None) -> tuple[WaitingTurn, ...]:
        """All turns that wait for a slot, of one user or of all: first those that asked first."""
        return await ask(self.ref, ListWaiting(asker_of(user)))

    async def admission(self) -> Admission:
        """How turns are let in: the caps and lanes as they are now, how many turns run and how many wait."""
        return await ask(self.ref, GetAdmission())

    async def set_admission(self, **fields: Unpack[AdmissionFields]) -> Admission:
        """Let turns in otherwise from now on, until the process ends; return what holds then.

        ``set_admission(max_in_flight_in_all=20, users={"ada": {"max_in_flight": 2}})`` changes these and
        nothing else. Fewer slots stop no turn, more are given out at once. Raises `InvalidRequest`,
        `UnknownAgent` and `TooManyPolicies`; then nothing has changed.
        """
        return await ask(self.ref, SetAdmission(fields))
