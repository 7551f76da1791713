"""Turns that wait for a slot, and the caps they wait for, over HTTP: seen, and changed by an admin (G8)."""

import asyncio
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, done
from tests.web.fakes_web import Answer, House, by_token, serving, until
from turnkeeper.actors.turn.agent import Agent


async def test_a_send_beyond_a_cap_is_answered_with_what_it_waits_for_and_where_it_stands() -> None:
    async with serving(ScriptedAgent(), on_cap="wait", max_in_flight_in_all=1) as house:
        started = await house.send("s1", task_id="t1")
        assert not {"position", "waits_for", "standing"} & started.body.keys()
        for place, name in enumerate(("s2", "s3"), 1):
            said = (await house.send(name, task_id=name)).body
            assert (said["task_status"], said["position"], said["waits_for"]) == ("queued", 0, "server_cap")
            assert said["standing"] == {"position": place, "waiting": place}
        again = (await house.send("s3", task_id="s3")).body
        assert (again["repeated"], again["standing"]) == (True, {"position": 2, "waiting": 2})


async def test_the_queue_the_snapshot_and_the_places_say_where_a_turn_stands() -> None:
    async with serving(ScriptedAgent(), on_cap="wait", max_in_flight_in_all=1) as house:
        await house.sent("s1")
        await house.sent("s2", task_id="a")
        (shown,) = (await house.get("/chat/s2/queue")).body["queue"]
        assert (shown["waits_for"], shown["standing"]) == ("server_cap", {"position": 1, "waiting": 1})
        async with house.stream("s2") as stream:
            (shown,) = (await stream.until("snapshot")).json["queue"]
            assert (shown["waits_for"], shown["standing"]) == ("server_cap", {"position": 1, "waiting": 1})
            await house.sent("s2", task_id="b", multitask_strategy="enqueue")
            first, second = (await stream.until("turn.places")).json["queue"]
            assert first == {
                "task_id": "a",
                "position": 0,
                "waits_for": "server_cap",
                "not_before": None,
                "standing": {"position": 1, "waiting": 1},
            }
            assert (second["position"], second["waits_for"], "standing" in second) == (
                1,
                "session_busy",
                False,
            )


async def test_a_message_for_next_week_is_not_in_flight_and_takes_no_other_message_s_place() -> None:
    """G8, G14: whatever `on_cap` says of those that are sent for now."""
    caps: dict[str, Any] = {"max_in_flight": 1, "max_in_flight_in_all": 1, "max_waiting": 2}
    async with serving(ScriptedAgent(), authenticate=by_token, **caps) as house:
        for name in ("a1", "a2"):
            said = (await house.send(name, after_seconds=604_800, token="ada-token")).body
            assert (said["task_status"], said["waits_for"]) == ("queued", "not_before")
        assert (await house.get(PATH, **ROOT)).body["now"]["in_flight"] == 0
        refused = await house.send("a3", after_seconds=604_800, token="ada-token")
        assert (refused.status, refused.code) == (429, "TOO_MANY_WAITING")
        assert refused.headers["Retry-After"] == "1"
        assert (await house.send("b1", token="bob-token")).body["task_status"] == "running"
        (waiting,) = (await house.get("/chat/a1/queue", token="ada-token")).body["queue"]
        turn = (await house.get(f"/chat/a1/turns/{waiting['task_id']}", token="ada-token")).body
        shown = turn["policy"]["on_cap"]
        assert (shown["value"], shown["layer"]) == ("wait", "request")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"priority": "urgent"}, 422, "UNKNOWN_PRIORITY"),
        ({"priority": 1}, 422, "UNKNOWN_PRIORITY"),
        ({"priority": "interactive"}, 403, "POLICY_NOT_ALLOWED"),
        ({"max_in_flight": 0}, 422, "INVALID_CAP"),
        ({"max_in_flight": -3}, 422, "INVALID_CAP"),
        ({"max_in_flight": 1.5}, 422, "INVALID_CAP"),
        ({"after_seconds": 604_801}, 422, "INVALID_DELAY"),
        ({"after_seconds": -1}, 422, "INVALID_DELAY"),
        ({"after_seconds": "soon"}, 422, "INVALID_DELAY"),
        ({"on_cap": "wait"}, 403, "POLICY_NOT_ALLOWED"),
        ({"max_of_agent": 1}, 403, "POLICY_NOT_ALLOWED"),
    ],
)
async def test_what_a_send_may_not_say_of_how_it_is_let_in_has_a_code_of_its_own(
    body: dict[str, Any], status: int, code: str
) -> None:
    async with serving(ScriptedAgent()) as house:
        answer = await house.send("s", **body)
        assert (answer.status, answer.code) == (status, code)
        (name,) = body
        if code != "INVALID_REQUEST":
            assert (answer.body["field"], name in answer.body["detail"]) == (name, True)
        assert (await house.get("/chat/s")).status == 404, "nothing was opened"


