"""The judge: an honest log is clean, a planted fault is found, and a server's word never helps it."""

import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnkeeper.web.audit.judging.faults import Fault, Finding
from turnkeeper.web.audit.judging.judge import Judgement, judge, percentile
from turnkeeper.web.audit.log import (
    AuditLog,
    Inside,
    ModelRequest,
    ReadEntry,
    Reply,
    RequestEnd,
    SendEntry,
    StopEntry,
    StreamEnd,
)
from turnkeeper.web.audit.plan import Fate

TOKEN, SLACK, LOST_AFTER = 0.1, 0.05, 1.0


def judged(log: AuditLog) -> Judgement:
    return judge(log, SLACK, LOST_AFTER)


def faults(log: AuditLog) -> set[Fault]:
    return {each.fault for each in judged(log).findings}


@st.composite
def honest_logs(draw: st.DrawFn) -> AuditLog:
    """Sessions with a server that does everything right; in each a turn is read, and one is stopped."""
    log = AuditLog(unmarked=draw(st.integers(0, 2)))
    for number in range(draw(st.integers(1, 3))):
        session, now, seen = f"s{number}", draw(st.floats(0, 5)), list[tuple[str, int]]()
        first, replies = dict[str, float](), list[Reply]()
        more = draw(st.lists(st.sampled_from([Fate.FINISH, Fate.STOP, Fate.GIVE_WAY]), max_size=3))
        for n, fate in enumerate([Fate.FINISH, Fate.STOP, *more, Fate.FINISH]):
            made = draw(st.integers(2, 8))
            request = ModelRequest(f"{session}-{n}", session, n, now + 0.02)
            log.sends.append(SendEntry(session, n, now, now + 0.01, 202, fate))
            request.tokens = [request.began + TOKEN * (k + 1) for k in range(made)]
            request.ended = request.tokens[-1] + 0.01
            request.end = RequestEnd.FINISHED if fate is Fate.FINISH else RequestEnd.CLIENT_LEFT
            log.requests.append(request)
            read = made if fate is Fate.FINISH else draw(st.integers(0, made))
            seen += [(request.id, k) for k in range(read)]
            first[request.id] = request.tokens[0] + 0.01
            replies.append(Reply(n=n, end=StreamEnd.MARKED))
            if fate is Fate.STOP:
                asked = request.tokens[-1] + 0.005
                stop = StopEntry(
                    session, n, asked, request.ended + 0.01, 200, said_stopped=draw(st.booleans())
                )
                log.stops += [stop] * draw(st.integers(1, 2))
            now = request.ended + draw(st.floats(0.02, 1))
        log.reads.append(ReadEntry(session, tuple(seen), (), first, tuple(replies), now + 2 * LOST_AFTER))
    return log


@given(honest_logs())
def test_an_honest_server_is_clean(log: AuditLog) -> None:
    report = judged(log)
    assert report.findings == ()
    assert report.clean
    assert len(report.silence) == report.stops
    assert all(0 < span < TOKEN for span in report.silence)


@given(honest_logs(), st.randoms(use_true_random=False))
def test_the_order_in_which_things_were_written_down_does_not_matter(
    log: AuditLog, rng: random.Random
) -> None:
    # But for a fault, so that there is something to report.
    log.requests[0].tokens.append(log.requests[0].tokens[-1] + 60)
    before = judged(log)
    for each in (log.requests, log.sends, log.stops, log.reads):
        rng.shuffle(each)
    after = judged(log)
    assert sorted(map(repr, after.findings)) == sorted(map(repr, before.findings))
    assert replace(after, findings=()) == replace(before, findings=())


Plant = Callable[[AuditLog], None]
PLANTS: list[tuple[Fault, Plant]] = []


def plants(fault: Fault) -> Callable[[Plant], Plant]:
    def keep(plant: Plant) -> Plant:
        PLANTS.append((fault, plant))
        return plant

    return keep


def first(log: AuditLog, n: int) -> ModelRequest:
    """Turn 0 of the first session is read to its end, turn 1 is stopped."""
    return next(each for each in log.requests if (each.session, each.n) == ("s0", n))


def answered(log: AuditLog) -> float:
    return next(stop.answered for stop in log.stops if stop.session == "s0")


@plants(Fault.AFTER_STOP)
def _one_token_too_many(log: AuditLog) -> None:
    first(log, 1).tokens.append(answered(log) + 2 * SLACK)


@plants(Fault.LIE)
def _a_word_that_was_not_kept(log: AuditLog) -> None:
    log.stops = [replace(stop, said_stopped=True) for stop in log.stops]
    first(log, 1).tokens.append(answered(log) + 2 * SLACK)


