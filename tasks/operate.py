"""What a person does to a running desk: kill, resume, lift a pause, accept a break.

Each is first of all a line in the ledger, appended without the lease, so that it holds whoever runs and
whatever comes after. A running session reads it at its next settle.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches

import polars as pl

from desk.adapters.alpaca_broker import connect_broker
from desk.adapters.alpaca_market import connect_market
from desk.adapters.system_clock import SystemClock
from desk.desk import Desk
from desk.errors import BrokerError, ConfigError, KillIncomplete, LeaseHeld, NotReady
from desk.journal import Journal
from desk.kill import AGAIN, kill, what_may_arrive
from desk.portfolio import Portfolio
from desk.ports import Broker
from schemas.account import BrokerPosition
from schemas.events import (
    AnyEvent,
    BreakResolved,
    KillVerified,
    LatchReleased,
    LatchSet,
    ProtectionLifted,
    TradingStateChanged,
)
from schemas.orders import BrokerOrder
from schemas.risk import Break, LatchName, Pause, TradingState
from schemas.settings import ClockKind, Settings
from tasks.resources import Account, open_account

# A session looks at the latch whenever it settles (at most a minute), and flattening has a minute of rounds.
KILL_WAIT_S = 150.0
_LOOK_S = 1.0
# What a person who resumes must have seen: nobody releases a latch that was set while they decided.
AGAINST_RESUME = frozenset({"latch_set", "trading_state_changed", "break_found"})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the broker shows at one moment; `trouble` is set when it did not answer."""

    orders: tuple[BrokerOrder, ...] = ()
    positions: tuple[BrokerPosition, ...] = ()
    trouble: str | None = None

    @property
    def is_flat(self) -> bool:
        """Tell whether the broker said: nothing open, nothing held."""
        return self.trouble is None and not self.orders and not self.positions

    @property
    def words(self) -> str:
        """Say it in one line."""
        if self.trouble is not None:
            return f"the broker does not answer: {self.trouble}"
        held = ", ".join(f"{p.symbol} {p.qty:f}" for p in self.positions) or "none"
        return f"the broker shows {len(self.orders)} open orders; positions: {held}"


class _Unrecorded:
    """A recorder for a kill: it takes in no bars, so it has nothing to keep."""

    def bars(self, frame: pl.DataFrame) -> None:
        """Keep nothing."""

    def quarantine(self, frame: pl.DataFrame) -> None:
        """Keep nothing."""

    def signals(self, frame: pl.DataFrame) -> None:
        """Keep nothing."""

    def flush(self) -> None:
        """Write nothing."""


def kill_account(
    settings: Settings,
    *,
    cause: str,
    by: str,
    on_latched: Callable[[], None],
    on_look: Callable[[Shown], None],
    wait_s: float = KILL_WAIT_S,
) -> KillVerified:
    """Latch, cancel all at once, and be flat as the broker itself says.

    The latch is written first, even while the broker is away. Without a session this process makes the
    account flat; with one, the session does, and this waits for its word; should the session die
    meanwhile, this process takes over.

    Args:
        settings: whose account.
        cause: why, in words.
        by: who decided it.
        on_latched: told once the latch is on disk; whatever fails afterwards, it holds.
        on_look: told what the broker shows, every second.
        wait_s: how long a running session may take, real seconds.

    Raises:
        KillIncomplete: not verified in time; the latch is set.
        BrokerUnavailable: the broker never answered; the latch is set.
        LedgerUnavailable: not even the latch could be written.
    """
    with open_account(settings) as account:
        latched_at = _latch(account, cause=cause, by=by)
        on_latched()
        broker = connect_broker(settings)
        _cancel_all(broker)
        deadline = time.monotonic() + wait_s
        while True:
            on_look(look(broker))
            try:
                return _kill_here(account, broker, cause=cause, by=by)
            except LeaseHeld as error:
                log.info("the running session makes the account flat", extra={"cause": str(error)})
            verified = _verified_since(account, latched_at)
            if verified is not None and look(broker).is_flat:
                return verified
            if time.monotonic() >= deadline:
                shown = look(broker)
                unanswered = what_may_arrive(folded(account), instant_of(account)) if shown.is_flat else None
                raise KillIncomplete(
                    f"{account.ledger.lease_holder()} did not verify the kill within {wait_s:.0f} s; "
                    f"{unanswered or shown.words}; {AGAIN}"
                )
            time.sleep(_LOOK_S)


