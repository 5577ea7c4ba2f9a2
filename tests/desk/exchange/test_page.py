"""docs/exchange.md says what is served: its tables are those of the application."""

import ast
import re

from starlette.routing import Route, WebSocketRoute

from desk.exchange.orders import Status
from desk.exchange.server import ServerOptions, build_app
from tests.desk.exchange.makers import floor_of
from tests.house import CHECKOUT

PAGE = (CHECKOUT / "docs" / "exchange.md").read_text(encoding="utf-8")
# Two statuses have events of other names, and a leg is held in silence.
NOT_TOLD = {Status.HELD, Status.PARTIALLY_FILLED, Status.FILLED}
OTHER_EVENTS = {"partial_fill", "fill", "restated", "order_cancel_rejected", "order_replace_rejected"}


def section(heading: str) -> str:
    """Give the page's text under a heading."""
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_the_table_of_paths_is_the_applications() -> None:
    """Each verb of each path is there, once, and nothing that is not served."""
    served = []
    for route in build_app(floor_of(), ServerOptions()).routes:
        if isinstance(route, WebSocketRoute):
            served.append(("stream", route.path))
        elif isinstance(route, Route):
            path = route.path.replace(":path}", "}")
            served += [(verb, path) for verb in sorted(route.methods or ()) if verb != "HEAD"]
    rows = re.findall(r"^\| ([A-Za-z, ]+) \| `(/[^`]+)` \|", section("Paths"), re.MULTILINE)
    listed = [(verb, path) for verbs, path in rows for verb in verbs.split(", ")]

    assert sorted(listed) == sorted(served)


def test_the_table_of_events_is_the_streams() -> None:
    """Each status that is told as an event, and the events that are no statuses."""
    rows = re.findall(r"^\| `(\w+)` \|", section("Events of the user stream"), re.MULTILINE)

    assert sorted(rows) == sorted({str(word) for word in set(Status) - NOT_TOLD} | OTHER_EVENTS)


def test_every_event_told_by_name_is_in_the_table() -> None:
    """No module of the exchange tells an event of another name."""
    rows = set(re.findall(r"^\| `(\w+)` \|", section("Events of the user stream"), re.MULTILINE))
    told = {
        word.value
        for path in (CHECKOUT / "desk" / "exchange").glob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        if call.func.attr in ("emit", "change", "resume")
        for word in call.args
        if isinstance(word, ast.Constant) and isinstance(word.value, str)
    }

    assert told != set()
    assert told <= rows