@plants(Fault.LIE)
def _a_second_request_for_what_was_stopped(log: AuditLog) -> None:
    log.stops = [replace(stop, said_stopped=True) for stop in log.stops]
    at = answered(log) + 2 * SLACK
    log.requests.append(
        ModelRequest("again", "s0", 1, at, [at + TOKEN], at + 2 * TOKEN, RequestEnd.CLIENT_LEFT)
    )


@plants(Fault.LOST_STOP)
def _a_stop_that_did_nothing(log: AuditLog) -> None:
    request = first(log, 1)
    request.tokens += [request.tokens[-1] + TOKEN * k for k in range(1, 20)]
    request.ended, request.end = request.tokens[-1], RequestEnd.FINISHED


@plants(Fault.LOST_STOP)
def _a_stop_that_is_answered_when_all_is_generated_anyway(log: AuditLog) -> None:
    _a_stop_that_did_nothing(log)
    log.stops = [replace(stop, answered=first(log, 1).ended + 1) for stop in log.stops]


@plants(Fault.OVERLAP)
def _one_token_beside_the_next_turn(log: AuditLog) -> None:
    first(log, 0).tokens.append(first(log, 1).began + 2 * SLACK)


@plants(Fault.LOST)
def _a_hole_in_what_was_read(log: AuditLog) -> None:
    log.reads = [replace(seen, tokens=seen.tokens[1:]) for seen in log.reads]


@plants(Fault.LOST)
def _an_end_that_was_not_read(log: AuditLog) -> None:
    log.reads = [replace(seen, tokens=seen.tokens[:-1]) for seen in log.reads]


@plants(Fault.LOST)
def _nothing_read_at_all(log: AuditLog) -> None:
    log.reads = [replace(seen, tokens=()) for seen in log.reads]


@plants(Fault.DOUBLED)
def _a_token_read_twice(log: AuditLog) -> None:
    log.reads = [replace(seen, tokens=seen.tokens[:2] + seen.tokens[1:]) for seen in log.reads]


@plants(Fault.DOUBLED)
def _tokens_out_of_order(log: AuditLog) -> None:
    log.reads = [replace(seen, tokens=seen.tokens[1::-1] + seen.tokens[2:]) for seen in log.reads]


@plants(Fault.INVENTED)
def _a_token_that_nobody_made(log: AuditLog) -> None:
    log.reads = [replace(seen, tokens=(*seen.tokens, ("canned", 0))) for seen in log.reads]


@plants(Fault.INVENTED)
def _a_token_before_it_was_made(log: AuditLog) -> None:
    log.reads = [replace(seen, tokens=(*seen.tokens, (first(log, 0).id, 99))) for seen in log.reads]


@plants(Fault.INVENTED)
def _a_token_of_another_session(log: AuditLog) -> None:
    log.reads.append(ReadEntry("stranger", ((first(log, 0).id, 0),)))


@plants(Fault.INVENTED)
def _a_token_that_nobody_made_and_that_was_forgotten(log: AuditLog) -> None:
    log.reads = [replace(seen, forgotten=(("canned", 0),)) for seen in log.reads]


@plants(Fault.BUFFERED)
def _replies_that_come_all_at_once(log: AuditLog) -> None:
    ended = {each.id: each.ended for each in log.requests}
    log.reads = [
        replace(seen, first={name: ended[name] + 2 * SLACK for name in seen.first}) for seen in log.reads
    ]


@plants(Fault.ENDLESS)
def _a_stream_that_is_left_open(log: AuditLog) -> None:
    log.reads = [replace(seen, replies=(Reply(n=1, end=StreamEnd.OPEN),)) for seen in log.reads]


@plants(Fault.ENDLESS)
def _a_reply_that_is_cut_off_after_its_last_token(log: AuditLog) -> None:
    log.reads = [replace(seen, replies=(Reply(n=0, end=StreamEnd.CLOSED),)) for seen in log.reads]


@plants(Fault.NEVER_REACHED)
def _a_message_that_is_kept_from_the_model(log: AuditLog) -> None:
    log.requests.remove(first(log, 0))


@plants(Fault.CUT_SHORT)
def _a_turn_that_is_ended_by_nobody(log: AuditLog) -> None:
    first(log, 0).end = RequestEnd.CLIENT_LEFT


@plants(Fault.CUT_SHORT)
def _a_turn_that_never_ends(log: AuditLog) -> None:
    first(log, 0).end = RequestEnd.AUDIT_OVER


@plants(Fault.WRONG_TURN)
def _a_late_stop_that_hits_the_next_turn(log: AuditLog) -> None:
    last = max((each for each in log.requests if each.session == "s0"), key=lambda request: request.n)
    last.end = RequestEnd.CLIENT_LEFT
    log.stops.append(StopEntry("s0", last.n - 1, last.began, last.ended, 200, said_stopped=True, late=True))


@plants(Fault.REPEATED)
def _a_message_that_is_paid_for_twice(log: AuditLog) -> None:
    request = first(log, 0)
    log.requests.append(replace(request, id="twice", tokens=[]))


