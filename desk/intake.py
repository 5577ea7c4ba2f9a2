"""A session's bars: heard or asked for, judged, kept, and shown.

`ingest` takes the minute's bars from the receiver (desk/receiver.py: the stream's, and the history's where
something may be missing), has them inspected, keeps every print and every refusal, and puts the accepted on
the tape: a bar that comes after its minute was decided is shown to strategies from then on. It may be run
again for the same minute.

`Bars` is what a session needs of it. A backtest hands in bars that were judged before it began
(desk/research/reel.py); the session cannot tell.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Protocol, TypeVar

import polars as pl

from desk.desk import Desk
from desk.errors import ConfigError, DataError
from desk.hours import session_hours
from desk.inspection import Context, Inspection, Mode
from desk.inspector import inspect
from desk.money import nearest_tick
from desk.new_levels import NewLevels
from desk.quotes import Nbbo
from desk.receiver import OVERLAP, Batch, Receiver
from desk.split_watch import SplitGuard, asked_splits, guard
from desk.splits import adjusted
from desk.tape import Tape
from desk.views import MarketView
from desk.warm_up import warm_up_sessions
from schemas.account import Asset, BrokerAccount, SessionHours, Split

log = logging.getLogger(__name__)

MINUTE = timedelta(minutes=1)

Delivery = TypeVar("Delivery", bound=Sized, covariant=True)


class Bars(Protocol[Delivery]):
    """The bars of one session, as it asks for them."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Give what is watched, sorted."""
        ...

    def prepare(self, hours: SessionHours) -> None:
        """Check every symbol at the broker and load the warm-up.

        Raises:
            ConfigError: the broker does not know a symbol.
            BrokerUnavailable: it could not be asked.
        """
        ...

    def ingest(self, minute: datetime) -> Delivery:
        """Bring in the bars up to and including `minute` and give those accepted.

        Raises:
            BrokerUnavailable: the provider did not answer; ask again.
        """
        ...

    def audit(self, minute: datetime) -> None:
        """Bring in what may have been lost, when that is due; for after the minute's orders."""
        ...

    def hear(self) -> None:
        """Take in what a stream said, without waiting."""
        ...

    def due(self, minute: datetime) -> datetime:
        """Give until when a minute's bars are waited for, by what has been heard."""
        ...

    def last_due(self, minute: datetime) -> datetime:
        """Give until when they are waited for at the longest."""
        ...

    def is_missing(self, minute: datetime) -> bool:
        """Tell whether a bar that was waited for has not come yet."""
        ...

    def last_prices(self) -> Mapping[str, Decimal]:
        """Give the newest accepted close by symbol, at the nearest tick."""
        ...

    def is_todays(self, symbol: str) -> bool:
        """Tell whether a symbol's newest close is of this session."""
        ...

    def known(self, *, prices: Mapping[str, Decimal], account: BrokerAccount | None) -> MarketView:
        """Give what is known of the market now; `prices` are what holdings are valued at."""
        ...

    def flush(self) -> None:
        """Hand the recorder what waits for it."""
        ...

    def stop(self) -> None:
        """Hear no more."""
        ...


