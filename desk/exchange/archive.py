"""Everything the venue has published so far, as its history is asked for: bars of any length, trades, quotes.

A request may span years and hundreds of symbols while its page holds at most ten thousand rows. So rows
are given symbol by symbol and session by session, in the order of the answer, and only as many sessions
are made as the page needs. A request within the current session, which is what a desk sends every minute,
is one selection from the tape. Days that are over are kept once made.

What is public is what the tape says it is: a minute one second after it ends, its revision half a minute
later; trades and quotes at once; longer bars grow with their minutes.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache

import polars as pl

from desk.exchange.aggregate import Timeframe, daily, intraday, longer, span_end, span_start
from desk.exchange.floor import Floor
from desk.exchange.market import frame_of
from desk.exchange.matching import Print
from desk.exchange.orders import SplitDone
from desk.exchange.tape import Tape
from desk.exchange.ticks import Tick, ticks_between
from desk.hours import FIRST_DAY, LAST_DAY, from_new_york, new_york, sessions_between
from schemas.account import SessionHours
from schemas.bars import PRICES, RAW_SCHEMA

MINUTE_DAYS_MAX = 400  # how far back minutes, trades and quotes go: a year of sessions and room to spare
DAYS_MAX = 3_660  # how far back days and longer bars go: ten years
DAYS_KEPT = 8_192  # daily bars kept, one a symbol and session: a year of 32 symbols
TAPES_KEPT = 64  # sessions of single symbols kept for trades and quotes
LOOK_BACK_SESSIONS = 10  # how far a latest bar, trade or quote is searched when today has none
ONE_DAY = timedelta(days=1)


class Archive:
    """The history of one floor."""

    def __init__(self, floor: Floor) -> None:
        """Keep the floor."""
        self._floor = floor
        self._day = lru_cache(maxsize=DAYS_KEPT)(self._make_day)
        self._old_tape = lru_cache(maxsize=TAPES_KEPT)(self._make_tape)

    def bars(
        self,
        symbols: Sequence[str],
        frame: Timeframe,
        start: datetime,
        end: datetime,
        *,
        splits: Sequence[SplitDone] = (),
        newest_first: bool = False,
    ) -> Iterator[pl.DataFrame]:
        """Give bars with ts in [start, end], in pieces: by symbol, each by time.

        Args:
            symbols: sorted, without repetition.
            frame: how long a bar is.
            start: included.
            end: included.
            splits: those to adjust prices and volumes for.
            newest_first: each symbol's newest bar first.
        """
        if not frame.is_intraday:
            for symbol in symbols:
                yield _chosen(self._long(symbol, frame, start, end, splits), start, end, newest_first)
        elif start >= midnight(self._floor.tape.hours.opens_at):
            rows = self._today(end, self._floor.now).filter(pl.col("symbol").is_in(symbols))
            rows = rows.sort("symbol", maintain_order=True)
            yield _chosen(intraday(_adjusted(rows, splits), frame), start, end, newest_first)
        else:
            first, last = self._span(start, end, MINUTE_DAYS_MAX)
            sessions = sessions_between(first, last + ONE_DAY) if first <= last else ()
            for symbol in symbols:
                for hours in reversed(sessions) if newest_first else sessions:
                    rows = _adjusted(self._minutes(symbol, hours, end, self._floor.now), splits)
                    yield _chosen(intraday(rows, frame), start, end, newest_first)

    def days(self, symbol: str, count: int) -> pl.DataFrame:
        """Give a symbol's newest daily bars, at most `count` of them, oldest first."""
        found: list[pl.DataFrame] = []
        for hours in self._recent():
            if len(found) == count:
                break
            row = self._daily(symbol, hours)
            if row.height > 0:
                found.append(row)
        return pl.concat(reversed(found)) if found else pl.DataFrame(schema=RAW_SCHEMA)

    def latest_bar(self, symbol: str, at: datetime) -> pl.DataFrame:
        """Give a symbol's newest minute that is public at an instant as one row, or none."""
        for hours in self._recent():
            rows = self._minutes(symbol, hours, at, at)
            if rows.height > 0:
                return rows.tail(1)
        return pl.DataFrame(schema=RAW_SCHEMA)

    def latest_bars(self, symbols: Sequence[str], at: datetime) -> pl.DataFrame:
        """Give the newest minute of each symbol that has one public at an instant, by symbol."""
        today = self._today(at, at).filter(pl.col("symbol").is_in(symbols))
        found = today.group_by("symbol", maintain_order=True).last().select(list(RAW_SCHEMA))
        quiet = [symbol for symbol in symbols if symbol not in set(found["symbol"])]
        return pl.concat([found, *(self.latest_bar(symbol, at) for symbol in quiet)]).sort("symbol")

    def latest_tick(self, symbol: str, at: datetime) -> Tick | None:
        """Give the newest print at or before an instant, of the last ten sessions, or None."""
        for hours in self._recent():
            tape = self._tape(symbol, hours)
            last = tape.last_told(symbol, at)
            if last is not None:
                just_before = last.at - timedelta(microseconds=1)
                return ticks_between(tape, symbol, just_before, last.at)[-1]
        return None

    def ticks(
        self, symbol: str, start: datetime, end: datetime, *, newest_first: bool = False
    ) -> Iterator[Tick]:
        """Give a symbol's public prints in [start, end], by time."""
        end = min(end, self._floor.now)
        first, last = self._span(start, end, MINUTE_DAYS_MAX)
        sessions = sessions_between(first, last + ONE_DAY) if first <= last else ()
        before = start - timedelta(microseconds=1)
        for hours in reversed(sessions) if newest_first else sessions:
            found = ticks_between(self._tape(symbol, hours), symbol, before, end)
            yield from reversed(found) if newest_first else found

    def auction_prints(self, symbol: str, hours: SessionHours) -> tuple[Print | None, Print | None]:
        """Give the print of a session's opening auction and of its closing one, if they have been."""
        tape = self._tape(symbol, hours)
        now = self._floor.now
        opening = None
        for minute, _ in tape.minutes_between(symbol, hours.opens_at - ONE_DAY, min(now, hours.closes_at)):
            opening = next((seen for seen in minute if seen.regular and seen.at <= now), None)
            if opening is not None:
                break
        closed = now >= hours.closes_at
        closing = tape.last(symbol, hours.closes_at - timedelta(microseconds=1)) if closed else None
        return opening, closing if closing is not None and closing.regular else None

    def sessions(self, start: datetime, end: datetime) -> tuple[SessionHours, ...]:
        """Give the sessions whose New York day meets [start, end], today's the last, oldest first."""
        first, last = self._span(start, end, DAYS_MAX)
        return sessions_between(first, last + ONE_DAY) if first <= last else ()

    def _long(
        self,
        symbol: str,
        frame: Timeframe,
        start: datetime,
        end: datetime,
        splits: Sequence[SplitDone],
    ) -> pl.DataFrame:
        """Give the days, weeks or months whose spans meet [start, end]."""
        today = self._floor.hours.session_date
        first = max(span_start(start, frame), today - timedelta(days=DAYS_MAX), FIRST_DAY)
        last = min(span_end(end, frame), today + ONE_DAY)
        sessions = sessions_between(first, last) if first < last else ()
        rows = [self._daily(symbol, hours) for hours in sessions]
        if not rows:
            return pl.DataFrame(schema=RAW_SCHEMA)
        return longer(_adjusted(pl.concat(rows), splits), frame)

    def _today(self, end: datetime, at: datetime) -> pl.DataFrame:
        """Give the session's minutes up to and including an instant, those public at another."""
        tape = self._floor.tape
        return tape.published(at, tape.starts_at, min(end + timedelta(microseconds=1), at))

    def _minutes(self, symbol: str, hours: SessionHours, end: datetime, at: datetime) -> pl.DataFrame:
        """Give a session's public minutes of a symbol, by time."""
        if hours.session_date == self._floor.hours.session_date:
            return self._today(end, at).filter(pl.col("symbol") == symbol)
        found = frame_of(self._floor.market, hours.session_date, (symbol,))
        return found.sort("ts", maintain_order=True)

    def _daily(self, symbol: str, hours: SessionHours) -> pl.DataFrame:
        """Give a session's daily bar of a symbol as one row, or none."""
        if hours.session_date == self._floor.hours.session_date:
            return daily(self._minutes(symbol, hours, self._floor.now, self._floor.now), hours)
        return self._day(symbol, hours)

    def _make_day(self, symbol: str, hours: SessionHours) -> pl.DataFrame:
        """Make the daily bar of a session that is over."""
        over = hours.closes_at + ONE_DAY
        return daily(self._minutes(symbol, hours, over, over), hours)

    def _tape(self, symbol: str, hours: SessionHours) -> Tape:
        """Give the tape a session's prints of a symbol stand on."""
        today = self._floor.tape
        return today if hours == today.hours else self._old_tape(symbol, hours)

    def _make_tape(self, symbol: str, hours: SessionHours) -> Tape:
        """Make one symbol's tape of a session that is over."""
        return Tape(self._floor.market, hours, self._floor.rules, symbols=(symbol,))

    def _recent(self) -> Iterator[SessionHours]:
        """Give today's session and those before it, newest first."""
        today = self._floor.hours.session_date
        first = max(today - timedelta(days=2 * LOOK_BACK_SESSIONS), FIRST_DAY)
        found = sessions_between(first, min(today + ONE_DAY, LAST_DAY))
        yield from tuple(reversed(found))[:LOOK_BACK_SESSIONS]

    def _span(self, start: datetime, end: datetime, days: int) -> tuple[date, date]:
        """Give the first and last session date that [start, end] may have rows of."""
        today = self._floor.hours.session_date
        first = max(start.date() - ONE_DAY, today - timedelta(days=days), FIRST_DAY)
        return first, min(end.date(), today)


