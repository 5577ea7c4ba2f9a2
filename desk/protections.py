"""Protections (R4): entries pause by themselves after what usually comes before worse.

Theory of operation. `due` is pure: the settings, what the ledger remembers (desk/risk_memory.py) and the
instant give the pauses that begin now. `protect_entries` records them. It is asked between the minutes and
once more before a minute's intents are judged, so a fill of this minute counts for the entries of this
minute. The gate refuses entries in a paused scope (PROTECTION); exits always pass.

The four kinds and their meaning follow freqtrade's protections
(https://www.freqtrade.io/en/stable/plugins/#protections), said for an account in USD:

- stop_guard: so many positions were left at a loss by their stop (resting at the broker, or sent by the
  desk in its place) within a time.
- max_drawdown: equity is so far under its highest within a time. freqtrade adds up closed trades, or with
  `calculation_mode: equity` takes the balance; here it is the equity of our books at each minute, which
  has open positions in it. Of the account only, as there.
- cool_down: one closed trade lost so much, fees included. freqtrade's pauses a pair after every exit; ours
  only after a large loss.
- low_profit: the closed trades of a symbol (or strategy, or all) within a time, at least so many,
  together earned less than required.

A pause runs from what caused it, not from when it was noticed: until the newest trade's close plus the
pause, as in freqtrade, so a restart neither lengthens nor forgets it. What led to a pause leads to no
other, whether it ran out or a person lifted it; what happens during one counts, and may lengthen it.
Trades by hand (EXTERNAL) count for nothing.

Left out: the latches, which only a person ends (desk/losses.py).
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import assert_never

from desk.desk import Desk
from desk.money import FRACTION_STEP, ZERO, plain, usd
from desk.risk_memory import ClosedTrade, High, RiskMemory
from schemas.events import ProtectionSet
from schemas.protections import CoolDown, LowProfit, MaxDrawdown, Protection, StopGuard
from schemas.risk import ProtectionScope

log = logging.getLogger(__name__)


def protect_entries(desk: Desk) -> None:
    """Record the pauses that begin now."""
    for event in due(desk.settings.protections, desk.portfolio.risk, now=desk.now()):
        log.warning(
            "entries paused",
            extra={"protection": event.protection, "key": event.key, "until": event.until.isoformat()},
        )
        desk.journal.record(event)


def due(protections: Sequence[Protection], memory: RiskMemory, *, now: datetime) -> tuple[ProtectionSet, ...]:
    """Give the pauses that begin now, in the order of the settings.

    Args:
        protections: the settings.
        memory: what the ledger remembers.
        now: the instant; a pause that would be over by now does not begin.
    """
    return tuple(event for each in protections for event in _due(each, memory, now) if event.until > now)


def highest(protection: MaxDrawdown, memory: RiskMemory, *, now: datetime) -> Decimal:
    """Give the equity, USD, that a fall is measured from at an instant; 0 where none is remembered."""
    return next((high.equity for high in _highs(protection, memory, now=now)), ZERO)


def _due(protection: Protection, memory: RiskMemory, now: datetime) -> Iterator[ProtectionSet]:
    match protection:
        case MaxDrawdown():
            yield from _drawdown(protection, memory, now)
        case StopGuard():
            since = now - timedelta(minutes=protection.within_minutes)
            for key, trades in _fresh(protection, memory, since):
                yield from _stops(protection, key, [trade for trade in trades if trade.stopped], now)
        case CoolDown():
            since = now - timedelta(minutes=protection.pause_minutes)
            for key, trades in _fresh(protection, memory, since):
                yield from _loss(protection, key, trades, now)
        case LowProfit():
            since = now - timedelta(minutes=protection.within_minutes)
            for key, trades in _fresh(protection, memory, since):
                yield from _profit(protection, key, trades, now)
        case _:
            assert_never(protection)


def _fresh(
    protection: StopGuard | CoolDown | LowProfit, memory: RiskMemory, since: datetime
) -> list[tuple[str, list[ClosedTrade]]]:
    """Give the trades closed after an instant that led to no pause yet, by the scope's key."""
    by_key: dict[str, list[ClosedTrade]] = {}
    for trade in memory.trades:
        key = _key(protection.scope, trade)
        spent = memory.spent.get((protection.called, key))
        if trade.closed_at > since and (spent is None or trade.number > spent.trades):
            by_key.setdefault(key, []).append(trade)
    return sorted(by_key.items())