def look(broker: Broker) -> Shown:
    """Ask the broker what is open and held; its silence is an answer too."""
    try:
        return Shown(orders=broker.open_orders(), positions=broker.positions())
    except BrokerError as error:
        return Shown(trouble=str(error))


def _latch(account: Account, *, cause: str, by: str) -> int:
    """Write the latch and give its seq."""
    now = instant_of(account)
    return account.ledger.append_as_operator(
        [
            LatchSet(at=now, name=LatchName.KILL, number=Decimal(1), limit=Decimal(0), cause=cause),
            TradingStateChanged(at=now, state=TradingState.HALTED, cause=cause, by=by),
        ]
    )


def _cancel_all(broker: Broker) -> None:
    """Ask once, at once; whether it helped is seen at the broker, not in this answer."""
    try:
        broker.cancel_all()
    except BrokerError as error:
        log.warning("cancel of everything was not confirmed", extra={"cause": str(error)})


def _kill_here(account: Account, broker: Broker, *, cause: str, by: str) -> KillVerified:
    """Take the lease and make the account flat. No strategy is needed, so a broken one is no obstacle.

    Raises:
        LeaseHeld: a session has the account.
        KillIncomplete: the broker still shows something.
    """
    account.ledger.acquire(f"kill switch by {by}")
    try:
        desk = Desk(
            settings=account.settings,
            clock=account.clock,
            broker=broker,
            market=connect_market(account.settings),
            updates=None,
            journal=Journal(account.ledger),
            recorder=_Unrecorded(),
            strategies=(),
        )
        return kill(desk, cause=cause, by=by)
    finally:
        account.ledger.release()


def _verified_since(account: Account, seq: int) -> KillVerified | None:
    return next((e for _, e in account.ledger.read(seq) if isinstance(e, KillVerified)), None)


# ---- resume -------------------------------------------------------------------------------------


def resume(
    settings: Settings,
    *,
    by: str,
    cause: str,
    choose: Callable[[Sequence[LatchName]], Sequence[LatchName]],
) -> tuple[tuple[LatchName, ...], TradingState]:
    """Release latches and, when none is left, return to ACTIVE; give what was released and the state.

    Args:
        settings: whose account.
        by: who decides it; kept in the ledger.
        cause: why.
        choose: picks among the set latches; called only when there is one.

    Raises:
        NotReady: breaks are open; they come first.
        ConfigError: nothing is latched and the desk is active already.
        Overtaken: a latch, state or break came meanwhile, which nobody has seen; nothing was released.
        LedgerUnavailable: nothing was written.
    """
    with open_account(settings) as account:
        seen = account.ledger.last_seq()  # before the fold: what comes between is looked at as well
        portfolio = folded(account)
        if portfolio.breaks:
            raise NotReady(
                f"{len(portfolio.breaks)} open breaks: undo them at the broker or accept them "
                "(`desk breaks --accept`), then resume"
            )
        if not portfolio.latches and portfolio.trading_state is TradingState.ACTIVE:
            raise ConfigError("nothing is latched and the trading state is ACTIVE: nothing to resume")
        chosen = tuple(choose(tuple(portfolio.latches))) if portfolio.latches else ()
        strange = [name for name in chosen if name not in portfolio.latches]
        if strange:
            raise ConfigError(f"latch {strange[0].value} is not set; set: {_named(portfolio.latches)}")
        now = instant_of(account)
        events: list[AnyEvent] = [LatchReleased(at=now, name=name, by=by, cause=cause) for name in chosen]
        is_free = set(chosen) == set(portfolio.latches)
        if is_free:
            events.append(TradingStateChanged(at=now, state=TradingState.ACTIVE, cause=cause, by=by))
        if events:
            account.ledger.append_as_operator(events, seen=seen, unless=AGAINST_RESUME)
        return chosen, TradingState.ACTIVE if is_free else portfolio.trading_state


