import hashlib
import json
import re
from importlib import resources

from turnkeeper.web.openapi.page import SECURITY, SERVED, files

FOLDER = resources.files("turnkeeper.web.openapi")
VENDORED = FOLDER.joinpath("swagger-ui")


def test_the_page_is_made_of_its_files_and_loads_nothing_else() -> None:
    served = {name: body.decode("utf-8", "replace") for name, _, body in files()}

    links = re.findall(r'(?:src|href)="([^"]+)"', served["index.html"])
    assert {link.removeprefix("docs/") for link in links} == {*SERVED, "openapi.json"} - {"index.html"}
    assert "http" not in served["index.html"] + served["start.js"]


def test_the_page_may_ask_no_other_host_and_run_nothing_of_its_own_but_its_files() -> None:
    policy = dict(each.strip().split(" ", 1) for each in SECURITY["Content-Security-Policy"].split(";"))

    assert policy.pop("img-src") == "'self' data:"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert policy["default-src"] == "'none'"


def test_what_is_not_ours_is_as_it_was_published() -> None:
    listed = dict(line.split("  ")[::-1] for line in VENDORED.joinpath("SHA256SUMS").read_text().splitlines())
    found = {each.name: each.read_bytes() for each in VENDORED.iterdir() if each.name != "SHA256SUMS"}

    assert listed == {name: hashlib.sha256(body).hexdigest() for name, body in found.items()}
    package = json.loads(found["package.json"])
    assert (package["name"], package["license"]) == ("swagger-ui-dist", "Apache-2.0")
    assert b"Apache License" in found["LICENSE"]