@plants(Fault.REFUSED)
def _a_send_that_is_refused_though_nothing_runs(log: AuditLog) -> None:
    log.sends = [replace(log.sends[0], status=409), *log.sends[1:]]
    log.requests.remove(first(log, 0))


@plants(Fault.UNANSWERED)
def _a_send_without_an_answer(log: AuditLog) -> None:
    log.sends = [replace(log.sends[0], status=0), *log.sends[1:]]


@plants(Fault.UNANSWERED)
def _a_stop_without_an_answer(log: AuditLog) -> None:
    log.stops = [replace(log.stops[0], status=0), *log.stops[1:]]


@plants(Fault.PROCESSES)
def _a_shell_that_runs_on(log: AuditLog) -> None:
    log.inside = Inside(("bash",), 0, 1, 1)


@plants(Fault.THREADS)
def _a_thread_that_works_on(log: AuditLog) -> None:
    log.inside = Inside((), 1, 1, 2)


@plants(Fault.OUT_OF_TIME)
def _a_user_who_is_not_done(log: AuditLog) -> None:
    log.out_of_time = 1


@plants(Fault.NOTHING)
def _a_model_that_is_never_asked(log: AuditLog) -> None:
    log.requests = []


@pytest.mark.parametrize(("fault", "plant"), PLANTS, ids=[plant.__name__.strip("_") for _, plant in PLANTS])
@settings(max_examples=20)
@given(log=honest_logs())
def test_a_planted_fault_is_found(fault: Fault, plant: Plant, log: AuditLog) -> None:
    plant(log)
    assert fault in faults(log)


def test_every_fault_has_been_planted() -> None:
    assert {fault for fault, _ in PLANTS} == set(Fault)


@given(honest_logs(), st.sampled_from([plant for _, plant in PLANTS]))
def test_a_servers_word_can_only_be_held_against_it(log: AuditLog, plant: Plant) -> None:
    plant(log)
    silent, loud = deepcopy(log), deepcopy(log)
    silent.stops = [replace(stop, said_stopped=False) for stop in log.stops]
    loud.stops = [replace(stop, said_stopped=True) for stop in log.stops]
    assert set(judged(loud).findings) >= set(judged(silent).findings)
    assert not any(finding.fault is Fault.LIE for finding in judged(silent).findings)


def test_a_refusal_is_excused_while_the_model_works_for_that_session_and_only_then() -> None:
    log = AuditLog(requests=[ModelRequest("a", "s", 0, 1.0, [1.5], 2.0, RequestEnd.FINISHED)])
    log.sends = [
        SendEntry("s", 0, 0.9, 0.95, 202, Fate.FINISH),
        SendEntry("s", 1, 1.5, 1.6, 409, Fate.FINISH),
    ]
    log.reads = [ReadEntry("s", (("a", 0),))]
    assert judged(log).clean
    assert judged(log).refused_while_busy == 1
    log.sends[1] = SendEntry("s", 1, 2.1, 2.2, 409, Fate.FINISH)
    assert judged(log).findings == (Finding(Fault.REFUSED, "s", 1, status=409),)
    log.sends[1] = SendEntry("other", 1, 1.5, 1.6, 409, Fate.FINISH)
    assert judged(log).findings == (Finding(Fault.REFUSED, "other", 1, status=409),)


def test_a_stop_that_hangs_up_has_no_answer_after_which_there_may_be_too_many_tokens() -> None:
    request = ModelRequest("a", "s", 0, 0.0, [0.1, 0.5, 0.6], 0.7, RequestEnd.CLIENT_LEFT)
    log = AuditLog(requests=[request], stops=[StopEntry("s", 0, 0.2, 0.2, None, said_stopped=False)])
    report = judged(log)
    assert report.clean
    assert (report.stops, report.answers, report.paid) == (1, 0, 0)
    assert report.silence == (0.7 - 0.2,)
    request.tokens.append(0.2 + LOST_AFTER + 0.1)
    assert faults(log) == {Fault.LOST_STOP}


def test_a_send_whose_user_hung_up_at_once_needs_no_answer() -> None:
    log = AuditLog(requests=[ModelRequest("a", "s", 0, 0.0, [0.1], 0.2, RequestEnd.FINISHED)])
    log.sends = [SendEntry("s", 1, 0.0, 0.0, None, Fate.STOP)]
    assert judged(log).clean


def test_what_begins_again_is_not_doubled_and_has_to_come_whole() -> None:
    log = AuditLog(requests=[ModelRequest("a", "s", 0, 0.0, [0.1, 0.2], 0.3, RequestEnd.FINISHED)])
    log.sends = [SendEntry("s", 0, 0.0, 0.1, 200, Fate.FINISH)]
    log.reads = [ReadEntry("s", (("a", 0), ("a", 1)), (("a", 0),))]
    assert judged(log).clean
    assert judged(log).seen == 3
    log.reads = [ReadEntry("s", (("a", 1),), (("a", 0),))]
    assert judged(log).findings == (Finding(Fault.LOST, "s", 0),)


