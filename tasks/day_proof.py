"""Hold a session that is over against its own inputs: the decisions retold, and the day played again.

Retelling (desk/research/discrepancy.py) asks whether the recorded decisions follow from what was known.
Playing asks whether a backtest of the day, by the settings of the session and the simulated exchange's rules,
gives the fills the desk got. A day that began with holdings is retold and not played: a backtest begins flat.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from data.day_inputs import read_day_inputs
from desk.errors import NoBars, NotReady
from desk.hours import session_hours
from desk.portfolio import replay
from desk.ports import StrategyRunner
from desk.research.discrepancy import TROUBLES, Difference, Retelling, retell
from desk.research.engine import Plan, Played, play
from desk.research.recording import Recording
from desk.research.reel import Reel
from desk.research.same_fills import compare_fills
from desk.research.witness import Broken, said_of
from desk.warm_up import warm_up_sessions
from schemas.account import Asset, SessionHours
from schemas.events import AnyEvent, FillRecorded, MinuteClosed, SessionEnded, SessionStarted
from schemas.research import ALPACA_COSTS
from schemas.settings import Settings
from tasks.code_version import code_version
from tasks.resources import make_strategies, open_ledger, under_own_names
from tasks.settings_hash import settings_hash
from tasks.store import warehouse_path
from tasks.unheard import unheard


@dataclass(frozen=True, slots=True)
class DayProof:
    """A session held against its inputs."""

    session_date: date
    retelling: Retelling
    fills: int  # recorded
    played: tuple[Difference, ...] | None  # orders whose fills differ; None: the day was not played
    unplayed_why: str = ""

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Give every difference, decisions first."""
        return self.retelling.differences + (self.played or ())

    @property
    def troubles(self) -> tuple[Difference, ...]:
        """Give those that somebody must look into."""
        return tuple(each for each in self.differences if each.cause in TROUBLES)

    @property
    def words(self) -> str:
        """Say it in one sentence."""
        told = self.retelling
        decisions = f"{told.decisions} decisions of {told.minutes} minutes retold"
        same = "the same to the last byte" if not told.differences else tally(told.differences)
        if self.played is None:
            return f"{self.session_date}: {decisions}: {same}; not played again: {self.unplayed_why}"
        fills = "the same fills" if not self.played else tally(self.played)
        return f"{self.session_date}: {decisions}: {same}; played again, {self.fills} fills: {fills}"


def tally(differences: Sequence[Difference]) -> str:
    """Count differences by cause, in words."""
    causes = [each.cause.value for each in differences]
    found = ", ".join(f"{cause} {causes.count(cause)}" for cause in dict.fromkeys(causes))
    return f"{len(causes)} differ ({found})"


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
    with unheard():
        retelling = retell(recording)
    mine = _of_session(events, hours.session_date)
    fills = len({event.fill.execution_id for _, event in mine if isinstance(event, FillRecorded)})
    first = mine[0][0]
    held = replay(event for seq, event in events if seq < first).holdings()
    if held:
        why = f"it began with {', '.join(sorted(symbol for _, symbol in held))} held"
        return DayProof(hours.session_date, retelling, fills, None, why)
    day = [event for _, event in mine]
    over_at = max(
        event.at for event in day if isinstance(event, MinuteClosed | SessionStarted | SessionEnded)
    )
    try:
        with unheard():
            played = _played(recording, day, by=over_at)
    except Broken as error:
        return DayProof(hours.session_date, retelling, fills, None, f"a strategy cannot be asked: {error}")
    found = compare_fills(
        day,
        played.fills,
        hours.session_date,
        decisions=retelling.differences,
        moved=recording.moved(over_at),
    )
    return DayProof(hours.session_date, retelling, fills, found)


def _of_session(events: Sequence[tuple[int, AnyEvent]], session_date: date) -> Sequence[tuple[int, AnyEvent]]:
    """Give the events from a session's start to the start of the next, or the ledger's end."""
    starts = [place for place, (_, event) in enumerate(events) if isinstance(event, SessionStarted)]
    mine = [place for place in starts if _date_of(events[place][1]) == session_date]
    after = [place for place in starts if place > mine[-1]]
    return events[mine[0] : after[0] if after else len(events)]


def _date_of(event: AnyEvent) -> date | None:
    return event.session_date if isinstance(event, SessionStarted) else None


def _played(recording: Recording, day: Sequence[AnyEvent], *, by: datetime) -> Played:
    """Play the session again by the exact engine, with the settings it ran by and the exchange's costs.

    Args:
        recording: what is known of it.
        day: its events.
        by: the bars are those known then.

    Raises:
        Broken: a strategy raised or broke the contract.
    """
    bars, hours = recording.bars_by(by), recording.hours
    cash = next(event.equity for event in day if isinstance(event, SessionStarted))
    is_todays = (pl.col("ts") >= hours.opens_at) & (pl.col("ts") < hours.closes_at)
    said = {
        strategy.name: said_of(strategy, _shown(bars, strategy)).filter(is_todays).sort("symbol", "ts")
        for strategy in recording.strategies
    }
    return play(
        Plan(
            settings=recording.settings,
            reel=Reel(bars.filter(is_todays)),
            said=said,
            strategies=recording.strategies,
            cash=cash,
            costs=ALPACA_COSTS,
        )
    )


def _shown(bars: pl.DataFrame, strategy: StrategyRunner) -> pl.DataFrame:
    return bars.filter(pl.col("symbol").is_in(list(strategy.symbols)))


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
    needed = max((strategy.warm_up for strategy in strategies), default=0)
    warm_up = warm_up_sessions(needed, hours.session_date)
    inputs = read_day_inputs(
        warehouse_path(settings),
        account=settings.account.name,
        symbols=symbols,
        first=(*warm_up, hours)[0],
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
