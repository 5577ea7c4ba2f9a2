"""Put a question to this account's ledger: opened to read, without lease, closed again at once."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from data.day_bars import read_day_bars
from desk.errors import NoBars, WarehouseBusy
from desk.hours import new_york
from schemas.events import AnyEvent
from schemas.orders import OrderState
from schemas.settings import Settings
from tasks.inquiry import LogLine, OrderRow, Standing, log_lines, order_rows, standing
from tasks.proof import Proof, prove
from tasks.resources import open_ledger
from tasks.store import warehouse_path
from tasks.story import Story, tell

SPOOL_FOLDER = "spool"
FOLLOW_LOOK_S = 0.5  # a follower is a person; the ledger is asked twice a second


@dataclass(frozen=True, slots=True)
class DeskStatus:
    """How the desk stands, and what its ledger alone does not say."""

    account: str
    mode: str
    lease_holder: str | None  # None: no session has the account
    standing: Standing
    backlog_words: str  # what waits in the spool for the warehouse


def desk_status(settings: Settings) -> DeskStatus:
    """Give the desk's standing, who has the account, and what waits for the warehouse.

    Raises:
        LedgerUnavailable: there is no ledger yet, or it cannot be read.
    """
    with closing(open_ledger(settings, create=False)) as ledger:
        return DeskStatus(
            account=settings.account.name,
            mode=settings.account.mode.value,
            lease_holder=ledger.lease_holder(),
            standing=standing(ledger.read()),
            backlog_words=backlog_words(settings),
        )


def standing_now(settings: Settings) -> Standing:
    """Give the desk's standing.

    Raises:
        LedgerUnavailable: there is no ledger yet, or it cannot be read.
    """
    with closing(open_ledger(settings, create=False)) as ledger:
        return standing(ledger.read())


def orders_now(
    settings: Settings,
    *,
    session_date: date | None = None,
    symbol: str | None = None,
    state: OrderState | None = None,
) -> tuple[OrderRow, ...]:
    """Give a session's orders; None for the newest session's.

    Raises:
        LedgerUnavailable: there is no ledger yet, or it cannot be read.
    """
    with closing(open_ledger(settings, create=False)) as ledger:
        return order_rows(ledger.read(), session_date=session_date, symbol=symbol, state=state)


def explain(settings: Settings, wanted: str) -> Story:
    """Tell an order's or a denied intent's story.

    Raises:
        ConfigError: the ledger has no such id.
        LedgerUnavailable: there is no ledger yet, or it cannot be read.
    """
    with closing(open_ledger(settings, create=False)) as ledger:
        return tell(ledger.read(), wanted)


def verify_replay(settings: Settings) -> Proof:
    """Replay the ledger from empty and compare with what the sessions recorded.

    Raises:
        IllegalTransition: the events are not a ledger this desk wrote.
        LedgerUnavailable: there is no ledger yet, or it cannot be read.
    """
    with closing(open_ledger(settings, create=False)) as ledger:
        return prove(ledger.read())


def recent_lines(
    settings: Settings, *, after_seq: int | None, last: int, kinds: frozenset[str]
) -> list[LogLine]:
    """Give the last events, or all after a seq.

    Args:
        settings: whose.
        after_seq: only events after it; None for the last ones.
        last: how many, when `after_seq` is None.
        kinds: only these kinds; empty for all.

    Raises:
        LedgerUnavailable: there is no ledger yet, or it cannot be read.
    """
    with closing(open_ledger(settings, create=False)) as ledger:
        lines = log_lines(ledger.read(after_seq or 0), kinds=kinds)
    return lines if after_seq is not None else lines[-last:]


def follow_lines(settings: Settings, *, after_seq: int, kinds: frozenset[str]) -> Iterator[LogLine]:
    """Give events as they are written, until the caller stops asking.

    Raises:
        LedgerUnavailable: there is no ledger yet, or it cannot be read.
    """
    with closing(open_ledger(settings, create=False)) as ledger:
        while True:
            news: list[tuple[int, AnyEvent]] = list(ledger.read(after_seq))
            yield from log_lines(news, kinds=kinds)
            after_seq = news[-1][0] if news else after_seq
            time.sleep(FOLLOW_LOOK_S)


def backlog_words(settings: Settings) -> str:
    """Say what waits in the spool for the warehouse."""
    files = [path for path in sorted((settings.store / SPOOL_FOLDER).rglob("*")) if path.is_file()]
    if not files:
        return "up to date: nothing waits in the spool"
    kilobytes = sum(path.stat().st_size for path in files) / 1000
    return f"{len(files)} files ({kilobytes:,.0f} kB) wait in the spool; the next free moment takes them in"


def session_date_of(settings: Settings, asked: date | None) -> date:
    """Give the date asked for, else the newest session's of the ledger.

    Raises:
        LedgerUnavailable: there is no ledger yet, or it cannot be read.
        NoBars: the ledger has no session.
    """
    if asked is not None:
        return asked
    found = standing_now(settings).session_date
    if found is None:
        raise NoBars(f"{settings.store}: no session is in this ledger yet; name a date with --date")
    return found


def bar_of(settings: Settings, *, symbol: str, ts: datetime) -> str:
    """Say a bar as the warehouse has it, or why it cannot be said."""
    try:
        frame = read_day_bars(warehouse_path(settings), new_york(ts).date()).bars
    except WarehouseBusy as error:
        return f"not readable now: {error}"
    found = frame.filter((pl.col("symbol") == symbol) & (pl.col("ts") == ts)).to_dicts()
    if not found:
        return "not in the warehouse"
    row = found[0]
    return (
        f"open {row['open']:.2f} high {row['high']:.2f} low {row['low']:.2f} close {row['close']:.2f} "
        f"volume {row['volume']:,}"
    )
