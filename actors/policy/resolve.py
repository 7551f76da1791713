"""What a send or a cancel leaves open is filled in: as it says, else as the host says. Pure."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from turnkeeper.actors.model import ids
from turnkeeper.actors.model.content import plain
from turnkeeper.actors.model.exceptions import InvalidRequest, ScopeMissing
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.messages import Cancel, CancelMany, ChangeQueued, Edit, Rearrange, Send, Submit
from turnkeeper.actors.model.records import (
    HOST,
    Asker,
    SessionId,
    TurnHead,
    TurnId,
    TurnSpec,
    params_of,
    size_of_params,
)
from turnkeeper.actors.model.words import CancelCode, MoveTo, QueueMode
from turnkeeper.actors.session.fields import seconds
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.slots import COLLAPSE, waits_for_a_moment

from .base import for_later, kept, of_child, resolve
from .layers import Layers
from .params import written

#: Up to how many characters a text counts for nothing while its turn is in flight: turns are counted, too.
SMALL_TEXT = 65_536
#: How many bytes the free text of a reason may take.
MAX_TEXT = 2_000
#: Writes a message of megabytes in a few milliseconds, the members of an object always in the same order.
_ENCODER = msgspec.json.Encoder(order="deterministic")


def fingerprint(message: Any) -> bytes:
    """A digest of the message: a retry has the same one, another message under its turn id has not."""
    return hashlib.blake2b(_written(message), digest_size=16).digest()


def _digest(message: Any, agent: str, params: str | None) -> bytes:
    """The fingerprint of a send: of what another send must not say that comes under the same id."""
    return fingerprint([message, agent] if params is None else [message, agent, params_of(params)])


def _written(message: Any) -> bytes:
    with suppress(Exception):  # the other encoder knows more, and takes longer
        return _ENCODER.encode(message)
    try:
        return json.dumps(message, sort_keys=True, default=repr).encode(errors="surrogatepass")
    except Exception:  # noqa: BLE001 - the repr of a host's own object may raise anything
        raise InvalidRequest("the message cannot be fingerprinted", field="message") from None


def check_text(text: Any) -> str | None:
    """Return the free text of a reason; raise `InvalidRequest` for one that no event could carry."""
    try:
        if text is None or (isinstance(text, str) and len(text.encode()) <= MAX_TEXT):
            return text
    except UnicodeEncodeError:
        pass
    raise InvalidRequest(f"text must be a string of at most {MAX_TEXT} bytes", field="text")


def resolve_send(
    send: Send,
    session: SessionId,
    settings: Settings,
    layers: Layers,
    new_turn_id: TurnId,
    now: float,
) -> Submit:
    """Fill in what a send leaves open.

    Raises `InvalidRequest`, `MessageTooLarge`, `PolicyNotAllowed` or `UnknownAgent`.
    """
    user = send.asker.user
    base = layers.base(send.agent, user)
    if send.parent is not None:
        base = of_child(base, send.inherits)
    agent, policy, noted = base.agent, base.policy, base.kept
    if send.strategy is not None or send.timeout is not None or send.policy is not None:
        policy = resolve(base, _asked(send))
        noted = kept(policy)
    message = plain(send.message, settings.message_text, settings.message_parts)
    params = None if send.params is None else written(send.params, settings.max_params)
    turn_id, digest = new_turn_id, None
    if send.parent is not None and send.turn_id is not None:
        turn_id = ids.turn_id(send.turn_id)
        digest = None if send.key is None else _digest(message, agent, params)
    elif send.turn_id is not None:
        if send.key is not None:
            raise InvalidRequest("key must not come with an id for the turn: it is one", field="key")
        turn_id, digest = ids.turn_id(send.turn_id), _digest(message, agent, params)
    elif send.key is not None:
        turn_id, digest = ids.keyed_turn_id(user, session, send.key), _digest(message, agent, params)
    after = None if send.after is None else seconds(send.after, "after_seconds")
    not_before = now + after if after else None  # after no time it is sent now
    strategy = policy.strategy
    later = (not_before is not None or strategy is COLLAPSE) and waits_for_a_moment(policy, not_before)
    if later and send.parent is None:  # a turn that another one has sent for has the slot of that one
        noted = kept(for_later(policy))
    size, needs = _size(message), False
    if params is not None:
        size += size_of_params(params)
    if send.options is not None:
        needs = send.options.needed
        size += send.options.size
    head = TurnHead(turn_id, user, agent, now, digest, strategy, noted, send.parent, params, needs)
    spec = TurnSpec(
        head, session, message, policy.turn_timeout, policy.cancel_grace, send.options, send.ended_to, size
    )
    return Submit(spec, strategy, send.wait, send.if_match, send.asker.bounded, None, not_before)


def rearrangement(change: ChangeQueued, settings: Settings) -> Rearrange:
    """What is asked of a turn that waits. Raises `InvalidRequest` and `MessageTooLarge`."""
    turn_id, asker = ids.turn_id(change.turn_id), change.asker
    user, bounded, sees_all = asker.user, asker.bounded, asker.sees_all
    if (change.to is None) == (change.message is None):
        raise InvalidRequest("a waiting turn is either moved or given another message", field="move")
    if change.to is None:
        message = plain(change.message, settings.message_text, settings.message_parts)
        return Rearrange(turn_id, user, None, Edit(message, _size(message)), bounded, sees_all=sees_all)
    try:
        return Rearrange(turn_id, user, MoveTo(change.to), bounded=bounded, sees_all=sees_all)
    except ValueError:
        raise InvalidRequest(f"move must be one of: {', '.join(MoveTo)}", field="move") from None


def _size(message: Any) -> int:
    return 0 if type(message) is str and len(message) <= SMALL_TEXT else footprint(message)


def clears(queue: QueueMode | str | None, turn_id: TurnId | None) -> bool:
    """Whether a cancel clears away the turns that wait: one that names no turn does unless it says otherwise.

    Raises `InvalidRequest`.
    """
    return turn_id is None if queue is None else queue_mode(queue) is QueueMode.CLEAR


def forces(cancel: Cancel | CancelMany) -> bool:
    """Whether a cancel waits for no critical section. Raises `ScopeMissing`, and `InvalidRequest`."""
    force: object = cancel.force
    if force is False:
        return False
    if force is not True:
        raise InvalidRequest("force must be true or false", field="force")
    if not cancel.asker.sees_all:
        raise ScopeMissing("only an admin stops a turn in a step that must not be interrupted")
    return True


def queue_mode(queue: Any) -> QueueMode:
    """What a cancel does to the turns that wait, by its name. Raises `InvalidRequest`."""
    try:
        return QueueMode(queue)
    except ValueError:
        raise InvalidRequest(f"queue must be one of: {', '.join(QueueMode)}", field="queue") from None


def _asked(send: Send) -> dict[str, Any]:
    """What a send says about how its turn is run. A ``None`` says nothing. Raises `InvalidRequest`."""
    policy: Any = send.policy
    if policy is None:
        policy = {}
    elif not isinstance(policy, Mapping):
        raise InvalidRequest("policy must be a mapping of fields to values", field="policy")
    asked = {"strategy": send.strategy, "turn_timeout": send.timeout}
    return {**policy, **{name: value for name, value in asked.items() if value is not None}}


def cancel_code(given: CancelCode | None, asker: Asker, owner: str) -> CancelCode:
    """The code of a cancel: the one given, else by who asks. The host's own code speaks for the owner."""
    if given is not None:
        return given
    return CancelCode.USER_REQUEST if asker.user == owner or asker == HOST else CancelCode.ADMIN
