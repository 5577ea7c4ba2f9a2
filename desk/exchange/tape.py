"""One session date of a market, ready to be asked by instant.

The tape holds every symbol's minutes as plain arrays and makes Decimal prints of a minute only when an
order or a valuation asks for it: a minute nobody trades in costs nothing, and neither does a symbol nobody
asks for. Where the source has a minute twice, the first row is played; both stay in the frame that is
published. A minute that the market revises is played as it ends up; until half a minute after its mark
what is published of it is its first print (desk/exchange/revisions.py).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Protocol, runtime_checkable

import polars as pl

from desk.exchange.market import Market, frame_of
from desk.exchange.matching import (
    PRINT_SPACING,
    PRINTS_PER_MINUTE,
    Bar,
    Print,
    Rules,
    is_sound,
    prints,
    quote,
    tape_price,
)
from desk.exchange.revisions import first_prints
from schemas.account import SessionHours
from schemas.bars import RAW_SCHEMA, UTC_US

MINUTE = timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)
PUBLISH_AFTER = timedelta(seconds=61)  # a bar is computed about 1 s after its minute (ALPACA.md section 4.1)
REVISED_AFTER = timedelta(seconds=90)  # and published again about 30 s after the mark, if it changed
EXTENDED_BEFORE = timedelta(hours=5, minutes=30)  # a session date begins at 04:00 New York
CACHE_MINUTES = (
    32  # minutes of prints kept per symbol: matching and quotes ask for the newest again and again
)
LAST_PRINT_AFTER = (PRINTS_PER_MINUTE - 1) * PRINT_SPACING  # of a minute, its close
LOOK_BACK_MINUTES = 1440  # bound of the search for the last sound print: a day has no more minutes
# One row for each time a minute is published.
PUBLICATION_SCHEMA: dict[str, pl.DataType] = {
    **RAW_SCHEMA,
    "public_at": UTC_US,
    "until": UTC_US,  # null: it stands for good
    "revision": pl.Boolean(),  # it changes what was published of its minute before
}


@dataclass(slots=True)
class Lane:
    """One symbol's minutes of the day, sorted and unique by start; `cache` holds the prints made last."""

    starts: Sequence[datetime]
    bars: Sequence[Bar]
    cache: dict[int, tuple[Print, ...]] = field(default_factory=dict)


@runtime_checkable
class LaneMarket(Protocol):
    """A market that has its bars in arrays: no frame is made of a session for those who play it."""

    def has_bars(self, session_date: date) -> bool:
        """Tell whether a date has any bar."""
        ...

    def lane(self, hours: SessionHours, symbol: str) -> Lane | None:
        """Give a symbol's minutes of a session; None where it has none."""
        ...


@dataclass(slots=True)
class Silence:
    """A stretch in which nothing of a symbol is told, both ends included, or until further notice."""

    begins_at: datetime
    ends_at: datetime | None = None

    def covers(self, at: datetime) -> bool:
        """Tell whether an instant lies in it."""
        return self.begins_at <= at and (self.ends_at is None or at <= self.ends_at)


