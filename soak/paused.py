"""Two sessions of one account, one of them paused past its lease and woken while the other trades (I12).

Two sessions are started together; one of them trades. It is stopped (SIGSTOP) in the middle of a minute,
right after an order of it reached the exchange, for longer than its lease and its claim of the day live.
Starts meanwhile are what a scheduler would do. The one that gets the account trades; then the first is woken
(SIGCONT) while it does. Every order at the exchange must be in the ledger under the token of the session that
had the account then, and the woken one must end without another order, saying why.
"""

import os
import signal
import sqlite3
import time
from contextlib import ExitStack, closing
from datetime import datetime
from typing import Any

from cli.processes import Child
from data.claims import CLAIM_TTL
from data.lease import LEASE_TTL
from soak.crash import START_PATIENCE_S, differences
from soak.stage import SoakDay, trades_again, until
from soak.story import ORDERS_PATIENCE_S, Story, ending, has_sent, venue_time
from tasks.configuration import load_settings
from tasks.store import ledger_path

TRADED = 10  # orders a session must have sent before anything is done to it
MARGIN_S = 5.0  # real seconds past a lease's and a claim's end
STOP_SOON_S = 30.0  # a woken session looks at its lease at its next settle


def two_sessions(day: SoakDay) -> Story:
    """Play the paused session that wakes up late."""
    story = Story("two sessions of one account, one of them paused")
    with ExitStack() as stack:
        pair = [stack.enter_context(day.start_session(name)) for name in ("session-1", "session-2")]
        if not story.hold(has_sent(day, TRADED), f"no {TRADED} orders in {ORDERS_PATIENCE_S:.0f} s"):
            return story
        first = next((one for one in pair if one.pid == _lease(day)["pid"]), pair[0])
        other = next(one for one in pair if one is not first)
        story.hold(until(lambda: not other.is_running(), patience_s=START_PATIENCE_S), "both of them run")
        story.saw("started together", f"{first.name} trades; {other.name} ended with {ending(other)}")

        stopped_at = _stop_in_mid_minute(day, first)
        paused = time.monotonic()
        story.saw(
            "paused", f"{first.name} at {stopped_at:%H:%M:%S} UTC of the venue; it is {_lease(day)['holder']}"
        )
        second = stack.enter_context(_taken_over(day, story, stack, paused))
        if not story.hold(
            has_sent(day, len(day.venue_orders()) + TRADED), f"{second.name} sent nothing after its start"
        ):
            return story
        _wake(day, story, first, paused)
        story.hold(
            has_sent(day, len(day.venue_orders()) + TRADED), f"{second.name} sent nothing after the wake"
        )
        story.hold(second.is_running(), f"{second.name} ended with {ending(second)}")
        story.wrong += differences(day)
        orders = day.venue_orders()  # before the tokens: what is sent is in the ledger first
        attribute(story, orders, _tokens(day), stopped_at=stopped_at)
    return story


def _taken_over(day: SoakDay, story: Story, stack: ExitStack, paused: float) -> Child:
    """Start sessions as a scheduler would until one trades, and give it."""
    before, orders = day.starts(), len(day.venue_orders())
    time.sleep(max(0.0, paused + LEASE_TTL.total_seconds() + MARGIN_S - time.monotonic()))
    early = stack.enter_context(day.start_session("session-3"))
    until(lambda: not early.is_running(), patience_s=START_PATIENCE_S)
    story.saw("started past its lease", f"{early.name} ended with {ending(early)}")
    time.sleep(max(0.0, paused + CLAIM_TTL.total_seconds() + MARGIN_S - time.monotonic()))
    story.hold(len(day.venue_orders()) == orders, "an order was sent while everybody was out")
    late = day.start_session("session-4")
    is_back = trades_again(day, late, before=before, patience_s=START_PATIENCE_S)
    story.hold(is_back, f"{late.name} does not trade: {late.last_words(1)}")
    story.saw("started past its claim", f"{late.name} trades; it is {_lease(day)['holder']}")
    return late


def _wake(day: SoakDay, story: Story, first: Child, paused: float) -> None:
    """Let the paused one go on, and see it end."""
    asleep_s = time.monotonic() - paused
    woken = time.monotonic()
    os.kill(first.pid, signal.SIGCONT)
    ended = until(lambda: not first.is_running(), patience_s=STOP_SOON_S)
    story.hold(ended, f"{first.name} still runs {STOP_SOON_S:.0f} s after it was woken")
    story.hold(first.exit_code != 0, f"{first.name} says that all was well")
    story.saw(
        "woken",
        f"{first.name} after {asleep_s:.0f} s (a lease lives {LEASE_TTL.total_seconds():.0f} s); "
        f"ended {time.monotonic() - woken:.1f} s later with {ending(first)}",
    )


def _stop_in_mid_minute(day: SoakDay, child: Child) -> datetime:
    """Stop a process right after an order of it reached the exchange; give the venue's time then."""
    before = len(day.venue_orders())
    deadline = time.monotonic() + ORDERS_PATIENCE_S
    while len(day.venue_orders()) == before and time.monotonic() < deadline:
        continue  # no sleep: the rest of the minute's orders follows within milliseconds
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(1.0)  # what was on the wire arrives
    return venue_time(day)


def attribute(
    story: Story, orders: list[dict[str, Any]], tokens: dict[str, int], *, stopped_at: datetime
) -> None:
    """Say which session each order at the exchange is from, by the token it was written ahead under."""
    by_token: dict[int, list[datetime]] = {}
    for order in orders:
        token = tokens.get(order["client_order_id"])
        if story.hold(token is not None, f"{order['client_order_id']} is not in the ledger"):
            assert token is not None
            by_token.setdefault(token, []).append(datetime.fromisoformat(order["at"]))
    story.hold(len(by_token) == 2, f"orders of {len(by_token)} sessions, not of two")
    old = min(by_token, default=0)
    for token, sent in sorted(by_token.items()):
        story.saw(
            f"orders under token {token}", f"{len(sent)}, from {min(sent):%H:%M:%S} to {max(sent):%H:%M:%S}"
        )
    late = [at for at in by_token.get(old, ()) if at > stopped_at]
    story.hold(not late, f"{len(late)} orders of the paused session after it was stopped")
    early = [at for token, sent in by_token.items() if token != old for at in sent if at <= stopped_at]
    story.hold(not early, f"{len(early)} orders of the new session before it was started")
    meant = sum(1 for token in tokens.values() if token == old)
    story.saw("written ahead, not sent", f"{meant - len(by_token.get(old, ()))} of the paused session")


def _lease(day: SoakDay) -> dict[str, Any]:
    """Give who has the account."""
    (row,) = _rows(day, "SELECT holder, pid, token FROM leases")
    return row


def _tokens(day: SoakDay) -> dict[str, int]:
    """Give the token each order was written ahead under, by client order id."""
    query = (
        "SELECT json_extract(body, '$.intent.client_order_id') AS id, token "
        "FROM events WHERE kind = 'order_planned'"
    )
    return {row["id"]: row["token"] for row in _rows(day, query)}


def _rows(day: SoakDay, query: str) -> list[dict[str, Any]]:
    """Read the ledger's file as it is: the desk's own reader does not tell tokens."""
    place = ledger_path(load_settings(day.config))
    with closing(sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]
