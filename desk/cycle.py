"""Trading a minute: what its levels ask for is sized, judged, written ahead and sent.

`trade` is never run twice for a minute, and if it were, the client order ids would say so. What is known of
the market it takes from the session's bars (desk/intake.py), what is held from the books; a holding without a
bar of ours is valued at the broker's price.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import polars as pl

from desk.desk import Desk
from desk.dispatcher import cancel, place
from desk.errors import BrokerUnavailable
from desk.gate import GateView, Judge, review_all
from desk.intake import Bars
from desk.protections import protect_entries
from desk.protector import release
from desk.reentry import Reentry
from desk.sizer import Level, Skip, leaving_protected, levels_of, sizing, unwanted_entries
from desk.views import MarketView, gate_view, sizing_view
from schemas.account import BrokerAccount, SessionHours
from schemas.events import Mark, Sight
from schemas.orders import Approval

log = logging.getLogger(__name__)

LEVEL_LEFT = "the level was left"  # why an entry is canceled; a replay finds the cancel by it


@dataclass(frozen=True, slots=True)
class TradeOutcome:
    """What a minute's trade step did."""

    intents: int = 0
    approved: int = 0
    denied: int = 0
    skipped: int = 0


class Cycle:
    """What a session does with the levels of a minute."""

    def __init__(
        self, desk: Desk, bars: Bars[Sized], *, session_date: date, judge: Judge = review_all
    ) -> None:
        """Keep the desk and the session's bars; `begin` comes before the first minute."""
        self.desk = desk
        self.judge = judge
        self.bars = bars
        self._stated: dict[str, Decimal] = {}  # the broker's prices of what is held and has no bar of ours
        self._hours: SessionHours | None = None
        protected = any(each.exits is not None for each in desk.settings.strategies)
        self._reentry = Reentry(session_date, protected=protected)
        # The newest minute with intents, the seq of its books, and what was looked at.
        self._seen: tuple[datetime, int, MarketView, GateView, Mapping[str, Decimal]] | None = None

    def begin(self, hours: SessionHours) -> None:
        """Begin the session."""
        self._hours = hours

    def trade(self, minute: datetime, signals: pl.DataFrame) -> TradeOutcome:
        """Size, judge, write ahead and send what signals ask for; see `act`.

        Args:
            minute: left edge of the minute that was evaluated.
            signals: columns of `SIGNAL_SCHEMA`.
        """
        return self.act(minute, levels_of(signals, minute)) if not signals.is_empty() else TradeOutcome()

    def act(self, minute: datetime, levels: Sequence[Level]) -> TradeOutcome:
        """Size, judge, write ahead and send what levels ask for.

        Args:
            minute: left edge of the minute that was evaluated.
            levels: in the order of `levels_of`.

        Raises:
            LedgerUnavailable: nothing was written, so nothing was sent.
            LeaseLost: another session has the account; nothing was sent.
        """
        assert self._hours is not None, "begin comes first"
        if not levels:
            return TradeOutcome()
        levels = self._reentry.admitted(levels, self.desk.portfolio)
        market = self.market(account=self._account())
        view = sizing_view(self.desk, market, session=self._hours, bar_ts=minute)
        if leaving := leaving_protected(levels, view):
            release(self.desk, leaving)
            view = sizing_view(self.desk, market, session=self._hours, bar_ts=minute)
        for order in unwanted_entries(levels, view):
            working = self.desk.portfolio.orders[order.intent.client_order_id]
            cancel(self.desk, working, cause=LEVEL_LEFT)
        sized = sizing(levels, view)
        protect_entries(self.desk)  # a fill that was learned in this minute counts for its entries
        seen = gate_view(self.desk, market)
        if sized.intents:
            self._seen = minute, self.desk.journal.seq, market, seen, self._stated
        judged = self.judge(sized.intents, seen, self.desk.settings.risk)
        place(self.desk, judged)
        _tell_skipped(minute, sized.skipped)
        approved = sum(1 for _, verdict in judged if isinstance(verdict, Approval))
        return TradeOutcome(
            intents=len(judged),
            approved=approved,
            denied=len(judged) - approved,
            skipped=len(sized.skipped),
        )

    # ---- what is known --------------------------------------------------------------------

    def market(self, *, account: BrokerAccount | None) -> MarketView:
        """Give what is known of the market now."""
        return self.bars.known(prices=self.values(), account=account)

    def values(self) -> Mapping[str, Decimal]:
        """Give what holdings are valued at: our last prices, else the broker's of what we have no bar of."""
        own = self.bars.last_prices()
        return {**self._stated, **own} if self._stated else own

    def sight(self, minute: datetime) -> Sight | None:
        """Give what a minute's intents were made and judged by; None where it had none."""
        if self._seen is None or self._seen[0] != minute:
            return None
        _, seq, market, view, stated = self._seen
        return Sight(
            at=view.now,
            seq=seq,
            account=market.account,
            requests=view.requests,
            suspects=tuple(sorted(market.suspects)),
            halted=tuple(sorted(market.halted)),
            stated=_marks(stated),
            mids=_marks({symbol: nbbo.mid for symbol, nbbo in market.quotes.items()}),
        )

    def price_unwatched(self) -> None:
        """Ask the broker for the prices of what is held and has no bar of ours; nothing, if there is none.

        At cost it would be worth something else than in the broker's equity, which losses are measured
        from (desk/risk_memory.py).

        Raises:
            BrokerUnavailable: the prices of before stay.
        """
        held, own = self.desk.portfolio.held_symbols(), self.bars.last_prices()
        bare = {symbol for symbol in held if symbol not in own}
        if not bare:
            self._stated = {}
            return
        self._stated = {
            stated.symbol: stated.current_price
            for stated in self.desk.broker.positions()
            if stated.symbol in bare and stated.current_price is not None
        }

    def broker_equity(self) -> Decimal | None:
        """Give the broker's equity, or None when it does not answer."""
        account = self._account()
        return None if account is None else account.equity

    def _account(self) -> BrokerAccount | None:
        try:
            return self.desk.broker.account()
        except BrokerUnavailable as error:
            log.warning("account could not be read", extra={"cause": str(error)})
            return None


def _marks(prices: Mapping[str, Decimal]) -> tuple[Mark, ...]:
    return tuple(Mark(symbol=symbol, price=price) for symbol, price in sorted(prices.items()))


def _tell_skipped(minute: datetime, skipped: Iterable[Skip]) -> None:
    """Log a minute's skipped entries in one line: with every slot taken there are as many as symbols."""
    by_cause: dict[str, list[str]] = {}
    for skip in skipped:
        by_cause.setdefault(f"{skip.strategy}: {skip.why}", []).append(skip.symbol)
    if by_cause:
        words = {cause: " ".join(symbols) for cause, symbols in by_cause.items()}
        log.info("entries skipped", extra={"minute": minute.isoformat(), "entries": words})