# -- Seen and changed by an admin -------------------------------------------------------------------

ROOT: dict[str, Any] = {"token": "root-token"}
PATH = "/chat/admission"


async def put(house: House, **fields: Any) -> Answer:
    return await house.ask("PUT", PATH, json=fields, **ROOT)


async def test_an_admin_sees_the_caps_and_what_goes_on() -> None:
    agents = {"default": ScriptedAgent(), "coder": Agent(ScriptedAgent(), max_of_agent=1)}
    users = {"ada": {"max_in_flight": 2}}
    caps: dict[str, Any] = {"on_cap": "wait", "max_in_flight_in_all": 3, "max_waiting": 7}
    async with serving(agents, users=users, authenticate=by_token, **caps) as house:
        for number, agent in enumerate(["coder", "coder", "default", "default"]):
            await house.sent(f"a{number}", agent=agent, token="ada-token")
        await house.sent("b1", token="bob-token")
        await house.sent("b2", token="bob-token")
        body = (await house.get(PATH, **ROOT)).body
        now = body.pop("now")
        assert body == {
            "status": "ok",
            "max_in_flight_in_all": 3,
            "max_in_flight": 32,
            "max_of_agent": None,
            "max_waiting": 7,
            "max_waiting_in_all": 10_000,
            "lane_aging": 30.0,
            "on_cap": "wait",
            "priority": "normal",
            "agents": {"default": {}, "coder": {"max_of_agent": 1}},
            "users": {"ada": {"max_in_flight": 2}},
        }
        waiting = now.pop("waiting_by_lane")
        assert now == {
            "in_flight": 3,
            "in_flight_of_agents": {"default": 2, "coder": 1},
            "active_users": 2,
            "share": 1.5,
            "waiting": 3,
        }
        assert waiting == {"normal": {"user_cap": 2, "server_cap": 1}}


async def test_those_who_wait_are_listed_beside_the_turns_in_flight() -> None:
    async with serving(
        ScriptedAgent(), on_cap="wait", max_in_flight_in_all=1, authenticate=by_token
    ) as house:
        await house.sent("a1", token="ada-token")
        await house.sent("b1", task_id="t1", token="bob-token")
        of_all = (await house.get("/chat/active_send_tasks", **ROOT)).body
        assert list(of_all["active_tasks"]) == ["a1"]
        waits = of_all["waiting_tasks"]
        assert waits["b1"].pop("since") > 0
        assert waits == {
            "b1": {
                "active": False,
                "task_id": "t1",
                "user": "bob",
                "agent": "default",
                "priority": "normal",
                "waits_for": "server_cap",
                "standing": {"position": 1, "waiting": 1},
            }
        }
        of_ada = (await house.get("/chat/active_send_tasks", token="ada-token")).body
        assert (list(of_ada["active_tasks"]), of_ada["waiting_tasks"]) == (["a1"], {})


async def test_what_an_admin_gets_can_be_put_back() -> None:
    async with serving(ScriptedAgent(), authenticate=by_token) as house:
        await put(
            house, agents={"default": {"max_of_agent": None}}, users={"ada": {"priority": "background"}}
        )
        before = (await house.get(PATH, **ROOT)).body
        again = await put(
            house, **{name: said for name, said in before.items() if name not in ("status", "now")}
        )
        assert (again.status, again.body) == (200, before)


