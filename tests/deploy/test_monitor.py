"""The dashboard and the alert rules of the docs ask for figures that there are."""

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.fakes import done
from tests.web.fakes_web import served, serving
from turnkeeper.actors.model.words import TERMINAL
from turnkeeper.web.http.problems import Code

ROOT = Path(__file__).parent.parent.parent
MONITOR = ROOT / "docs" / "examples" / "monitor"
PAGE = (ROOT / "docs" / "howto" / "monitor.md").read_text()
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((MONITOR / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((MONITOR / "dashboard.json").read_text())
#: What Prometheus itself knows, and the labels that it gives to everything.
ITS_OWN, ITS_LABELS = {"up": set[str]()}, {"instance", "job"}


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression, by what asks for it."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


# -- Reading an expression ----------------------------------------------------------------------------

WORD = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
KEYWORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool"}
KEYWORDS |= {"offset", "inf", "nan"}


def asked_for(expression: str) -> dict[str, dict[str, str]]:
    """The names of the metrics in an expression, each with what is asked of its labels."""
    found: dict[str, dict[str, str]] = {}
    for name, matchers in re.findall(rf"({WORD})\s*{{(.*?)}}", expression):
        found.setdefault(name, {}).update(re.findall(rf'({WORD})\s*=~?\s*"(.*?)"', matchers))
    rest = re.sub(r"{.*?}|\[.*?\]", " ", expression)
    rest = re.sub(r"\b(?:by|without|on|ignoring)\s*\(.*?\)", " ", rest)
    for name in re.findall(rf"(?<![\w.])({WORD})(?!\s*\()(?![\w(])", rest):
        if name not in KEYWORDS:
            found.setdefault(name, {})
    return found


def grouped_by(expression: str) -> set[str]:
    """The labels that an expression sums by."""
    return {
        label.strip() for labels in re.findall(r"\bby\s*\((.*?)\)", expression) for label in labels.split(",")
    }


def test_the_names_in_an_expression_are_found() -> None:
    expression = """
        histogram_quantile(0.95, sum by (le, agent) (rate(a_bucket{x="1", y=~"2|3"}[5m]))) > 1
          and sum(b) / on (x) c{z="d"} offset 5m > 0.2 or increase(e_total[10m]) unless f == 1e3
    """
    found = {"a_bucket": {"x": "1", "y": "2|3"}, "b": {}, "c": {"z": "d"}, "e_total": {}, "f": {}}
    assert asked_for(expression) == found
    assert grouped_by(expression) == {"le", "agent"}


# -- What there is --------------------------------------------------------------------------------------


async def there_are(data: Path) -> dict[str, set[str]]:
    """The names that a server with a journal shows over HTTP, each with its labels."""
    async with served("--data", str(data)) as (_, door):
        text = (await door.get("/metrics")).text
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(rf"^({WORD})(?:{{(.*)}})? \S+$", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(rf'({WORD})="', labels))
    return found


async def test_the_dashboard_and_the_alerts_ask_for_figures_that_a_server_shows(tmp_path: Path) -> None:
    there = {**await there_are(tmp_path / "chats.db"), **ITS_OWN}
    for asker, expression in expressions():
        asked = asked_for(expression)
        assert asked, f"{asker} asks for nothing"
        labels = set[str]()
        for name, matchers in asked.items():
            assert name in there, f"{asker}: there is no {name}"
            labels |= there[name]
            assert set(matchers) <= there[name] | ITS_LABELS, f"{asker}: {name} has no such label"
        assert grouped_by(expression) <= labels | ITS_LABELS, asker


def test_the_words_that_they_ask_for_are_words_of_turnkeeper() -> None:
    known = {"code": {code.value for code in Code}, "status": {str(status) for status in TERMINAL}}
    for asker, expression in expressions():
        for matchers in asked_for(expression).values():
            for label, pattern in matchers.items():
                for way in pattern.split("|") if label in known else ():
                    assert any(re.fullmatch(way, word) for word in known[label]), f"{asker}: {way}"


async def test_every_refusal_at_a_bound_sets_an_alert_off() -> None:
    [expression] = [rule["expr"] for rule in RULES if rule["alert"] == "TurnkeeperAtItsBounds"]
    [pattern] = [matchers["code"] for matchers in asked_for(expression).values()]
    at_bounds = {code for code in Code if code.status == 429} | {Code.SERVER_FULL, Code.UPLOADS_FULL}
    assert {code for code in Code if re.fullmatch(pattern, code)} == at_bounds


# -- Alerts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_grave_it_is_and_what_is_wrong_and_the_page_what_to_do(
    rule: dict[str, Any],
) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert len(re.findall(rf"^\| .*`{rule['alert']}`.* \| .+ \|$", PAGE, re.MULTILINE)) == 1
    named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert named - ITS_LABELS <= grouped_by(rule["expr"])
    assert "by (" not in rule["expr"] or named <= grouped_by(rule["expr"]), "a label that was summed away"


def test_every_alert_on_the_page_is_there() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `Turnkeeper")]
    assert {name for row in rows for name in re.findall(r"`(Turnkeeper\w+)`", row.split(" | ")[0])} == {
        rule["alert"] for rule in RULES
    }


def test_prometheus_own_tool_takes_the_rules_where_it_is_installed(tmp_path: Path) -> None:
    for name in ("prometheus.yml", "alerts.yml"):
        shutil.copy(MONITOR / name, tmp_path)
    (tmp_path / "turnkeeper.token").write_text("secret")
    config = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yml"]
    [job] = config["scrape_configs"]
    assert job["authorization"] == {"credentials_file": "turnkeeper.token"}
    promtool = shutil.which("promtool")
    if promtool is not None:
        command = [promtool, "check", "config", "prometheus.yml"]
        checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


# -- The dashboard ----------------------------------------------------------------------------------------


def test_the_panels_have_words_and_places_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(places)) == len(places), "two panels overlap"
    assert max(x for x, _ in places) < 24
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_what_a_panel_refers_to_is_a_variable_of_the_dashboard() -> None:
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    named = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD["panels"])))
    assert named - {"__rate_interval"} == variables


# -- The page ---------------------------------------------------------------------------------------------


def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("metrics_table", ROOT / "docs" / "metrics_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_the_figures_is_what_the_code_says() -> None:
    assert table().page(PAGE) == PAGE, "run python docs/metrics_table.py"


async def test_the_page_names_the_figures_of_the_process_that_there_are() -> None:
    async with serving(done, metrics=True) as house:
        text = (await house.get("/metrics")).text
    assert set(re.findall(r"^(process_\w+)", text, re.MULTILINE)) == set(re.findall(r"`(process_\w+)`", PAGE))
