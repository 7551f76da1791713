"""The settings, their ranges, and how the environment sets them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar, get_args, get_type_hints

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.words import Durability

from .fields import FIELDS, known_fields, seconds, whole
from .states import Limits

ENVIRONMENT_PREFIX = "TURNKEEPER_"
#: A century.
MAX_AGE = 100 * 365.25 * 24 * 3600.0
#: How many cancels that came before their sends one session remembers.
EARLY_CANCELS = 8
E = TypeVar("E", bound="Settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """How turns are run about which no agent, user or send says anything else."""

    cancel_grace: float = 5.0
    """How long a cancelled turn may take to end: cancelled again at half of it, given up at its end."""
    turn_timeout: float | None = None
    """How long a turn may take before it is cancelled. ``None``: as long as it likes."""
    multitask_strategy: str = "interrupt"
    """What a send does when a turn is in flight: a word of `Strategy`."""
    stall_timeout: float | None = None
    """How long a turn may emit nothing before it is cancelled. ``None``: as long as it likes."""
    wind_grace: float = 5.0
    """How long the hooks that a turn's end runs may take, all together. Then they are cancelled."""
    max_hold: float = 30.0
    """How long a critical section of a turn may put off its cancel."""
    queue_limit: int = 32
    """How many turns may wait for a session behind the one in flight."""
    on_full: str = "reject"
    """What becomes of a send when as many wait: a word of `OnFull`."""
    collapse_parts: int = 20
    """How many messages may be joined into one by the strategy ``collapse``."""
    collapse_window: float = 0.0
    """How long a message waits for others that are to be joined with it."""
    on_cap: str = "refuse"
    """What becomes of a send when as many turns are in flight as there may be: a word of `OnCap`."""
    max_in_flight: int = 32
    """How many turns a user may have in flight."""
    max_of_agent: int | None = None
    """How many turns of one agent may be in flight, of all users together. ``None``: any number."""
    priority: str = "normal"
    """How urgent a turn is beside those of others: a word of `Priority`."""
    max_events: int | None = None
    """How many events a turn may emit before it is cancelled. ``None``: as many as it likes."""
    max_event_bytes: int | None = None
    """How many bytes of events a turn may emit before it is cancelled. ``None``: as many as it likes."""
    max_tokens: int | None = None
    """How many tokens a turn may report before it is cancelled. ``None``: as many as it likes."""
    on_disconnect: str = "continue"
    """What becomes of a turn that has no reader any more: a word of `OnDisconnect`."""
    abandon_after: float = 30.0
    """For how long a turn may have no reader before it is cancelled, where ``on_disconnect`` says that."""
    on_restart: str = "interrupt"
    """What becomes of a turn whose process has ended while it ran, with a journal: a word of `OnRestart`."""
    who_may_stop: str = "owner"
    """Who may stop a turn, beside admins: a word of `WhoMayStop`."""
    policy_allow: str | None = None
    """Which further fields of its policy a send may set, separated by commas. ``None``: as agents say."""
    policy_deny: str = ""
    """Which fields of its policy no send may set, separated by commas."""

    def __post_init__(self) -> None:
        """Refuse what no layer may say."""
        for field in FIELDS.values():
            field.check(getattr(self, field.setting), field.setting)
        if self.policy_allow is not None:
            field_names(self.policy_allow, "policy_allow")
        field_names(self.policy_deny, "policy_deny")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkSettings(PolicySettings):
    """How much turns may begin beside their coroutines."""

    max_tasks: int = 1_000
    """How many tasks of its own a turn may have running."""
    max_threads: int = 32
    """How many threads the turns of a user may have. Where they have as many, calls wait for one."""
    max_threads_in_all: int = 256
    """How many threads all turns together may have."""
    max_processes: int = 32
    """How many processes the turns of a user may have running, each with what it has started."""
    max_processes_in_all: int = 256
    """How many processes all turns together may have running."""

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        PolicySettings.__post_init__(self)
        for name in (
            "max_tasks",
            "max_threads",
            "max_threads_in_all",
            "max_processes",
            "max_processes_in_all",
        ):
            whole(getattr(self, name), name, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(WorkSettings):
    """What can be set about sessions and turns. Spans are in seconds, sizes in bytes or pieces.

    Raises `InvalidRequest` for a value out of its range.
    """

    max_user_policies: int = 10_000
    """How many users may have a policy of their own."""
    unresponsive_per_session: int = 8
    """How many turns that ignored being cancelled a session may have running before it takes no sends."""
    max_unresponsive: int = 32
    """How many such turns a user may have running, in all their sessions, before these take no sends."""
    max_unresponsive_in_all: int = 1_000
    """How many such turns all users together may have running."""
    idle_ttl: float = 300.0
    """After how long an idle session without subscribers is put to sleep. Its last event stays."""
    kept_turns: int = 20
    """How many finished turns a session remembers."""
    turn_retention: float = 3600.0
    """For how long it remembers them, and for how long a sleeping session is known."""
    kept_result: int = 65_536
    """About how many bytes of memory a turn's result may take that is kept with its record."""
    max_attempts: int = 3
    """How often a turn may be started whose agent says that it is to be run again after a restart."""
    attempt_backoff: float = 1.0
    """How long after a restart it is started for the second time; each further time after twice as long."""
    early_cancel_ttl: float = 30.0
    """For how long a cancel that came before its send is remembered."""
    early_cancels_per_user: int = 100
    """How many of those a user may have for sessions that are not open."""
    message_text: int = 1_048_576
    """How many bytes of text a message may have, in all its parts together."""
    message_parts: int = 1_000
    """How many parts a message may have."""
    max_params: int = 65_536
    """How many bytes of JSON the ``params`` of a send may take."""
    title_length: int = 200
    """How many characters a session's title may have."""
    shown_part: int = 65_536
    """How many bytes a part of a message may take that readers are shown whole, and not only its size."""
    log_events: int = 5_000
    """How many events a session keeps for replay."""
    log_bytes: int = 1_048_576
    """How many bytes of events a session keeps for replay; also the largest event."""
    max_open_calls: int = 100
    """How many calls of tools a turn may have open at a time."""
    subscriber_buffer: int = 256
    """How many events a reader may lag behind before its stream is ended."""
    contexts: int = 10_000
    """How many sessions' contexts are kept by the built-in store. Beyond that the least recently used one is
    forgotten; a user who has more than ``max_sessions`` of them pushes out only their own."""
    conversation_messages: int = 1_000
    """How many messages of a conversation are kept. Beyond that the oldest are dropped."""
    conversation_bytes: int = 4_194_304
    """About how many bytes of memory a conversation's messages may take before the oldest are dropped."""
    record: bool = True
    """Whether what is said is kept of a turn that does not write ``context.messages`` itself."""
    recorded_reply: int = 1_048_576
    """How many bytes of text of a reply are kept then. Beyond that it is marked as cut off."""
    slow_loop: float = 0.5
    """How late the event loop may be before that is logged, with the turn that runs. 0: it is not watched."""
    max_sessions: int = 1_000
    """How many sessions a user may have: those that are known, asleep or not."""
    max_sessions_in_all: int = 200_000
    """How many sessions all users together may have."""
    max_in_flight_in_all: int = 10_000
    """How many turns all users together may have in flight."""
    max_waiting: int = 32
    """How many turns of a user may wait for a slot, or for a moment, when another send comes."""
    max_waiting_in_all: int = 10_000
    """How many turns of all users together may wait for a slot, or for a moment, when another send comes."""
    lane_aging: float = 30.0
    """After how long a turn that waits for a slot is as urgent as those of the next higher lane."""
    max_depth: int = 8
    """How many levels a tree of turns may have: those of a turn that sends to other sessions, and so on."""
    max_children: int = 100
    """To how many turns of other sessions one turn may send, one after the other or at once."""
    child_wait: float = 30.0
    """How long such a turn may wait for its session before it is cancelled, where its send lets it wait."""
    max_streams: int = 64
    """How many streams a user may have open."""
    max_streams_in_all: int = 20_000
    """How many streams all users together may have open."""
    max_kept: int = 67_108_864
    """About how many bytes of events and messages may be kept of a user's sessions before more is refused.

    The messages of turns in flight count too, but for texts up to 64 KiB, and so do ``params`` and what
    clients of other protocols bring of their conversations.
    """
    max_kept_in_all: int = 2_147_483_648
    """About how many bytes of events and messages may be kept of all sessions before more is refused."""
    flush_interval: float = 0.25
    """For how long emitted events may wait before they are written into the journal."""
    journal_buffer: int = 16_777_216
    """How many bytes of events may wait to be written before the turns that emit more are cancelled."""
    durability: str = "mixed"
    """What a journal's file survives when the machine loses its power: a word of `Durability`."""
    history_age: float | None = None
    """For how long the journal keeps a session in which nothing happens. ``None``: for any time."""
    history_sessions: int = 10_000
    """How many sessions of a user the journal keeps. Beyond that those idle longest are forgotten."""
    history_bytes: int = 1_073_741_824
    """How many bytes of a user's sessions the journal keeps before those idle longest are forgotten."""
    history_bytes_in_all: int = 53_687_091_200
    """How many bytes of all sessions the journal keeps before those idle longest are forgotten."""
    shutdown_deadline: float = 10.0
    """How long stopping may take."""

    def __post_init__(self) -> None:
        """Refuse what is out of range: hosts and environments hand in anything."""
        WorkSettings.__post_init__(self)
        for name in (
            "idle_ttl",
            "turn_retention",
            "attempt_backoff",
            "early_cancel_ttl",
            "shutdown_deadline",
            "slow_loop",
            "flush_interval",
            "child_wait",
        ):
            seconds(getattr(self, name), name)
        if self.history_age is not None:
            seconds(self.history_age, "history_age", above=0.0, most=MAX_AGE)
        seconds(self.lane_aging, "lane_aging", above=0.0)
        durability_named(self.durability)
        flag(self.record, "record")
        for name in (
            "kept_turns",
            "kept_result",
            "max_attempts",
            "unresponsive_per_session",
            "max_unresponsive",
            "max_unresponsive_in_all",
            "early_cancels_per_user",
            "message_text",
            "message_parts",
            "max_params",
            "title_length",
            "shown_part",
            "log_events",
            "log_bytes",
            "max_open_calls",
            "subscriber_buffer",
            "contexts",
            "conversation_messages",
            "conversation_bytes",
            "recorded_reply",
            "journal_buffer",
            "max_sessions",
            "max_sessions_in_all",
            "max_user_policies",
            "max_in_flight_in_all",
            "max_waiting",
            "max_waiting_in_all",
            "max_depth",
            "max_children",
            "max_streams",
            "max_streams_in_all",
            "max_kept",
            "max_kept_in_all",
            "history_sessions",
            "history_bytes",
            "history_bytes_in_all",
        ):
            whole(getattr(self, name), name, 1)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **given: Any) -> Self:
        """The settings that ``TURNKEEPER_<NAME>`` variables and, above them, ``given`` say.

        Raises `InvalidRequest` for a variable that cannot be read; its ``field`` names it.
        """
        known = {field.name for field in fields(cls)}
        hints = get_type_hints(cls)
        chosen: dict[str, Any] = {}
        for variable, text in environ.items():
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            if variable.startswith(ENVIRONMENT_PREFIX) and name in known:
                chosen[name] = _parsed(text, hints[name], variable)
        chosen.update((name, setting) for name, setting in given.items() if setting is not None)
        return cls(**chosen)

    @property
    def limits(self) -> Limits:
        """What a session needs to know of this."""
        return Limits(
            kept_turns=self.kept_turns,
            turn_retention=self.turn_retention,
            early_cancels=EARLY_CANCELS,
            early_cancel_ttl=self.early_cancel_ttl,
            quarantined=self.unresponsive_per_session,
            result=self.kept_result,
            message_text=self.message_text,
            message_parts=self.message_parts,
            attempts=self.max_attempts,
            backoff=self.attempt_backoff,
        )