def lift(settings: Settings, *, by: str, cause: str, names: Sequence[str]) -> tuple[Pause, ...]:
    """End the pauses of protections before their time; give those that ended. Latches stay as they are.

    Args:
        settings: whose account.
        by: who decides it; kept in the ledger.
        cause: why.
        names: the protections, as the settings name them.

    Raises:
        ConfigError: one of them pauses nothing.
        LedgerUnavailable: nothing was written.
    """
    with open_account(settings) as account:
        now = instant_of(account)
        pauses = [pause for pause in folded(account).risk.pauses.values() if pause.until > now]
        strange = [name for name in names if name not in {pause.protection for pause in pauses}]
        if strange:
            set_now = ", ".join(sorted({pause.protection for pause in pauses})) or "none"
            raise ConfigError(f"protection {strange[0]} pauses nothing; pausing now: {set_now}")
        chosen = tuple(pause for pause in pauses if pause.protection in names)
        account.ledger.append_as_operator(
            [
                ProtectionLifted(at=now, protection=pause.protection, key=pause.key, by=by, cause=cause)
                for pause in chosen
            ]
        )
        return chosen


def _named(names: Iterable[LatchName]) -> str:
    return ", ".join(name.value for name in names) or "none"


# ---- breaks -------------------------------------------------------------------------------------


def open_breaks(settings: Settings) -> tuple[Break, ...]:
    """Give the open breaks, oldest first.

    Raises:
        LedgerUnavailable: the ledger cannot be read.
    """
    with open_account(settings) as account:
        return tuple(folded(account).breaks.values())


def accept_breaks(settings: Settings, *, wanted: str, by: str, cause: str) -> tuple[Break, ...]:
    """Record that a person accepts a break, or all; the next reconcile books it. Give which.

    Raises:
        ConfigError: no open break has this id.
        LedgerUnavailable: nothing was written.
    """
    with open_account(settings) as account:
        breaks = folded(account).breaks
        chosen = tuple(breaks.values()) if wanted == "all" else (_break(breaks, wanted),)
        if not chosen:
            raise ConfigError("no break is open: nothing to accept")
        now = instant_of(account)
        account.ledger.append_as_operator(
            [
                BreakResolved(at=now, break_id=item.break_id, how="accepted", by=by, cause=cause)
                for item in chosen
            ]
        )
        return chosen


def _break(breaks: dict[str, Break], wanted: str) -> Break:
    found = breaks.get(wanted)
    if found is not None:
        return found
    close = get_close_matches(wanted, breaks, n=1)
    hint = f"did you mean {close[0]}?" if close else f"open: {', '.join(breaks) or 'none'}"
    raise ConfigError(f"no open break {wanted!r}; {hint}")


# ---- shared -------------------------------------------------------------------------------------


def folded(account: Account) -> Portfolio:
    """Fold the account's ledger."""
    portfolio = Portfolio()
    for _, event in account.ledger.read():
        portfolio.apply(event)
    return portfolio


def instant_of(account: Account) -> datetime:
    """Give the instant by the desk's clock; when the venue that owns it is away, the newest event's.

    A person's decision must be written also while the broker is away.
    """
    try:
        return account.clock.now()
    except BrokerError as error:
        log.warning("the venue's clock does not answer", extra={"cause": str(error)})
    assert account.settings.broker.clock is ClockKind.VENUE, "this machine's clock always answers"
    newest = None
    for _, event in account.ledger.read():
        newest = event.at
    return newest if newest is not None else SystemClock().now()