class Tape:
    """A session date's bars of all symbols."""

    def __init__(
        self, market: Market, hours: SessionHours, rules: Rules, *, symbols: tuple[str, ...] | None = None
    ) -> None:
        """Ask the market for the session's bars, all of them or those of `symbols`."""
        self.hours = hours
        self._market = market
        self._only = symbols
        self._rules = rules
        self._priors: dict[str, Decimal | None] = {}
        self._marks: dict[str, Decimal | None] = {}  # by symbol, of the newest instant asked for
        self._marked_at: datetime | None = None
        self._lanes: dict[str, Lane | None] = {}
        self._silences: dict[str, list[Silence]] = {}
        self._table: pl.DataFrame | None = None

    @cached_property
    def frame(self) -> pl.DataFrame:
        """Give the session's rows, columns of `RAW_SCHEMA`, in order of time."""
        if self._only is None:
            rows = self._market.frame(self.hours.session_date)
        else:
            rows = frame_of(self._market, self.hours.session_date, self._only)
        return rows.sort("ts", maintain_order=True)

    @cached_property
    def _stamps(self) -> Sequence[datetime]:
        return self.frame["ts"].to_list()

    @cached_property
    def _early(self) -> pl.DataFrame | None:
        return _early(self.frame, first_prints(self._market, self.hours.session_date))

    def has_bars(self) -> bool:
        """Tell whether the session has any row."""
        if isinstance(self._market, LaneMarket):
            return self._market.has_bars(self.hours.session_date)
        return self.frame.height > 0

    @property
    def starts_at(self) -> datetime:
        """Give the instant the session date begins, extended hours included."""
        return self.hours.opens_at - EXTENDED_BEFORE

    @property
    def symbols(self) -> tuple[str, ...]:
        """Give the symbols of the market, those without a bar today included."""
        return self._market.symbols

    def published(self, now: datetime, start: datetime, end: datetime) -> pl.DataFrame:
        """Give the rows with ts in [start, end) that are public at `now`, all symbols, in order of time.

        A minute that is revised later stands there as it was first published; one that began in a silence
        is not there.
        """
        if self._table is not None:
            at = pl.lit(now, UTC_US)
            known = (pl.col("public_at") <= at) & (pl.col("until").is_null() | (pl.col("until") > at))
            inside = pl.col("ts").is_between(pl.lit(start, UTC_US), pl.lit(end, UTC_US), closed="left")
            return self._heard(self._table.filter(known & inside).select(list(RAW_SCHEMA)))
        low = bisect_left(self._stamps, start)
        high = max(min(bisect_left(self._stamps, end), bisect_right(self._stamps, now - PUBLISH_AFTER)), low)
        if self._early is None:
            return self._heard(self.frame.slice(low, high - low))
        settled = min(max(bisect_right(self._stamps, now - REVISED_AFTER), low), high)
        early = self._early.slice(settled, high - settled).filter("public").drop("public", "revised")
        return self._heard(pl.concat([self.frame.slice(low, settled - low), early]))

    def due(self, after: datetime, through: datetime, *, revision: bool) -> pl.DataFrame:
        """Give the rows whose publication is in (after, through], as they are then, with `public_at`.

        Args:
            after: excluded.
            through: included.
            revision: the second publications instead of the first.
        """
        if self._table is not None:
            late = pl.col("public_at").is_between(
                pl.lit(after, UTC_US), pl.lit(through, UTC_US), closed="right"
            )
            rows = self._table.filter(late & (pl.col("revision") == revision))
            return self._heard(rows.sort("public_at", maintain_order=True).select(*RAW_SCHEMA, "public_at"))
        wait = REVISED_AFTER if revision else PUBLISH_AFTER
        low = bisect_right(self._stamps, after - wait)
        high = bisect_right(self._stamps, through - wait)
        rows = self.frame.slice(low, high - low)
        if revision:
            rows = (
                rows.clear()
                if self._early is None
                else rows.filter(self._early["revised"].slice(low, high - low))
            )
        elif self._early is not None:
            rows = self._early.slice(low, high - low).filter("public").drop("public", "revised")
        return self._heard(rows).with_columns(public_at=pl.col("ts") + wait)

    def silence(self, symbol: str, at: datetime) -> None:
        """Tell nothing of a symbol from an instant on, as in a halt; a second one changes nothing."""
        silences = self._silences.setdefault(symbol, [])
        if not silences or silences[-1].ends_at is not None:
            silences.append(Silence(at))

    def resume(self, symbol: str, at: datetime) -> None:
        """Tell of a symbol again from an instant on."""
        silences = self._silences.get(symbol, [])
        if silences and silences[-1].ends_at is None:
            silences[-1].ends_at = at

    def last_told(self, symbol: str, now: datetime) -> Print | None:
        """Give the newest sound print at or before `now` that was not passed over in silence."""
        last = self.last(symbol, now)
        for silence in reversed(self._silences.get(symbol, ())):
            if last is not None and silence.covers(last.at):
                last = self.last(symbol, silence.begins_at - MICROSECOND)
        return last

    def publications(self) -> pl.DataFrame:
        """Give every publication of the day: `PUBLICATION_SCHEMA`, by ts.

        A minute that is revised has two rows: one that stands until the other is public.
        """
        if self._table is not None:
            return self._table
        late = pl.lit(False) if self._early is None else self._early["revised"]
        final = self.frame.with_columns(revision=late).with_columns(
            public_at=pl.col("ts") + pl.when("revision").then(REVISED_AFTER).otherwise(PUBLISH_AFTER),
            until=pl.lit(None, UTC_US),
        )
        rows = [final.select(list(PUBLICATION_SCHEMA))]
        if self._early is not None:
            first = self._early.filter(pl.col("revised") & pl.col("public")).with_columns(
                public_at=pl.col("ts") + PUBLISH_AFTER,
                until=pl.col("ts") + REVISED_AFTER,
                revision=pl.lit(False),
            )
            rows.insert(0, first.select(list(PUBLICATION_SCHEMA)))
        return pl.concat(rows).sort("ts", "public_at", maintain_order=True)

    def publish(self, table: pl.DataFrame) -> None:
        """Publish the day otherwise than by the rule: the rows of `publications`, changed (fault plans)."""
        self._table = table.select(list(PUBLICATION_SCHEMA)).sort("ts", "public_at", maintain_order=True)

    def minutes_between(
        self, symbol: str, after: datetime, through: datetime
    ) -> Iterator[tuple[tuple[Print, ...], int]]:
        """Give (sound prints told, volume) of a symbol's minutes that may have prints in (after, through]."""
        lane = self._lane(symbol)
        if lane is None:
            return
        silences = self._silences.get(symbol, ())
        first = max(bisect_right(lane.starts, after) - 1, 0)
        for place in range(first, bisect_right(lane.starts, through)):
            minute = self._prints(lane, place)
            if silences:
                minute = tuple(seen for seen in minute if not any(s.covers(seen.at) for s in silences))
            yield minute, lane.bars[place].volume

    def prints_between(
        self, symbol: str, after: datetime, through: datetime
    ) -> list[tuple[Print, Print | None]]:
        """Give the prints in (after, through] with the one before each in its minute, in order of time."""
        lane = self._lane(symbol)
        if lane is None:
            return []
        found: list[tuple[Print, Print | None]] = []
        first = max(bisect_right(lane.starts, after) - 1, 0)
        for place in range(first, bisect_right(lane.starts, through)):
            before: Print | None = None
            for seen in self._prints(lane, place):
                if after < seen.at <= through:
                    found.append((seen, before))
                before = seen
        return found

    def live(self, symbol: str, now: datetime) -> Print | None:
        """Give the print that can be traded on at `now`, if any."""
        last = self.last(symbol, now)
        return last if last is not None and now < last.ends_at else None

    def last(self, symbol: str, now: datetime) -> Print | None:
        """Give the newest sound print at or before `now`, however old."""
        lane = self._lane(symbol)
        if lane is None:
            return None
        place = bisect_right(lane.starts, now) - 1
        if place >= 0 and now - lane.starts[place] < PRINT_SPACING:
            if opening := self._prints(lane, place, only_open=True):
                return opening[0]
            place -= 1
        for back in range(place, max(place - LOOK_BACK_MINUTES, -1), -1):
            for seen in reversed(self._prints(lane, back)):
                if seen.at <= now:
                    return seen
        return None

    def prior_close(self, symbol: str) -> Decimal | None:
        """Give the close of the session before, or None when the market does not have it."""
        if symbol not in self._priors:
            close = self._market.prior_close(symbol, self.hours.session_date)
            self._priors[symbol] = None if close is None else tape_price(close)
        return self._priors[symbol]

    def mark(self, symbol: str, now: datetime) -> Decimal | None:
        """Give the price of a share: last sound print, else prior close, else the day's first price."""
        return self._marks_at((symbol,), now)[symbol]

    def marks(self, symbols: Iterable[str], now: datetime) -> dict[str, Decimal]:
        """Give the marks of those symbols that have one."""
        known = self._marks_at(symbols, now)
        return {symbol: mark for symbol in symbols if (mark := known[symbol]) is not None}

    def _marks_at(self, symbols: Iterable[str], now: datetime) -> Mapping[str, Decimal | None]:
        """Give marks, each symbol's found once an instant."""
        if self._marked_at != now:
            self._marked_at, self._marks = now, {}
        known = self._marks
        for symbol in symbols:
            if symbol not in known:
                known[symbol] = self._mark(symbol, now)
        return known

    def _mark(self, symbol: str, now: datetime) -> Decimal | None:
        plain = self._plain_mark(symbol, now)
        if plain is not None:
            return plain
        last = self.last(symbol, now)
        if last is not None:
            return last.price
        prior = self.prior_close(symbol)
        if prior is not None:
            return prior
        lane = self._lane(symbol)
        for place in range(len(lane.starts) if lane is not None else 0):
            assert lane is not None
            for seen in self._prints(lane, place):
                return seen.price
        return None

    def _plain_mark(self, symbol: str, now: datetime) -> Decimal | None:
        """Give the open of a minute that has just begun or the close of one that is over, without its prints.

        Both are prints whatever the band, which is laid around them. None where it is not that plain.
        """
        lane = self._lane(symbol)
        place = -1 if lane is None else bisect_right(lane.starts, now) - 1
        if lane is None or place < 0:
            return None
        bar, age = lane.bars[place], now - lane.starts[place]
        if not is_sound(bar) or (bar.volume <= 0 and self._rules.participation is not None):
            return None
        if age < PRINT_SPACING:
            price = tape_price(bar.open)
        elif age >= LAST_PRINT_AFTER:
            price = tape_price(bar.close)
        else:
            return None
        return price if price > 0 else None

    def quote(self, symbol: str, now: datetime) -> tuple[Decimal, Decimal] | None:
        """Give (bid, ask) around the mark."""
        mark = self.mark(symbol, now)
        return None if mark is None else quote(mark, self._rules.spread_bps, self._rules.slippage_bps)

    def _heard(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Leave out the rows whose minute began in a silence of its symbol."""
        for symbol, silences in self._silences.items():
            for silence in silences:
                inside = (pl.col("symbol") == symbol) & (pl.col("ts") >= silence.begins_at)
                if silence.ends_at is not None:
                    inside &= pl.col("ts") < silence.ends_at
                rows = rows.filter(~inside)
        return rows

    def _lane(self, symbol: str) -> Lane | None:
        """Give a symbol's lane, arranged when it is first asked for; None when it has no row."""
        if symbol not in self._lanes and isinstance(self._market, LaneMarket):
            self._lanes[symbol] = self._market.lane(self.hours, symbol)
        if symbol not in self._lanes:
            rows = self.frame.filter(pl.col("symbol") == symbol)
            self._lanes[symbol] = lane_of(rows) if rows.height > 0 else None
        return self._lanes[symbol]

    def _prints(self, lane: Lane, place: int, *, only_open: bool = False) -> tuple[Print, ...]:
        """Give a minute's sound prints, made once, or the one at its open, if that is sound."""
        made = lane.cache.get(place)
        if made is None:
            made = prints(
                lane.bars[place],
                lane.starts[place],
                opens_at=self.hours.opens_at,
                closes_at=self.hours.closes_at,
                rules=self._rules,
                only_open=only_open,
            )
            if only_open:
                return made
            if len(lane.cache) >= CACHE_MINUTES:
                del lane.cache[next(iter(lane.cache))]
            lane.cache[place] = made
        return made


def _early(frame: pl.DataFrame, first: pl.DataFrame) -> pl.DataFrame | None:
    """Give a frame as it is first published, row by row, or None when nothing is revised.

    Column `revised` marks the rows that change later, `public` those that are published at first at all.
    """
    if first.height == 0:
        return None
    values = [name for name in RAW_SCHEMA if name not in ("symbol", "ts")]
    first = first.unique(subset=["symbol", "ts"], keep="first").rename({name: f"{name}_1" for name in values})
    joined = frame.join(
        first.with_columns(revised=pl.lit(value=True)), on=["symbol", "ts"], how="left", maintain_order="left"
    ).with_columns(pl.col("revised").fill_null(value=False))
    public = ~pl.col("revised") | pl.col("volume_1").is_not_null()
    return joined.select(
        "symbol",
        "ts",
        *(pl.when("revised").then(f"{name}_1").otherwise(name).alias(name) for name in values),
        "revised",
        public=public,
    ).select(*frame.columns, "public", "revised")


def lane_of(part: pl.DataFrame) -> Lane:
    """Make one symbol's arrays: first row of each minute, missing prices as NaN, missing volume as none."""
    unique = part.unique(subset="ts", keep="first", maintain_order=True)
    nan = float("nan")
    rows = zip(
        *(unique[name].fill_null(nan).to_list() for name in ("open", "high", "low", "close")),
        unique["volume"].fill_null(0).to_list(),
        strict=True,
    )
    return Lane(
        starts=[stamp.astimezone(UTC) for stamp in unique["ts"].to_list()],
        bars=[Bar(*row) for row in rows],
    )