def test_a_reply_that_was_over_before_its_reader_came_back_need_not_be_there() -> None:
    log = AuditLog(requests=[ModelRequest("a", "s", 0, 0.0, [0.1, 0.2], 0.3, RequestEnd.FINISHED)])
    log.sends = [SendEntry("s", 0, 0.0, 0.1, 200, Fate.FINISH)]
    log.reads = [ReadEntry("s", (("a", 0),), replies=(Reply(n=0, end=None, gone=0.4),))]
    assert judged(log).clean
    log.reads = [ReadEntry("s", (("a", 0),), replies=(Reply(n=0, end=None, gone=0.25),))]
    assert judged(log).findings == (Finding(Fault.LOST, "s", 0),)


def test_a_stream_may_be_open_a_moment_longer_than_its_turn() -> None:
    log = AuditLog(requests=[ModelRequest("a", "s", 0, 0.0, [0.1], 0.2, RequestEnd.CLIENT_LEFT)])
    open_still = (Reply(n=0, end=StreamEnd.OPEN),)
    log.reads = [ReadEntry("s", (), replies=open_still, left=0.2 + LOST_AFTER)]
    assert judged(log).clean
    log.reads = [ReadEntry("s", (), replies=open_still, left=0.3 + LOST_AFTER)]
    assert judged(log).findings == (Finding(Fault.ENDLESS, "s", 0),)
    log.reads = [ReadEntry("s", (), replies=(Reply(n=0, end=StreamEnd.CLOSED),))]
    assert judged(log).clean, "it was stopped: that it is closed says enough"


def test_turns_of_a_server_that_knows_no_sessions_may_overlap() -> None:
    log = AuditLog(requests=[ModelRequest("a", "s", 0, 0.0, [0.1, 0.5], 0.6, RequestEnd.CLIENT_LEFT)])
    log.requests.append(ModelRequest("b", "s", 1, 0.2, [0.3], 0.4, RequestEnd.FINISHED))
    assert {finding.fault for finding in judged(log).findings} == {Fault.OVERLAP}
    report = judge(log, SLACK, LOST_AFTER, sessions=False)
    assert report.clean
    assert report.in_sessions == 0


def test_one_reply_that_comes_late_is_no_habit() -> None:
    log = AuditLog()
    for n in range(3):
        log.requests.append(
            ModelRequest(f"a{n}", "s", n, n, [n + 0.1, n + 0.2], n + 0.3, RequestEnd.FINISHED)
        )
        log.sends.append(SendEntry("s", n, n, n + 0.1, 200, Fate.FINISH))
    tokens = tuple((f"a{n}", k) for n in range(3) for k in range(2))
    log.reads = [ReadEntry("s", tokens, first={"a0": 0.9, "a1": 1.1, "a2": 2.1})]
    assert judged(log).clean
    assert judged(log).whole == 3
    log.reads = [ReadEntry("s", tokens, first={"a0": 0.9, "a1": 1.9, "a2": 2.1})]
    assert judged(log).findings == (Finding(Fault.BUFFERED, "s", 0), Finding(Fault.BUFFERED, "s", 1))


def test_a_stop_that_takes_long_but_is_true_is_slow_and_not_lost() -> None:
    log = AuditLog(requests=[ModelRequest("a", "s", 0, 0.0, [0.1, 3.0], 3.05, RequestEnd.CLIENT_LEFT)])
    log.stops = [StopEntry("s", 0, 0.2, 3.1, 200, said_stopped=True)]
    assert judged(log).clean
    assert judged(log).silence == (3.05 - 0.2,)
    log.requests[0].end = RequestEnd.FINISHED
    assert {finding.fault for finding in judged(log).findings} == {Fault.LOST_STOP}


def test_tokens_after_two_stops_are_counted_once() -> None:
    log = AuditLog(requests=[ModelRequest("a", "s", 0, 0.0, [0.1, 0.5, 0.6], 0.7, RequestEnd.CLIENT_LEFT)])
    log.stops = [StopEntry("s", 0, 0.2, 0.3, 200, said_stopped=True)] * 2
    assert judged(log).count(Fault.AFTER_STOP) == 2
    assert judged(log).count(Fault.LIE) == 2


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (50, 2.0), (99, 4.0), (100, 4.0), (25, 1.0), (26, 2.0)]
)
def test_a_percentile_is_one_of_the_values(percent: float, expected: float) -> None:
    assert percentile((1.0, 2.0, 3.0, 4.0), percent) == expected
    assert percentile((), percent) is None