def check_settings(settings: object, kind: type[Settings]) -> None:
    """Raise `InvalidRequest` unless they are of that kind, or not given."""
    if settings is None or isinstance(settings, kind):
        return
    how = f"{kind.__name__}({'**settings' if isinstance(settings, Mapping) else '...'})"
    raise InvalidRequest(f"settings are a {type(settings).__name__}: pass {how}", field="settings")


def _parsed(text: str, hint: Any, variable: str) -> Any:
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind is not type(None)]
    optional = type(None) in get_args(hint)
    if optional and text.strip().lower() in ("", "none"):
        return None
    if bool in kinds:
        if text.strip().lower() in ("1", "true", "yes", "on"):
            return True
        if text.strip().lower() in ("0", "false", "no", "off", ""):
            return False
        raise InvalidRequest(f"{variable}: {text!r} is neither true nor false", field=variable)
    try:
        return kinds[0](text)
    except (TypeError, ValueError):
        wanted = "a whole number" if kinds[0] is int else "a number"
        raise InvalidRequest(f"{variable}: {text!r} is not {wanted}", field=variable) from None


def flag(value: Any, name: str) -> bool:
    """Check what is true or false. Raises `InvalidRequest`."""
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} must be true or false", field=name)
    return value


def field_names(text: Any, name: str) -> frozenset[str]:
    """The fields of a policy in a text, separated by commas. Raises `InvalidRequest`."""
    if not isinstance(text, str):
        raise InvalidRequest(f"{name} must be fields of a policy, separated by commas", field=name)
    return known_fields([each.strip() for each in text.split(",") if each.strip()], name)


def durability_named(name: Any) -> Durability:
    """Return the durability of that name; raise `InvalidRequest` for a name that none has."""
    try:
        return Durability(name)
    except ValueError:
        text = f"durability must be one of: {', '.join(Durability)}"
        raise InvalidRequest(text, field="durability") from None