def midnight(instant: datetime) -> datetime:
    """Give the New York midnight before an instant: where a request without a start begins."""
    return from_new_york(new_york(instant).date(), time(0))


def _chosen(rows: pl.DataFrame, start: datetime, end: datetime, newest_first: bool) -> pl.DataFrame:
    """Keep the rows of [start, end] and bring each symbol's into the order asked for."""
    kept = rows.filter((pl.col("ts") >= start) & (pl.col("ts") <= end))
    return kept.sort("symbol", "ts", descending=[False, newest_first], maintain_order=True)


def _adjusted(rows: pl.DataFrame, splits: Sequence[SplitDone]) -> pl.DataFrame:
    """Give rows in today's shares: prices before a split divided by its ratio, volumes multiplied."""
    for split in splits:
        earlier = (pl.col("symbol") == split.symbol) & (pl.col("ts") < split.at)
        ratio = float(split.new / split.old)
        rows = rows.with_columns(
            *(
                pl.when(earlier).then((pl.col(name) / ratio).round(4)).otherwise(pl.col(name)).alias(name)
                for name in (*PRICES, "vwap")
            ),
            pl.when(earlier)
            .then((pl.col("volume") * ratio).round(0).cast(pl.Int64))
            .otherwise(pl.col("volume"))
            .alias("volume"),
        )
    return rows
