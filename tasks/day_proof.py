"""Hold a session that is over against its own inputs: the decisions retold, and the day played again."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date

from data.day_inputs import read_day_inputs
from desk.errors import NoBars, NotReady
from desk.hours import previous_session, session_hours
from desk.ports import StrategyRunner
from desk.research.discrepancy import Difference, Recording, Retelling, retell
from schemas.account import Asset, SessionHours
from schemas.events import AnyEvent, SessionStarted
from schemas.settings import Settings
from tasks.code_version import code_version
from tasks.resources import make_strategies, open_ledger, under_own_names, warehouse_path
from tasks.trading import settings_hash


@dataclass(frozen=True, slots=True)
class DayProof:
    """A session held against its inputs."""

    session_date: date
    retelling: Retelling

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Give every difference, decisions first."""
        return self.retelling.differences

    @property
    def troubles(self) -> tuple[Difference, ...]:
        """Give those that somebody must look into."""
        return self.retelling.troubles

    @property
    def words(self) -> str:
        """Say it in one sentence."""
        told = self.retelling
        what = f"{self.session_date}: {told.minutes} minutes with {told.decisions} decisions retold"
        if not self.differences:
            return f"{what}: the same decisions, byte for byte"
        causes = [each.cause.value for each in self.differences]
        tally = ", ".join(f"{causes.count(cause)} {cause}" for cause in dict.fromkeys(causes))
        return f"{what}: {len(causes)} differ: {tally}"


def prove_day(settings: Settings, session_date: date | None) -> DayProof:
    """Retell a session.

    Args:
        settings: whose.
        session_date: which; None for the newest of the ledger.

    Raises:
        NotReady: the ledger has no such session.
        LedgerUnavailable: there is no ledger to read.
        WarehouseError: there is no warehouse to read, or somebody holds it.
        ConfigError: a strategy cannot be made.
    """
    with closing(open_ledger(settings, create=False)) as ledger:
        events = list(ledger.read())
    hours = _session(events, session_date)
    strategies = make_strategies(settings)
    recording = _recording(settings, strategies, events, hours)
    return DayProof(hours.session_date, retell(recording))


def _session(events: Sequence[tuple[int, AnyEvent]], asked: date | None) -> SessionHours:
    """Give the hours of the session asked for.

    Raises:
        NotReady: the ledger has no such session.
    """
    known = [event.session_date for _, event in events if isinstance(event, SessionStarted)]
    if not known:
        raise NotReady("no session is in this ledger yet")
    day = known[-1] if asked is None else asked
    hours = session_hours(day)
    if hours is None or day not in known:
        raise NotReady(f"{day}: no session in this ledger; it has {min(known)} to {max(known)}")
    return hours


def _recording(
    settings: Settings,
    strategies: Sequence[StrategyRunner],
    events: Sequence[tuple[int, AnyEvent]],
    hours: SessionHours,
) -> Recording:
    """Gather what was recorded of a session.

    Raises:
        NoBars: the warehouse has no print of it.
        WarehouseError: it cannot be read.
    """
    symbols = sorted({symbol for strategy in strategies for symbol in strategy.symbols})
    is_warmed = any(strategy.warm_up > 0 for strategy in strategies)
    warm_up = previous_session(hours.session_date) if is_warmed else None
    inputs = read_day_inputs(
        warehouse_path(settings),
        account=settings.account.name,
        symbols=symbols,
        first=warm_up or hours,
        last=hours,
    )
    if inputs.prints.is_empty():
        raise NoBars(f"{warehouse_path(settings)}: no minute bar of {hours.session_date} in it")
    named = under_own_names(settings, strategies)
    started = [e for _, e in events if isinstance(e, SessionStarted) and e.session_date == hours.session_date]
    return Recording(
        events=events,
        prints=inputs.prints,
        said=inputs.said,
        hours=hours,
        warm_up=warm_up,
        settings=named,
        strategies=strategies,
        assets={symbol: _ordinary(symbol) for symbol in symbols},
        settings_differ=_other("settings", {event.settings_hash for event in started}, settings_hash(named)),
        code_differs=_other("version", {event.code_version for event in started}, code_version()),
    )


def _other(what: str, then: set[str], now: str) -> str:
    """Say that the session ran by another version of something; empty where it did not or nobody knows."""
    others = sorted(each for each in then if each not in ("", now))
    return f"the session ran by {what} {', '.join(others)}, this is {now}" if others else ""


def _ordinary(symbol: str) -> Asset:
    """Give a symbol's properties as most have them; the broker's word for it is not kept."""
    return Asset(
        symbol=symbol,
        tradable=True,
        fractionable=True,
        shortable=True,
        marginable=True,
        easy_to_borrow=True,
        status="active",
        exchange="",
    )
