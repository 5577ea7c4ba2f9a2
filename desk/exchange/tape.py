"""One session date of a market, ready to be asked by instant.

The tape holds every symbol's minutes as plain arrays and makes Decimal prints of a minute only when an
order or a valuation asks for it: a minute nobody trades in costs nothing, and neither does a symbol nobody
asks for. Where the source has a minute twice, the first row is played; both stay in the frame that is
published. A minute that the market revises is played as it ends up; until half a minute after its mark
what is published of it is its first print (desk/exchange/revisions.py).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl

from desk.exchange.market import Market
from desk.exchange.matching import Bar, Print, Rules, prints, quote, tape_price
from desk.exchange.revisions import first_prints
from schemas.account import SessionHours
from schemas.bars import RAW_SCHEMA

MINUTE = timedelta(minutes=1)
PUBLISH_AFTER = timedelta(seconds=61)  # a bar is computed about 1 s after its minute (ALPACA.md section 4.1)
REVISED_AFTER = timedelta(seconds=90)  # and published again about 30 s after the mark, if it changed
EXTENDED_BEFORE = timedelta(hours=5, minutes=30)  # a session date begins at 04:00 New York
LOOK_BACK_MINUTES = 1440  # bound of the search for the last sound print: a day has no more minutes


@dataclass(slots=True)
class Lane:
    """One symbol's minutes of the day, sorted and unique by start; `cache` holds prints made so far."""

    starts: Sequence[datetime]
    bars: Sequence[Bar]
    cache: dict[int, tuple[Print, ...]] = field(default_factory=dict)


class Tape:
    """A session date's bars of all symbols."""

    def __init__(self, market: Market, hours: SessionHours, rules: Rules) -> None:
        """Ask the market for the session's bars and arrange them."""
        self.hours = hours
        self.frame = market.frame(hours.session_date).sort("ts", maintain_order=True)
        self._market = market
        self._rules = rules
        self._priors: dict[str, Decimal | None] = {}
        self._stamps: Sequence[datetime] = self.frame["ts"].to_list()
        self._lanes: dict[str, Lane | None] = {}
        self._early = _early(self.frame, first_prints(market, hours.session_date))

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

        A minute that is revised later stands there as it was first published.
        """
        low = bisect_left(self._stamps, start)
        high = max(min(bisect_left(self._stamps, end), bisect_right(self._stamps, now - PUBLISH_AFTER)), low)
        if self._early is None:
            return self.frame.slice(low, high - low)
        settled = min(max(bisect_right(self._stamps, now - REVISED_AFTER), low), high)
        early = self._early.slice(settled, high - settled).filter("public").drop("public", "revised")
        return pl.concat([self.frame.slice(low, settled - low), early])

    def first_published(self, after: datetime, through: datetime) -> pl.DataFrame:
        """Give the rows whose first publication is in (after, through], as they were then, by time."""
        low = bisect_right(self._stamps, after - PUBLISH_AFTER)
        high = bisect_right(self._stamps, through - PUBLISH_AFTER)
        if self._early is None:
            return self.frame.slice(low, high - low)
        return self._early.slice(low, high - low).filter("public").drop("public", "revised")

    def revised(self, after: datetime, through: datetime) -> pl.DataFrame:
        """Give the rows whose revision is published in (after, through], as they end up, by time."""
        if self._early is None:
            return self.frame.clear()
        low = bisect_right(self._stamps, after - REVISED_AFTER)
        high = bisect_right(self._stamps, through - REVISED_AFTER)
        return self.frame.slice(low, high - low).filter(self._early["revised"].slice(low, high - low))

    def minutes_between(
        self, symbol: str, after: datetime, through: datetime
    ) -> Iterator[tuple[tuple[Print, ...], int]]:
        """Give (sound prints, volume) of a symbol's minutes that may have prints in (after, through]."""
        lane = self._lane(symbol)
        if lane is not None:
            first = max(bisect_right(lane.starts, after) - 1, 0)
            for place in range(first, bisect_right(lane.starts, through)):
                yield self._prints(lane, place), lane.bars[place].volume

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

    def quote(self, symbol: str, now: datetime) -> tuple[Decimal, Decimal] | None:
        """Give (bid, ask) around the mark."""
        mark = self.mark(symbol, now)
        return None if mark is None else quote(mark, self._rules.spread_bps)

    def _lane(self, symbol: str) -> Lane | None:
        """Give a symbol's lane, arranged when it is first asked for; None when it has no row."""
        if symbol not in self._lanes:
            rows = self.frame.filter(pl.col("symbol") == symbol)
            self._lanes[symbol] = lane_of(rows) if rows.height > 0 else None
        return self._lanes[symbol]

    def _prints(self, lane: Lane, place: int) -> tuple[Print, ...]:
        """Give a minute's sound prints, made once."""
        made = lane.cache.get(place)
        if made is None:
            made = prints(
                lane.bars[place],
                lane.starts[place],
                opens_at=self.hours.opens_at,
                closes_at=self.hours.closes_at,
                rules=self._rules,
            )
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
