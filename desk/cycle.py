"""The three steps of a minute: ingest, evaluate, trade.

`ingest` takes the minute's bars from the receiver (desk/receiver.py: the stream's, and the history's where
something may be missing), has them inspected, keeps every print and every refusal, and puts the accepted on
the tape: a bar that comes after its minute was decided is shown to strategies from then on.
It may be run again for the same minute. `evaluate` shows the tape to each strategy and keeps only what
it says of this minute: an older level has been left already. `trade` sizes, judges and sends; it is
never run twice for a minute, and if it were, the client order ids would say so.

A strategy that raises is stopped for the day and reported; the others go on (S3). This is the one
place besides the session's own halt that catches every exception, because strategies are the user's
code and a bug in one idea must not cost the exits of another.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial

import polars as pl

from desk.desk import Desk
from desk.dispatcher import cancel, place
from desk.errors import BrokerUnavailable, ConfigError, DataError
from desk.gate import review_all
from desk.hours import previous_session, session_hours
from desk.inspection import Context, Inspection, Mode
from desk.inspector import inspect
from desk.money import nearest_tick
from desk.new_levels import NewLevels
from desk.ports import StrategyRunner
from desk.protections import protect_entries
from desk.protector import release
from desk.quotes import Nbbo
from desk.receiver import OVERLAP, Batch, Receiver
from desk.reentry import Reentry
from desk.sizer import Skip, leaving_protected, levels_of, sizing, unwanted_entries
from desk.split_watch import SplitGuard, guard
from desk.tape import Tape
from desk.views import MarketView, gate_view, sizing_view
from schemas.account import Asset, BrokerAccount, SessionHours
from schemas.events import StrategyStopped
from schemas.orders import Approval
from schemas.signals import SIGNAL_SCHEMA, checked_signals

log = logging.getLogger(__name__)

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class TradeOutcome:
    """What a minute's trade step did."""

    intents: int = 0
    approved: int = 0
    denied: int = 0
    skipped: int = 0


