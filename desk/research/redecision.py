"""Decide a recorded minute again: strategies, sizer and gate on the books and bars of then.

The functions are those of a running session (desk/cycle.py puts them together in the same order); what they
look at comes from the record instead of from ports.
"""

import logging
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import polars as pl

from desk.gate import review_all
from desk.money import nearest_tick
from desk.portfolio import Portfolio, replay
from desk.ports import StrategyRunner
from desk.quotes import Nbbo
from desk.reentry import Reentry
from desk.research.retelling import Decision, Moment
from desk.research.witness import Broken, said_of
from desk.sizer import levels_of, sizing, unwanted_entries
from desk.tape import Tape
from desk.views import MarketView, gate_view, sizing_view
from schemas.account import Asset, BrokerAccount, SessionHours
from schemas.bars import ACCEPTED_SCHEMA, RAW_SCHEMA, Segment
from schemas.events import AnyEvent, Mark
from schemas.settings import Settings
from schemas.signals import SIGNAL_SCHEMA

NO_SIZE = 0  # of a quote: nobody decides by it

log = logging.getLogger(__name__)


class Books:
    """The books as they were after each event."""

    def __init__(self, events: Sequence[tuple[int, AnyEvent]]) -> None:
        """Keep the ledger's events with their seqs."""
        self._events = events
        self._seqs = [seq for seq, _ in events]
        self._rolling = Portfolio()
        self._folded = 0  # events in it

    def at(self, seq: int) -> Portfolio:
        """Give the books after every event up to and including a seq.

        What is given is good until the next call. Going forward folds each event once, going back all again.
        """
        wanted = bisect_right(self._seqs, seq)
        if wanted < self._folded:
            return replay(event for _, event in self._events[:wanted])
        for _, event in self._events[self._folded : wanted]:
            self._rolling.apply(event)
        self._folded = wanted
        return self._rolling


@dataclass(frozen=True, slots=True)
class Counted:
    """The requests as they were counted then."""

    requests: tuple[int, int]

    def entry_budget(self) -> tuple[int, int]:
        """Give them."""
        return self.requests


