"""Kill -9 the real session process, again and again, and hold the books against the exchange each time.

`python -m soak crash --kills 100`: accelerated days on the HTTP exchange with faults on, a Prefect server,
the SQLite ledger, the DuckDB warehouse. A session process is killed at a random moment, in recovery too,
and the next is started at once. When that one trades again, and at the day's end:

- no client order id is at the exchange twice, and none that the ledger does not have (I1, I2);
- no execution is booked twice, and none the exchange made before the kill is missing (I3);
- no break of the books is open that no person made (I9);
- it traded again within 15 s of the kill.

At the end of each day the last session runs to the close, `desk close-day` closes it, and positions, cash and
the replayed state are compared (`tasks.verification`).
"""

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cli.platform import Platform, PlatformPlace
from schemas.events import (
    AnyEvent,
    BreakFound,
    BreakResolved,
    FillRecorded,
    OrderPlanned,
    SessionEnded,
    SessionStarted,
)
from soak.stage import SoakDay, kill, open_day, trades_again, until
from tasks.verification import verify_day

DAYS = (date(2025, 11, 19), date(2025, 11, 20), date(2025, 11, 21), date(2025, 11, 24), date(2025, 11, 25))
SYMBOLS = ("AAPL", "MSFT", "NVDA", "SPY", "QQQ", "XOM", "JPM", "AMZN")
BACK_WITHIN_S = 15.0
START_PATIENCE_S = 60.0
A_DAY_MAX = 18  # the desk itself refuses the 21st start of one session date (tasks/occasion.py)
LIVES_S = (0.2, 9.0)  # how long a session lives before it is killed, real seconds
IN_RECOVERY_FRAC = 0.2  # share of the kills that come before the session trades
RECOVERS_S = (0.5, 4.0)  # an idle machine is done with its start after 2 s, a busy one after 6
LAST_MINUTES = timedelta(minutes=25)  # of the venue's time: the last session of a day is left alone
LAG = timedelta(seconds=60)  # venue time: what was executed this shortly before may be on its way still
CLOSE_PATIENCE_S = 180.0


@dataclass
class Findings:
    """What was seen over all days."""

    kills: int = 0
    in_recovery: int = 0
    back_s: list[float] = field(default_factory=list)
    orders: int = 0
    fills: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def run(
    *, kills: int, seed: int, pace: float, faults: Path | None, folder: Path, console: Console
) -> Findings:
    """Kill sessions over as many days as it takes; give what was found."""
    chance = random.Random(seed)
    found = Findings()
    place = PlatformPlace(home=folder / "prefect", logs=folder / "logs", config=folder / "desk.yaml")
    place.config.write_text("{}\n", encoding="utf-8")
    with Platform(place) as platform, Progress(console=console) as progress:
        bar = progress.add_task("kills", total=kills)
        platform.start_server()
        number = 0
        while found.kills < kills:
            day = open_day(
                platform,
                folder / f"day-{number}",
                session_date=DAYS[number % len(DAYS)],
                symbols=SYMBOLS,
                seed=seed + number,
                pace=pace,
                faults=faults,
            )
            try:
                for _ in _kills(day, found, chance, most=min(kills - found.kills, A_DAY_MAX)):
                    progress.update(bar, completed=found.kills, description=f"day {number + 1}, kills")
                _finish(day, found)
            finally:
                day.exchange.stop()
            number += 1
    return found


def _kills(day: SoakDay, found: Findings, chance: random.Random, *, most: int) -> Iterator[None]:
    """Start and kill sessions until the day is nearly over; yields after each kill."""
    killed_at: float | None = None
    for _ in range(most):
        if _is_late(day):
            return
        before = day.starts()
        child = day.start_session()
        if chance.random() < IN_RECOVERY_FRAC:
            time.sleep(chance.uniform(*RECOVERS_S))
            if day.starts() == before:
                found.in_recovery += 1
        else:
            if not trades_again(day, child, before=before, patience_s=START_PATIENCE_S):
                if child.exit_code == 0 and reached_close(day.events(), _closes_at(day)):
                    return
                found.wrong.append(f"no session within {START_PATIENCE_S:.0f} s: {child.last_words(3)}")
                child.stop(patience_s=1.0)
                return
            if killed_at is not None:
                found.back_s.append(time.monotonic() - killed_at)
                found.wrong += differences(day)
            time.sleep(chance.uniform(*LIVES_S))
        if not child.is_running():
            if child.exit_code == 0 and reached_close(day.events(), _closes_at(day)):
                return
            found.wrong.append(f"the session ended by itself: {child.last_words(3)}")
        kill(child)
        killed_at = time.monotonic() if killed_at is None or day.starts() > before else killed_at
        found.kills += 1
        yield