class Intake:
    """The bars of a day as they come, and what is remembered of it: the tape, and who is suspect."""

    def __init__(self, desk: Desk, *, session_date: date) -> None:
        """Start with an empty tape; `prepare` fills it."""
        self.desk = desk
        self.session_date = session_date
        self.tape = Tape()
        self.symbols = tuple(sorted({s for strategy in desk.strategies for s in strategy.symbols}))
        self.receiver = Receiver(desk, self.symbols, self.tape)
        self._assets: dict[str, Asset] = {}
        self._suspects: frozenset[str] = frozenset()
        self._audited: frozenset[str] = frozenset()  # suspects of an audit, for the next minute's entries
        self._unwritten: list[Callable[[], None]] = []  # for the recorder, once the minute's orders are out
        self._seen_to: datetime | None = None
        self._hours: SessionHours | None = None
        self._splits = SplitGuard()
        self._levels = NewLevels()

    def prepare(self, hours: SessionHours) -> None:
        """Check every symbol at the broker and load the warm-up.

        Raises:
            ConfigError: the broker does not know a symbol, or a strategy needs more sessions than are loaded.
            BrokerUnavailable: it could not be asked.
        """
        self._hours = hours
        self.receiver.start(hours)  # first, so that it is connected when the history has been read
        self._assets = dict(self.desk.broker.assets(self.symbols))
        unknown = [symbol for symbol in self.symbols if symbol not in self._assets]
        if unknown:
            raise ConfigError(f"symbols: {', '.join(unknown)} not known to the broker")
        self._splits = guard(self.desk, self.symbols, self.session_date)
        self._warm_up()

    def _warm_up(self) -> None:
        """Load the sessions before this one that strategies need, in today's shares.

        Where nobody says which splits there were, it is the session before alone: a price that jumped over
        one of several nights would be a signal, and what has less of the past speaks later.
        """
        market = self.desk.market
        needed = max((strategy.warm_up for strategy in self.desk.strategies), default=0)
        sessions = warm_up_sessions(needed, self.session_date)
        splits: tuple[Split, ...] | None = ()
        if sessions:
            splits = asked_splits(self.desk, self.symbols, sessions[0].session_date, self.session_date)
        if splits is None:
            if len(sessions) > 1:
                log.warning("warm-up is cut, for want of splits", extra={"sessions_needed": len(sessions)})
            sessions, splits = sessions[-1:], ()
        for hours in sessions:
            bars = market.bars(self.symbols, hours.opens_at, hours.closes_at)
            self._judge(Batch(bars, market.provider), Mode.BACKFILL, splits)
            self.flush()

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
        self.flush()

    def flush(self) -> None:
        """Hand the recorder what waits for it: no order waits for a row to be written (I11).

        A process that dies before this loses the rows of one minute. The next one asks for its bars
        again, and what was decided on its signals is in the ledger.
        """
        unwritten, self._unwritten = self._unwritten, []
        for write in unwritten:
            write()

    # ---- hearing --------------------------------------------------------------------------

    def hear(self) -> None:
        """Take in what the stream said, without waiting."""
        self.receiver.hear()

    def due(self, minute: datetime) -> datetime:
        """Give until when a minute is waited for, by who has printed."""
        return self.receiver.due(minute)

    def last_due(self, minute: datetime) -> datetime:
        """Give until when a minute is waited for at the longest."""
        return self.receiver.last_due(minute)

    def is_missing(self, minute: datetime) -> bool:
        """Tell whether a symbol that was waited for has not printed."""
        return bool(self.receiver.watermark.missing(minute))

    def stop(self) -> None:
        """Hear no more."""
        self.receiver.stop()

    # ---- what is known --------------------------------------------------------------------

    def known(self, *, prices: Mapping[str, Decimal], account: BrokerAccount | None) -> MarketView:
        """Give what is known of the market now; `prices` are what holdings are valued at."""
        bars = {symbol: self.tape.latest(symbol) for symbol in self.symbols}
        return MarketView(
            prices=prices,
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

    def is_todays(self, symbol: str) -> bool:
        """Tell whether a symbol's newest close is of this session."""
        newest = self.tape.latest(symbol)
        return newest is not None and self._hours is not None and newest.ts >= self._hours.opens_at

    def frame(self, symbols: Iterable[str]) -> pl.DataFrame:
        """Give the regular-session bars of some symbols, columns of `RAW_SCHEMA`, sorted by (symbol, ts)."""
        return self.tape.frame(symbols)

    def later(self, write: Callable[[], None]) -> None:
        """Keep a row's writing for `flush`."""
        self._unwritten.append(write)

    # ---- judging --------------------------------------------------------------------------

    def _judge(self, batch: Batch, mode: Mode, splits: Sequence[Split] = ()) -> Inspection:
        """Have bars inspected; keep every print and every refusal, and put the accepted on the tape.

        They are kept as they were printed, and shown in the shares after `splits`.
        """
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
        self.tape.add(adjusted(result.bars, splits), now)
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