@dataclass(frozen=True, slots=True)
class Then:
    """A desk as it stood at an instant (`desk.views.Seat`)."""

    settings: Settings
    portfolio: Portfolio
    at: datetime
    throttler: Counted | None

    def now(self) -> datetime:
        """Give the instant."""
        return self.at


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a minute decides."""

    decided: tuple[Decision, ...] = ()
    left: tuple[str, ...] = ()  # entries to be canceled because their level was left


class Bars:
    """The bars somebody was shown at an instant."""

    def __init__(self, tape: Tape) -> None:
        """Show a tape."""
        self.tape = tape

    def frame(self, symbols: Sequence[str]) -> pl.DataFrame:
        """Give the bars of some symbols, as strategies see them."""
        return self.tape.frame(symbols)

    def has(self, minute: datetime) -> bool:
        """Tell whether any symbol has a bar of a minute."""
        frame = self.tape.frame()
        return bool((frame["ts"] == minute).any())

    def prices(self) -> dict[str, Decimal]:
        """Give the newest closes at the nearest tick."""
        return {symbol: nearest_tick(price) for symbol, price in self.tape.last_prices().items()}


def accepted(prints: pl.DataFrame, sessions: Sequence[SessionHours]) -> pl.DataFrame:
    """Give the regular bars among prints as a tape takes them, columns of `ACCEPTED_SCHEMA` and `known_at`.

    Sorted so that of prints of one minute the one known last comes last.

    Args:
        prints: columns of `schemas.bars.PRINT_SCHEMA`.
        sessions: whose bars.
    """
    parts = [
        prints.filter((pl.col("ts") >= hours.opens_at) & (pl.col("ts") < hours.closes_at)).select(
            *RAW_SCHEMA,
            "revision",
            pl.lit(hours.session_date).alias("session_date"),
            pl.lit(Segment.REGULAR.value).alias("segment"),
            "known_at",
        )
        for hours in sessions
    ]
    return pl.concat(parts).sort("known_at", "symbol", "ts", "revision", maintain_order=True)


def taped(bars: pl.DataFrame) -> Tape:
    """Give a tape with bars on it, in the order of `accepted`."""
    tape = Tape()
    if bars.height > 0:
        last = bars["known_at"].max()
        assert isinstance(last, datetime), "known_at is an instant"
        tape.add(bars.sort("symbol", "ts", "known_at", "revision").select(*ACCEPTED_SCHEMA), last)
    return tape


@dataclass(kw_only=True)
class Redecider:
    """Decides minutes of one recorded session again."""

    settings: Settings
    strategies: Sequence[StrategyRunner]
    hours: SessionHours
    assets: Mapping[str, Asset]
    books: Books
    _reentry: Reentry = field(init=False)
    _run: int = 0

    def __post_init__(self) -> None:
        """Begin with nothing left."""
        self._reentry = self._fresh()

    def outcome(
        self,
        moment: Moment,
        shown: Bars,
        *,
        account: BrokerAccount | None,
        bar_ts: datetime | None = None,
        keeps: bool = False,
    ) -> Outcome:
        """Decide a minute.

        Args:
            moment: which; its instant is known.
            shown: the bars it looks at.
            account: the broker's numbers.
            bar_ts: whose minute's levels; by default its own.
            keeps: whether levels that were left are remembered for the minutes after.
        """
        assert moment.at is not None, "the caller says when"
        if moment.run != self._run:
            self._run, self._reentry = moment.run, self._fresh()
        if moment.at >= self.hours.closes_at and not self.settings.session.overnight:
            return Outcome()
        ts = moment.minute if bar_ts is None else bar_ts
        levels = levels_of(self._said(moment, shown, ts), ts)
        if not levels:
            return Outcome()
        reentry = self._reentry if keeps else deepcopy(self._reentry)
        market = _market(moment, shown, self.assets, account)
        seat = self._seat(moment, moment.sized_at)
        admitted = reentry.admitted(levels, seat.portfolio)
        view = sizing_view(seat, market, session=self.hours, bar_ts=moment.minute)
        left = tuple(order.intent.client_order_id for order in unwanted_entries(admitted, view))
        intents = sizing(admitted, view).intents
        seat = self._seat(moment, moment.judged_at)
        judged = review_all(intents, gate_view(seat, market), self.settings.risk)
        return Outcome(tuple(Decision(intent, verdict) for intent, verdict in judged), left)

    def _fresh(self) -> Reentry:
        return Reentry(self.hours.session_date)

    def _said(self, moment: Moment, shown: Bars, ts: datetime) -> pl.DataFrame:
        """Ask the strategies that had not raised; one that raises now says nothing."""
        frames = [pl.DataFrame(schema=SIGNAL_SCHEMA)]
        if not shown.has(ts):
            return frames[0]
        for strategy in self.strategies:
            if strategy.name not in moment.stopped:
                try:
                    frames.append(said_of(strategy, shown.frame(strategy.symbols)))
                except Broken as error:
                    log.warning("strategy raised", extra={"strategy": strategy.name, "cause": str(error)})
        return pl.concat(frames)

    def _seat(self, moment: Moment, seq: int) -> Then:
        assert moment.at is not None, "the caller says when"
        requests = None if moment.sight is None else moment.sight.requests
        counted = None if requests is None else Counted(requests)
        return Then(self.settings, self.books.at(seq), moment.at, counted)


def _market(
    moment: Moment, shown: Bars, assets: Mapping[str, Asset], account: BrokerAccount | None
) -> MarketView:
    sight, prices = moment.sight, shown.prices()
    bars = {symbol: shown.tape.latest(symbol) for symbol in prices}
    stamps = {symbol: bar.ts for symbol, bar in bars.items() if bar is not None}
    if sight is None:
        return MarketView(prices=prices, newest_bar_ts=stamps, assets=assets, account=account)
    return MarketView(
        prices={**_prices(sight.stated), **prices},
        newest_bar_ts=stamps,
        suspects=frozenset(sight.suspects),
        assets=assets,
        account=account,
        halted=frozenset(sight.halted),
        quotes={mark.symbol: _quote(mark.price, sight.at) for mark in sight.mids},
    )


def _prices(marks: Sequence[Mark]) -> dict[str, Decimal]:
    return {mark.symbol: mark.price for mark in marks}


def _quote(mid: Decimal, at: datetime) -> Nbbo:
    return Nbbo(bid=mid, ask=mid, bid_size=NO_SIZE, ask_size=NO_SIZE, at=at)
