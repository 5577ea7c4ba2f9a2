"""The kill switch with positions open, stops resting, and three requests refused (R5, I14).

The exchange refuses with a 503 and `desk kill` is run beside the session, once for each of `REFUSED`. The
exchange itself must show the account flat, the latch must hold until a person resumes it by name and reason,
no entry may be sent before, and afterwards the session trades again.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cli.processes import Child
from desk.portfolio import replay
from schemas.events import AnyEvent, KillVerified, LatchReleased, LatchSet, MinuteClosed, OrderPlanned
from schemas.orders import Purpose
from schemas.risk import LatchName
from soak.crash import START_PATIENCE_S, differences
from soak.stage import SoakDay, until
from soak.story import ORDERS_PATIENCE_S, Story, ending, has_sent

COMMAND_PATIENCE_S = 200.0  # longer than `desk kill` waits for a session
QUIET_S = 20.0  # real seconds under the latch in which nothing may be sent
STOP_FRAC = 0.05  # far enough to rest all morning
EXPOSED = 2  # positions and orders before a kill: one may be gone when it latches
FAULT = "unavailable_503"
REFUSALS = 3
BY, WHY = "ann", "the drill is over"


@dataclass(frozen=True, slots=True)
class Refused:
    """What is refused: these calls (none: any), from before the kill on or from its latch on."""

    words: str
    calls: tuple[str, ...]
    at_latch: bool


REFUSED = (
    Refused("the first three cancels of everything", ("cancel_all",), at_latch=False),
    Refused("the first three exits", ("submit",), at_latch=True),
    Refused("the first three requests after the latch", (), at_latch=True),
)


def kill_switch(day: SoakDay) -> Story:
    """Play a kill, its refusals and its release, once for each kind of refusal."""
    story = Story("the kill switch, three requests refused")
    _protect(day.config)
    with day.start_session() as session:
        for refused in REFUSED:
            if not _one_kill(day, story, refused):
                return story
            story.hold(session.is_running(), f"the session ended with {ending(session)}")
        story.wrong += differences(day)
    return story


def _one_kill(day: SoakDay, story: Story, refused: Refused) -> bool:
    """Kill, look, resume, and see the session trade again; False when there was nothing to go on with."""
    if not story.hold(
        until(lambda: _is_exposed(day), patience_s=ORDERS_PATIENCE_S), "no position with an order resting"
    ):
        return False
    rule = {"kind": FAULT, "every": 1, "times": REFUSALS, "lands": False, "calls": refused.calls}
    before, struck = len(day.events()), _struck(day)
    if not refused.at_latch:
        day.lie(rule)
    with day.command("kill", "--reason", f"drill: {refused.words}", "--by", BY) as command:
        books = _books_at_latch(day)
        if refused.at_latch:
            day.lie(rule)
        latched = time.monotonic()
        until(lambda: not command.is_running(), patience_s=COMMAND_PATIENCE_S)
        took_s = time.monotonic() - latched
    positions, resting, struck = len(books["positions"]), len(books["open_orders"]), _struck(day) - struck
    story.saw("refused with 503", f"{refused.words}; held: {positions} positions, {resting} orders resting")
    story.hold(positions > 0 and resting > 0, f"{refused.words}: nothing was held at the latch")
    story.hold(struck == REFUSALS, f"{refused.words}: {struck} were refused, not {REFUSALS}")
    story.hold(command.exit_code == 0, f"{refused.words}: desk kill ended with {ending(command)}")
    _is_flat(day, story, f"{took_s:.1f} s later")
    _keeps_out(day, story, before)
    day.lie()
    return _resume(day, story, before)


def _books_at_latch(day: SoakDay) -> dict[str, Any]:
    """Wait for the latch in the ledger; give what the exchange showed at the last look before it."""
    deadline = time.monotonic() + START_PATIENCE_S
    books: dict[str, Any] = day.get("/sim/books")
    while time.monotonic() < deadline:
        shown = day.get("/sim/books")
        if _latched(day.events()):
            break
        books = shown
    return books


def _struck(day: SoakDay) -> int:
    """Count the requests refused so far, by every plan."""
    counts: dict[str, int] = day.get("/sim/faults")["counts"]
    return counts.get(FAULT, 0)


def _is_flat(day: SoakDay, story: Story, when: str) -> None:
    """Ask the exchange itself what is held and open."""
    books = day.get("/sim/books")
    story.saw(f"the exchange {when}", f"positions {books['positions']}, open orders {books['open_orders']}")
    story.hold(not books["positions"] and not books["open_orders"], f"{when} the account is not flat")


def _keeps_out(day: SoakDay, story: Story, before: int) -> None:
    """Wait under the latch: the session decides its minutes, and nothing is sent."""
    events = day.events()
    orders, minutes = len(day.venue_orders()), _count(events, MinuteClosed)
    story.hold(_count(events[before:], KillVerified) > 0, "the ledger has no verified kill")
    time.sleep(QUIET_S)
    events = day.events()
    decided, sent = _count(events, MinuteClosed) - minutes, len(day.venue_orders()) - orders
    story.hold(decided > 0, "the session decided no minute under the latch")
    story.hold(sent == 0, f"{sent} orders were sent under the latch")
    since = next((n for n, event in enumerate(events) if n >= before and isinstance(event, LatchSet)), None)
    entries = {
        event.intent.client_order_id
        for event in events[since:]
        if isinstance(event, OrderPlanned) and event.intent.purpose is Purpose.ENTRY
    }
    crossed = entries & {order["client_order_id"] for order in day.venue_orders()}
    story.hold(
        since is not None and not crossed, f"entries after the latch at the exchange: {sorted(crossed)}"
    )
    story.saw(
        "under the latch", f"{decided} minutes decided, {sent} orders sent, entries after it: {len(crossed)}"
    )
    _is_flat(day, story, "then")


def _resume(day: SoakDay, story: Story, before: int) -> bool:
    """Resume without a name, without a reason, and with both."""
    for arguments in ((), ("--by", BY), ("--reason", WHY)):
        with _done(day, "resume", *arguments) as refused:
            story.hold(
                refused.exit_code == 2, f"resume {' '.join(arguments)} ended {refused.exit_code}, not 2"
            )
    story.hold(_latched(day.events()), "the latch is gone without a name and a reason")
    with _done(day, "resume", "--by", BY, "--reason", WHY) as resumed:
        story.hold(resumed.exit_code == 0, f"resume ended with {ending(resumed)}")
    events = day.events()
    released = [event for event in events[before:] if isinstance(event, LatchReleased)]
    story.hold(not _latched(events), "the latch is still set")
    said = " ".join(event.model_dump_json() for event in released)
    recorded = [(event.name, event.by, event.cause) for event in released]
    story.hold(recorded == [(LatchName.KILL, BY, WHY)], f"the release in the ledger: {said}")
    story.saw("desk resume", "refused without --by, --reason or both; with them the ledger says:\n" + said)
    seen = len(day.venue_orders())
    return story.hold(has_sent(day, seen + 1), "no order was sent after the release")


@contextmanager
def _done(day: SoakDay, *arguments: str) -> Iterator[Child]:
    with day.command(*arguments) as child:
        until(lambda: not child.is_running(), patience_s=COMMAND_PATIENCE_S)
        yield child


def _protect(config: Path) -> None:
    """Let stops rest at the exchange beside each position."""
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    settings["strategies"][0]["exits"] = {"stop_frac": STOP_FRAC}
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")


def _is_exposed(day: SoakDay) -> bool:
    books = day.get("/sim/books")
    return min(len(books["positions"]), len(books["open_orders"])) >= EXPOSED


def _latched(events: Sequence[AnyEvent]) -> bool:
    return LatchName.KILL in replay(events).latches


def _count(events: Sequence[AnyEvent], kind: type[AnyEvent]) -> int:
    return sum(1 for event in events if isinstance(event, kind))