async def test_no_one_but_an_admin_sees_or_changes_how_turns_are_let_in() -> None:
    async with serving(ScriptedAgent(), authenticate=by_token) as house:
        before = (await house.get(PATH, **ROOT)).body
        for token, status, code in [
            ("ada-token", 403, "SCOPE_MISSING"),
            ("scopeless-token", 403, "SCOPE_MISSING"),
            ("nonsense", 401, "UNAUTHORIZED"),
        ]:
            for method, body in [("GET", {}), ("PUT", {"json": {"max_waiting": 1}})]:
                answer = await house.ask(method, PATH, token=token, **body)
                assert (answer.status, answer.code) == (status, code)
        assert (await house.ask("PUT", PATH, json={"max_waiting": 1})).status == 401
        assert (await house.get(PATH, **ROOT)).body == before
    async with serving(ScriptedAgent()) as house:  # where there are no tokens, all on this machine are admins
        assert (await house.ask("PUT", PATH, json={"max_waiting": 1})).body["max_waiting"] == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"max_in_flight_in_all": 0}, 422, "INVALID_CAP", "max_in_flight_in_all"),
        ({"max_in_flight": -1}, 422, "INVALID_CAP", "max_in_flight"),
        ({"max_waiting": "many"}, 422, "INVALID_CAP", "max_waiting"),
        ({"max_waiting": None}, 422, "INVALID_CAP", "max_waiting"),
        ({"max_waiting_in_all": 10**30}, 200, "", ""),
        ({"priority": "urgent"}, 422, "UNKNOWN_PRIORITY", "priority"),
        ({"on_cap": "hope"}, 422, "INVALID_REQUEST", "on_cap"),
        ({"lane_aging": 0}, 422, "INVALID_REQUEST", "lane_aging"),
        ({"slots": 20}, 422, "INVALID_REQUEST", "slots"),
        ({"agents": {"default": {"max_of_agent": 0}}}, 422, "INVALID_CAP", "max_of_agent"),
        ({"agents": {"default": {"turn_timeout": 1}}}, 422, "INVALID_REQUEST", "turn_timeout"),
        ({"agents": {"default": 3}}, 422, "INVALID_REQUEST", "agents"),
        ({"agents": {"nobody": {}}}, 422, "UNKNOWN_AGENT", "agents"),
        ({"users": {"ada": {"priority": "urgent"}}}, 422, "UNKNOWN_PRIORITY", "priority"),
        ({"users": {"ada": {"max_of_agent": 1}}}, 422, "INVALID_REQUEST", "max_of_agent"),
        ({"users": [1]}, 422, "INVALID_REQUEST", "users"),
        ({"users": {"a": {"max_in_flight": 1}, "b": {"max_in_flight": 1}}}, 429, "TOO_MANY_POLICIES", None),
        ([], 422, "INVALID_REQUEST", "body"),
        (3, 422, "INVALID_REQUEST", "body"),
    ],
)
async def test_a_malformed_change_is_refused_by_its_code_and_changes_nothing(
    body: Any, status: int, code: str, field: str | None
) -> None:
    async with serving(ScriptedAgent(), authenticate=by_token, max_user_policies=1) as house:
        before = (await house.get(PATH, **ROOT)).body
        right = {"max_in_flight_in_all": 3, "on_cap": "wait", "users": {"eve": {"max_in_flight": 3}}}
        said = {**right, **body} if isinstance(body, dict) else body
        answer = await house.ask("PUT", PATH, json=said, **ROOT)
        assert answer.status == status
        if status != 200:
            assert (answer.code, answer.body.get("field")) == (code, field)
            assert (await house.get(PATH, **ROOT)).body == before


async def test_what_is_no_json_is_refused() -> None:
    async with serving(ScriptedAgent()) as house:
        for body in (b"", b"{", b'{"max_waiting": NaN}', b"\xff"):
            answer = await house.ask("PUT", PATH, data=body)
            assert (answer.status, answer.code) == (422, "INVALID_JSON")
        assert (await house.ask("PATCH", PATH, json={})).status == 422, "admission is no id of a session"


async def test_caps_that_change_in_a_flood_stop_no_turn_and_lose_none() -> None:
    async with serving(done, on_cap="wait", authenticate=by_token, max_in_flight=1, max_waiting=500) as house:
        await put(house, max_in_flight_in_all=1)

        async def flood(user: str) -> list[str]:
            return [
                (await house.sent(f"{user}{n}", "hello", task_id=f"{user}{n}", token=f"{user}-token"))
                for n in range(60)
            ]

        async def change() -> None:
            for slots in (5, 1, 50, 2, 1, 20):
                answer = await put(house, max_in_flight_in_all=slots, users={"bob": {"max_in_flight": slots}})
                assert answer.status == 200, answer.text
                assert answer.body["max_in_flight_in_all"] == slots

        ada, bob, _ = await asyncio.gather(flood("ada"), flood("bob"), change())

        async def all_completed() -> bool:
            now = (await house.get(PATH, **ROOT)).body["now"]
            return (now["in_flight"], now["waiting"], now["active_users"]) == (0, 0, 0)

        await until(all_completed)
        for task in (*ada, *bob):
            turn = (await house.get(f"/chat/{task}/turns/{task}", **ROOT)).body
            assert turn["status"] == "completed"