def differences(day: SoakDay) -> list[str]:
    """Hold ledger and exchange against each other while the session trades; give what is wrong."""
    now = datetime.fromisoformat(day.get("/sim/state")["now"])
    executed = {
        row["execution_id"]: row
        for row in day.get("/sim/fills")
        if datetime.fromisoformat(row["at"]) < now - LAG
    }
    orders = day.venue_orders()
    time.sleep(1.0)  # what the exchange said is older than what the ledger says now
    events = day.events()
    return list(_mistakes(events, orders, set(executed)))


def _mistakes(events: list[AnyEvent], orders: list[dict[str, str]], executed: set[str]) -> Iterator[str]:
    planned = [event.intent.client_order_id for event in events if isinstance(event, OrderPlanned)]
    at_venue = [order["client_order_id"] for order in orders if order["source"] != "manual"]
    booked = [event.fill.execution_id for event in events if isinstance(event, FillRecorded)]
    for name, ids in (("planned", planned), ("at the exchange", at_venue), ("booked", booked)):
        yield from (f"{one} is {name} {times} times" for one, times in Counter(ids).items() if times > 1)
    yield from (f"{one} is at the exchange and not in the ledger" for one in set(at_venue) - set(planned))
    yield from (f"execution {one} is not booked" for one in executed - set(booked))
    open_breaks = {event.found.break_id: event.found for event in events if isinstance(event, BreakFound)}
    for event in events:
        if isinstance(event, BreakResolved):
            open_breaks.pop(event.break_id, None)
    yield from (f"break {one.kind} {one.key}: {one.detail}" for one in open_breaks.values())


def _finish(day: SoakDay, found: Findings) -> None:
    """Let the last session reach the close, close the day, compare everything."""
    child = day.start_session()
    until(lambda: not child.is_running(), patience_s=LAST_MINUTES.total_seconds())
    if child.exit_code != 0:
        found.wrong.append(
            f"{day.session_date}: the last session ended {child.exit_code}: {child.last_words(3)}"
        )
    child.stop(patience_s=5.0)
    code = day.close(patience_s=CLOSE_PATIENCE_S)
    if code != 0:
        found.wrong.append(f"{day.session_date}: close-day ended {code}")
    facts = verify_day(day.config, day.session_date, day.exchange.books())
    found.wrong += [f"{day.session_date}: {words}" for words in facts.differences]
    if not facts.replay_equal:
        found.wrong.append(f"{day.session_date}: the replayed state differs")
    executed = {row["execution_id"] for row in day.get("/sim/fills")}
    found.wrong += _mistakes(day.events(), day.venue_orders(), executed)
    found.orders += facts.orders
    found.fills += facts.fills
    if day.has_faults:
        found.faults.update(day.get("/sim/faults")["counts"])


def _is_late(day: SoakDay) -> bool:
    now = datetime.fromisoformat(day.get("/sim/state")["now"])
    return now > _closes_at(day) - LAST_MINUTES


def _closes_at(day: SoakDay) -> datetime:
    return datetime.fromisoformat(day.get("/sim/state")["closes_at"])


def reached_close(events: Sequence[AnyEvent], closes_at: datetime) -> bool:
    """Tell whether the newest session says that it ended, at the close or later.

    On a busy machine a start takes venue minutes, so a session may end with its day while it is to be killed.
    One that ended before the bell, or never began, is no such end however late it is looked at.
    """
    newest = next((one for one in reversed(events) if isinstance(one, SessionStarted | SessionEnded)), None)
    return isinstance(newest, SessionEnded) and newest.at >= closes_at


def show(found: Findings, console: Console) -> None:
    """Print what was found."""
    back = sorted(found.back_s)
    table = Table("", "", title="kill -9 soak", title_justify="left", show_header=False)
    table.add_row("kills", f"{found.kills}, of them {found.in_recovery} before the session traded")
    if back:
        at = back[len(back) * 99 // 100]
        median = back[len(back) // 2]
        table.add_row("trading again", f"median {median:.1f} s, p99 {at:.1f} s, longest {back[-1]:.1f} s")
    table.add_row("orders, fills", f"{found.orders}, {found.fills}")
    table.add_row(
        "faults", ", ".join(f"{kind} {count}" for kind, count in found.faults.most_common()) or "none"
    )
    table.add_row("wrong", "\n".join(found.wrong) or "nothing")
    console.print(table)


def is_good(found: Findings) -> bool:
    """Tell whether nothing was wrong and every session was back in time."""
    return not found.wrong and all(seconds < BACK_WITHIN_S for seconds in found.back_s)