def _key(scope: ProtectionScope, trade: ClosedTrade) -> str:
    match scope:
        case ProtectionScope.GLOBAL:
            return ""
        case ProtectionScope.STRATEGY:
            return trade.strategy
        case ProtectionScope.SYMBOL:
            return trade.symbol
        case _:
            assert_never(scope)


def _stops(
    protection: StopGuard, key: str, stopped: Sequence[ClosedTrade], now: datetime
) -> Iterator[ProtectionSet]:
    if len(stopped) < protection.stops:
        return
    cause = (
        f"{len(stopped)} losing stop exits within {protection.within_minutes} minutes reached "
        f"{protection.stops}, together {usd(_pnl(stopped))} USD"
    )
    yield _pause(
        protection, key, stopped, number=Decimal(len(stopped)), limit=protection.stops, cause=cause, now=now
    )


def _loss(
    protection: CoolDown, key: str, trades: Sequence[ClosedTrade], now: datetime
) -> Iterator[ProtectionSet]:
    heavy = [trade for trade in trades if -trade.pnl >= protection.loss_usd]
    if not heavy:
        return
    newest = heavy[-1]
    cause = (
        f"{newest.symbol} of {newest.strategy} closed with {usd(newest.pnl)} USD, a loss at or over "
        f"{usd(protection.loss_usd)}"
    )
    yield _pause(protection, key, heavy, number=-newest.pnl, limit=protection.loss_usd, cause=cause, now=now)


def _profit(
    protection: LowProfit, key: str, trades: Sequence[ClosedTrade], now: datetime
) -> Iterator[ProtectionSet]:
    earned = _pnl(trades)
    if len(trades) < protection.trades or earned >= protection.required_usd:
        return
    cause = (
        f"{len(trades)} trades within {protection.within_minutes} minutes earned {usd(earned)} USD, "
        f"required {usd(protection.required_usd)}"
    )
    yield _pause(protection, key, trades, number=earned, limit=protection.required_usd, cause=cause, now=now)


def _drawdown(protection: MaxDrawdown, memory: RiskMemory, now: datetime) -> Iterator[ProtectionSet]:
    highs = _highs(protection, memory, now=now)
    if not highs or highs[0].equity <= 0:
        return
    peak, last = highs[0], highs[-1]
    fall = 1 - last.equity / peak.equity
    if fall < protection.max_frac:
        return
    number = fall.quantize(FRACTION_STEP, ROUND_FLOOR)
    cause = (
        f"equity fell from {usd(peak.equity)} to {usd(last.equity)} USD within "
        f"{protection.within_minutes} minutes: {plain(number)} at or over {plain(protection.max_frac)}"
    )
    yield ProtectionSet(
        at=now,
        protection=protection.called,
        scope=protection.scope,
        key="",
        until=last.at + timedelta(minutes=protection.pause_minutes),
        number=number,
        limit=protection.max_frac,
        cause=cause,
    )


def _highs(protection: MaxDrawdown, memory: RiskMemory, *, now: datetime) -> list[High]:
    """Give the equities that a fall is measured by at an instant, the peak first and the newest last."""
    since = now - timedelta(minutes=protection.within_minutes)
    spent = memory.spent.get((protection.called, ""))
    if spent is not None:
        since = max(since, spent.at)
    return [high for high in memory.highs if high.at >= since]


def _pause(
    protection: StopGuard | CoolDown | LowProfit,
    key: str,
    trades: Iterable[ClosedTrade],
    *,
    number: Decimal,
    limit: Decimal | int,
    cause: str,
    now: datetime,
) -> ProtectionSet:
    closed_at = max(trade.closed_at for trade in trades)
    return ProtectionSet(
        at=now,
        protection=protection.called,
        scope=protection.scope,
        key=key,
        until=closed_at + timedelta(minutes=protection.pause_minutes),
        number=number,
        limit=Decimal(limit),
        cause=cause,
    )


def _pnl(trades: Iterable[ClosedTrade]) -> Decimal:
    return sum((trade.pnl for trade in trades), ZERO)