class Cycle:
    """The steps and what they remember of the day: the tape, who is suspect, who was stopped."""

    def __init__(self, desk: Desk, *, session_date: date) -> None:
        """Start with an empty tape; `prepare` fills it."""
        self.desk = desk
        self.session_date = session_date
        self.tape = Tape()
        self.symbols = tuple(sorted({s for strategy in desk.strategies for s in strategy.symbols}))
        self.receiver = Receiver(desk, self.symbols, self.tape)
        self._assets: dict[str, Asset] = {}
        self._stated: dict[str, Decimal] = {}  # the broker's prices of what is held and has no bar of ours
        self._suspects: frozenset[str] = frozenset()
        self._audited: frozenset[str] = frozenset()  # suspects of an audit, for the next minute's entries
        self._unwritten: list[Callable[[], None]] = []  # for the recorder, once the minute's orders are out
        self._stopped: set[str] = set()
        self._seen_to: datetime | None = None
        self._hours: SessionHours | None = None
        self._reentry = Reentry(session_date)
        self._splits = SplitGuard()
        self._levels = NewLevels()

    def prepare(self, hours: SessionHours) -> None:
        """Check every symbol at the broker and load the warm-up.

        Raises:
            ConfigError: the broker does not know a symbol.
            BrokerUnavailable: it could not be asked.
        """
        self._hours = hours
        self.receiver.start(hours)  # first, so that it is connected when the history has been read
        self._assets = dict(self.desk.broker.assets(self.symbols))
        unknown = [symbol for symbol in self.symbols if symbol not in self._assets]
        if unknown:
            raise ConfigError(f"symbols: {', '.join(unknown)} not known to the broker")
        self._splits = guard(self.desk, self.symbols, self.session_date)
        if any(strategy.warm_up > 0 for strategy in self.desk.strategies):
            before, market = previous_session(self.session_date), self.desk.market
            bars = market.bars(self.symbols, before.opens_at, before.closes_at)
            self._judge(Batch(bars, market.provider), Mode.BACKFILL)
            self.write_rows()

    # ---- the steps ------------------------------------------------------------------------

    def ingest(self, minute: datetime) -> pl.DataFrame:
        """Bring in the bars up to and including `minute`; give those accepted, columns of `RAW_SCHEMA`.

        Raises:
            BrokerUnavailable: the provider did not answer; ask again.
        """
        assert self._hours is not None, "prepare comes first"
        opens_at = self._hours.opens_at
        start = opens_at if self._seen_to is None else max(opens_at, self._seen_to - OVERLAP)
        suspects = self._audited
        accepted: list[pl.DataFrame] = []
        for batch in self.receiver.batches(minute, start=start):
            result = self._judge(batch, Mode.LIVE)
            bars = result.accepted
            if accepted:  # what a later batch brings is not missing any more
                suspects = suspects.difference(bars["symbol"].to_list())
            suspects |= result.suspects
            accepted.append(bars)
        self.receiver.taken(minute)
        self._suspects, self._audited = suspects, frozenset()
        self._seen_to = minute + MINUTE
        return accepted[0] if len(accepted) == 1 else pl.concat(accepted)

    def evaluate(self, minute: datetime, bars: pl.DataFrame) -> pl.DataFrame:
        """Give every strategy's levels for `minute`, columns of `SIGNAL_SCHEMA`.

        Args:
            minute: left edge of the bar that was just accepted.
            bars: what `ingest` gave; with no bar of this minute nothing is evaluated.
        """
        if not (bars["ts"] == minute).any():
            return pl.DataFrame(schema=SIGNAL_SCHEMA)
        frames = [self._signals(strategy, minute) for strategy in self._running()]
        signals = pl.concat([pl.DataFrame(schema=SIGNAL_SCHEMA), *frames])
        self._unwritten.append(partial(self.desk.recorder.signals, signals))
        return signals

    def trade(self, minute: datetime, signals: pl.DataFrame) -> TradeOutcome:
        """Size, judge, write ahead and send what the levels ask for.

        Raises:
            LedgerUnavailable: nothing was written, so nothing was sent.
            LeaseLost: another session has the account; nothing was sent.
        """
        assert self._hours is not None, "prepare comes first"
        if signals.is_empty():
            return TradeOutcome()
        signals = self._reentry.admitted(signals, self.desk.portfolio)
        market = self.market(account=self._account())
        view = sizing_view(self.desk, market, session=self._hours, bar_ts=minute)
        levels = levels_of(signals, minute)
        if leaving := leaving_protected(levels, view):
            release(self.desk, leaving)
            view = sizing_view(self.desk, market, session=self._hours, bar_ts=minute)
        for order in unwanted_entries(levels, view):
            working = self.desk.portfolio.orders[order.intent.client_order_id]
            cancel(self.desk, working, cause="the level was left")
        sized = sizing(levels, view)
        protect_entries(self.desk)  # a fill that was learned in this minute counts for its entries
        judged = review_all(sized.intents, gate_view(self.desk, market), self.desk.settings.risk)
        place(self.desk, judged)
        _tell_skipped(minute, sized.skipped)
        approved = sum(1 for _, verdict in judged if isinstance(verdict, Approval))
        return TradeOutcome(
            intents=len(judged),
            approved=approved,
            denied=len(judged) - approved,
            skipped=len(sized.skipped),
        )

    def audit(self, minute: datetime) -> None:
        """Bring in what the stream may have lost, when that is due; for after the minute's orders.

        What is found is shown to strategies from the next minute on, as every late bar is.
        """
        batch = self.receiver.audit(minute)
        if batch is None:
            return
        try:
            self._audited = self._judge(batch, Mode.LIVE).suspects
        except DataError as error:
            log.error("audit not used", extra={"minute": minute.isoformat(), "cause": str(error)})
        self.write_rows()

    def write_rows(self) -> None:
        """Hand the recorder what waits for it: no order waits for a row to be written (I11).

        A process that dies before this loses the rows of one minute. The next one asks for its bars
        again, and what was decided on its signals is in the ledger.
        """
        unwritten, self._unwritten = self._unwritten, []
        for write in unwritten:
            write()

    # ---- what is known --------------------------------------------------------------------

    def market(self, *, account: BrokerAccount | None) -> MarketView:
        """Give what is known of the market now."""
        bars = {symbol: self.tape.latest(symbol) for symbol in self.symbols}
        return MarketView(
            prices=self.values(),
            newest_bar_ts={symbol: bar.ts for symbol, bar in bars.items() if bar is not None},
            suspects=self._suspects,
            assets=self._assets,
            account=account,
            splitting=self._splits.today,
            splits_ahead=self._splits.ahead,
            halted=frozenset(self.receiver.halted),
            quotes=self._quotes(),
        )

    def _quotes(self) -> Mapping[str, Nbbo]:
        """Give the quotes young enough to price by; none where none are heard."""
        data = self.desk.settings.data
        max_age = timedelta(seconds=data.quote_max_age_s)
        return self.receiver.quotes.all(self.symbols, now=self.desk.now(), max_age=max_age)

    def last_prices(self) -> dict[str, Decimal]:
        """Give the newest accepted close by symbol, at the nearest tick."""
        return {symbol: nearest_tick(price) for symbol, price in self.tape.last_prices().items()}

    def values(self) -> dict[str, Decimal]:
        """Give what holdings are valued at: our last prices, else the broker's of what we have no bar of."""
        return {**self._stated, **self.last_prices()}

    def price_unwatched(self) -> None:
        """Ask the broker for the prices of what is held and has no bar of ours; nothing, if there is none.

        At cost it would be worth something else than in the broker's equity, which losses are measured
        from (desk/risk_memory.py).

        Raises:
            BrokerUnavailable: the prices of before stay.
        """
        held, own = self.desk.portfolio.held_symbols(), self.last_prices()
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

    # ---- bars and strategies --------------------------------------------------------------

    def _judge(self, batch: Batch, mode: Mode) -> Inspection:
        """Have bars inspected; keep every print and every refusal, and put the accepted on the tape."""
        feed, now = self.desk.market.feed, self.desk.now()
        result = inspect(
            batch.bars,
            Context(
                now=now,
                mode=mode,
                expected=frozenset(self.symbols),
                session_on=session_hours,
                limits=self.desk.settings.data,
                memory=self.tape,
                refused=self._levels.refused,
                provider=batch.provider,
                feed=feed,
            ),
        )
        self.tape.add(result.bars, now)
        self._levels.note(result)
        self._unwritten.append(partial(self._record, result, now, batch.provider))
        if not result.quarantine.is_empty():
            log.warning(
                "bars refused", extra={"rows": result.quarantine.height, "verdict": result.verdict.value}
            )
        return result

    def _record(self, result: Inspection, known_at: datetime, provider: str) -> None:
        """Keep every print and every refusal of a delivery."""
        recorder, feed = self.desk.recorder, self.desk.market.feed
        recorder.bars(result.prints(known_at=known_at, provider=provider, feed=feed))
        if not result.quarantine.is_empty():
            recorder.quarantine(result.quarantine)

    def _running(self) -> Iterable[StrategyRunner]:
        return (strategy for strategy in self.desk.strategies if strategy.name not in self._stopped)

    def _signals(self, strategy: StrategyRunner, minute: datetime) -> pl.DataFrame:
        """Give one strategy's levels for the minute; a strategy that raises is stopped for the day."""
        try:
            said = strategy.signals(self.tape.frame(strategy.symbols))
            return checked_signals(said.filter(said["ts"] == minute))
        except Exception as error:  # a user's strategy may raise anything; see the module text
            log.exception("strategy stopped", extra={"strategy": strategy.name})
            self._stopped.add(strategy.name)
            self.desk.journal.record(
                StrategyStopped(
                    at=self.desk.now(), strategy=strategy.name, cause=f"{type(error).__name__}: {error}"
                )
            )
            return pl.DataFrame(schema=SIGNAL_SCHEMA)


def _tell_skipped(minute: datetime, skipped: Iterable[Skip]) -> None:
    """Log a minute's skipped entries in one line: with every slot taken there are as many as symbols."""
    by_cause: dict[str, list[str]] = {}
    for skip in skipped:
        by_cause.setdefault(f"{skip.strategy}: {skip.why}", []).append(skip.symbol)
    if by_cause:
        words = {cause: " ".join(symbols) for cause, symbols in by_cause.items()}
        log.info("entries skipped", extra={"minute": minute.isoformat(), "entries": words})
