"""What may come about turns that wait, are undone or are held to their budgets: letters of a script."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tests.journeys.onlooker import ADA, BOB, ROOT, SESSIONS
from turnkeeper.actors.model.messages import (
    Cancel,
    CancelMany,
    ChangeQueued,
    GetQueue,
    Send,
    SetPolicy,
)
from turnkeeper.actors.model.records import Asker
from turnkeeper.actors.model.words import Layer, MoveTo, QueueMode, Strategy

sessions = st.sampled_from([SESSIONS[0], *SESSIONS])
turn_ids = st.sampled_from(["t1", "t2", "t3"])
#: The turn of that number among those that wait then, as far as the onlooker knows them.
waiting = st.integers(0, 3).map(lambda number: f"#{number}")

#: What a run of the message's does, what comes often more often. The last two ignore being cancelled.
DOINGS = ("wait", "wait", "wait", "return", "chat", "raise", "answer", "swallow", "stubborn")
#: What is done to undo it, in the order in which it is registered: `Hooks` says what each of these does.
HOOKS: Sequence[tuple[str, ...]] = (
    (),
    (),
    ("done",),
    ("done", "soon"),
    ("fail", "done"),
    ("done", "hang"),
    ("stubborn", "soon"),
)
#: What is done when it has been stopped, in the same words.
STOPS: Sequence[tuple[str, ...]] = ((), (), (), ("done",), ("soon", "done"), ("fail", "hang"), ("stubborn",))
#: What the host does to undo it.
HOSTS = ("done", "done", "done", "soon", "fail", "hang")

#: What is begun beside a coroutine, and what the host does at the end of that turn.
BEGINS = ("task", "lasting task", "stubborn task", "thread", "thread")
ENDS = ("done", "done", "soon", "fail", "hang")

messages = st.builds(
    lambda do, stops, hooks, host: [{"text": do, "do": do, "stops": stops, "hooks": hooks, "host": host}],
    st.sampled_from(DOINGS),
    st.sampled_from(STOPS).map(list),
    st.sampled_from(HOOKS).map(list),
    st.sampled_from(HOSTS),
)
messages_of_work = st.builds(
    lambda do, stops, ends: [{"text": do, "do": do, "stops": stops, "ends": ends}],
    st.sampled_from(BEGINS) | st.just("wait"),
    st.sampled_from(STOPS).map(list),
    st.sampled_from(ENDS),
)
#: What a send says of its turn.
WISHES: Sequence[dict[str, Any] | None] = (
    *[None] * 6,
    {"on_full": "drop_oldest"},
    {"on_full": "drop_oldest"},
    {"stall_timeout": 4.0},
    {"max_events": 5},
    {"max_event_bytes": 40},
    {"wind_grace": 0.5},
    {"cancel_grace": 1.0},
    {"on_disconnect": "cancel", "abandon_after": 6.0},
)
#: What a send says of its turn that may be joined by others.
WINDOWS: Sequence[dict[str, Any] | None] = (None, {"collapse_window": 2.0}, {"collapse_window": 2.0})
#: What a layer says of turns.
SAID: Sequence[dict[str, Any]] = (
    {},
    {},
    {"strategy": "enqueue"},
    {"strategy": "rollback"},
    {"strategy": "collapse", "collapse_window": 2.0},
    {"queue_limit": 1, "on_full": "drop_oldest"},
    {"queue_limit": 0},
    {"collapse_parts": 2},
    {"max_events": 5},
    {"stall_timeout": 4.0},
    {"cancel_grace": 1.0, "wind_grace": 0.5},
    {"max_in_flight": 1},
    {"who_may_stop": "sender"},
    {"who_may_stop": "sender"},
)
ANY = st.sampled_from([*Strategy, None])
moments = st.sampled_from([0.0, 1.0, 3.0, 90.0])
agents = st.sampled_from([None, None, None, "generator"])


def sends_by(
    strategies: st.SearchStrategy[Strategy | None],
    *,
    wishes: Sequence[dict[str, Any] | None] = WISHES,
    messages: st.SearchStrategy[Any] = messages,
    by: Asker = ADA,
    **more: st.SearchStrategy[Any],
) -> st.SearchStrategy[Any]:
    """Sends of these strategies, with what else they say."""
    given = {"agent": agents, "strategy": strategies, "wait": st.booleans(), **more}
    return st.builds(Send, sessions, messages, asker=st.just(by), policy=st.sampled_from(wishes), **given)


#: Those with a name say one of a few things, so that they come again.
repeated = st.sampled_from(["wait", "wait", "wait", "swallow"]).map(lambda do: [{"text": do, "do": do}])
sends: list[st.SearchStrategy[Any]] = [
    *[sends_by(st.just(Strategy.ENQUEUE))] * 4,
    *[sends_by(st.just(Strategy.COLLAPSE), wishes=WINDOWS, agent=st.none())] * 4,
    *[sends_by(st.just(Strategy.ROLLBACK))] * 2,
    *[sends_by(ANY, after=moments)] * 2,
    sends_by(ANY, messages=repeated, wishes=[None], turn_id=turn_ids),
    sends_by(ANY, messages=repeated, wishes=[None], key=st.sampled_from(["k1", "k1", "k2"])),
    # Of an admin, who sends into another user's session.
    *[sends_by(st.just(Strategy.ENQUEUE), by=ROOT)] * 2,
    *[sends_by(st.just(Strategy.COLLAPSE), wishes=WINDOWS, agent=st.none(), by=ROOT)] * 2,
    sends_by(ANY, after=moments, by=ROOT),
]
#: Of turns that begin something beside their coroutine, whose end is the host's concern, or comes just then.
OF_WORK: list[st.SearchStrategy[Any]] = [
    *[sends_by(st.sampled_from([None, None, *Strategy]), wishes=[None], messages=messages_of_work)] * 3,
    *[sends_by(st.none(), wishes=[None], messages=st.just([{"text": "x", "do": "the last moment"}]))] * 3,
]
cancels = st.builds(
    lambda session, turn, wait, queue: Cancel(session, turn, ADA, wait, queue=queue),
    sessions,
    st.none() | waiting | turn_ids,
    st.booleans(),
    st.sampled_from([None, *QueueMode]),
)
changers = st.sampled_from([ADA, ADA, ADA, ROOT, BOB])
changes = st.one_of(
    st.builds(ChangeQueued, sessions, waiting | turn_ids, changers, st.sampled_from([*MoveTo, MoveTo.FIRST])),
    st.builds(ChangeQueued, sessions, waiting, changers, st.none(), messages),
)


def bulk_cancels(asker: Asker) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda which, dry_run, wait, within, queue: CancelMany(
            asker, all=True, dry_run=dry_run, wait=wait, within=within, queue=queue, **which
        ),
        st.sampled_from(
            [
                {},
                {"sessions": ("s1",)},
                {"state": "queued"},
                {"state": "running"},
                {"strategy": "enqueue"},
                {"agent": "default"},
                {"older_than": 1.0},
                {"limit": 1},
                {"turns": (("s1", "t1"), ("s2", "t2"))},
            ]
        ),
        st.sampled_from([False, False, True]),
        st.booleans(),
        st.sampled_from([None, None, 0.0, 1.0]),
        st.sampled_from([None, *QueueMode]),
    )


policies = st.builds(
    lambda layer, fields: SetPolicy(*layer, fields, ROOT),
    st.sampled_from([(Layer.DEFAULT, None), (Layer.AGENT, "default"), (Layer.USER, "ada")]),
    st.sampled_from(SAID),
)
#: What comes often stands here often.
OF_LINES: list[st.SearchStrategy[Any]] = [
    *sends,
    *[changes] * 4,
    *[cancels] * 2,
    st.builds(GetQueue, sessions, st.sampled_from([ADA, ADA, BOB])),
    bulk_cancels(ADA) | bulk_cancels(ROOT) | bulk_cancels(BOB),
    policies,
]
