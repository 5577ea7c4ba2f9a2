"""The bars of a backtest in arrays: a market for the venue, and the bars of a session for the desk.

One frame of judged bars of the regular session is cut into arrays by symbol and, for each session, into a
grid of its minutes: for every minute the row of the newest bar at or before it. What is asked in the minute
loop are then lookups, and a minute in which nobody asks costs nothing (desk/research/foresight.py).

A bar is known when its minute ended and the desk's `bar_delay_s` has passed, as in a live session; prices
before a session's first bar are those of the newest bar before it, in the session's shares where a split lies
between.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from math import prod

import numpy as np
import polars as pl
from numpy.typing import NDArray

from desk.errors import ConfigError, NoBars
from desk.exchange.matching import Bar
from desk.exchange.tape import Lane
from desk.hours import minutes, session_hours, sessions_between
from desk.money import nearest_tick
from desk.split_watch import SplitGuard
from desk.splits import starts_at
from desk.tape import EPOCH, MINUTE_US, microseconds
from desk.views import MarketView
from schemas.account import Asset, BrokerAccount, SessionHours, Split
from schemas.bars import RAW_SCHEMA

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Track:
    """One symbol's bars of the whole backtest, by time."""

    ts: Ints  # left edges, microseconds since 1970
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Ints


class Reel:
    """Judged bars of many sessions; a market for `desk.exchange.venue.Venue`."""

    provider = "backtest"

    def __init__(
        self, frame: pl.DataFrame, *, splits: Sequence[Split] = (), since: date | None = None
    ) -> None:
        """Cut a frame into arrays.

        Args:
            frame: columns of `RAW_SCHEMA`, sorted by (symbol, ts) and unique by them, of the regular session.
            splits: of raw bars, those that there were.
            since: the first session to play; bars before it only say what prices were. None: the first.

        Raises:
            NoBars: there is no row to play.
        """
        if frame.height == 0:
            raise NoBars("a backtest needs at least one bar")
        self._frame = frame
        columns = [frame["ts"].to_physical(), *(frame[n] for n in ("open", "high", "low", "close", "volume"))]
        arrays = [column.to_numpy() for column in columns]
        lengths = frame["symbol"].rle().struct.unnest()
        self.tracks: dict[str, Track] = {}
        self.first_row: dict[str, int] = {}  # of each symbol, in the frame
        start = 0
        for length, symbol in zip(lengths["len"].to_list(), lengths["value"].to_list(), strict=True):
            self.tracks[symbol] = Track(*(array[start : start + length] for array in arrays))
            self.first_row[symbol] = start
            start += length
        self.symbols = tuple(self.tracks)
        first, last = frame["ts"].min(), frame["ts"].max()
        assert isinstance(first, datetime), "ts is an instant"
        assert isinstance(last, datetime), "ts is an instant"
        known = sessions_between(first.date() - DAY, last.date() + 2 * DAY)
        self._spans = {hours.session_date: self._span(hours) for hours in known}
        begins = date.min if since is None else since
        played = (hours for hours in known if hours.session_date >= begins)
        self.sessions = tuple(hours for hours in played if self.has_bars(hours.session_date))
        if not self.sessions:
            raise NoBars(f"a backtest needs at least one bar since {begins}")
        self._grids: tuple[date, dict[str, Ints]] = (date.min, {})
        self.splits = tuple(splits)

    @property
    def bars(self) -> int:
        """Count the bars."""
        return self._frame.height

    # ---- the venue's side -----------------------------------------------------------------

    def frame(self, session_date: date) -> pl.DataFrame:
        """Give a date's bars, columns of `RAW_SCHEMA`."""
        parts = [
            self._frame.slice(self.first_row[symbol] + low, high - low)
            for symbol, (low, high) in self._spans.get(session_date, {}).items()
        ]
        return pl.concat(parts) if parts else pl.DataFrame(schema=RAW_SCHEMA)

    def prior_close(self, symbol: str, session_date: date) -> float | None:
        """Give the last close before a date; None where there is none."""
        track, hours = self.tracks.get(symbol), session_hours(session_date)
        if track is None or hours is None:
            return None
        row = int(np.searchsorted(track.ts, microseconds(hours.opens_at))) - 1
        return None if row < 0 else float(track.close[row]) * self.carry(hours, symbol)

    def has_bars(self, session_date: date) -> bool:
        """Tell whether a date has any bar."""
        return bool(self._spans.get(session_date))

    def lane(self, hours: SessionHours, symbol: str) -> Lane | None:
        """Give a symbol's minutes of a session for the venue to play."""
        span = self._spans.get(hours.session_date, {}).get(symbol)
        if span is None:
            return None
        track, (low, high) = self.tracks[symbol], span
        edges = minutes(hours)
        if high - low == len(edges):
            return Lane(starts=edges, bars=BarRows(track, low, high))
        places = (track.ts[low:high] - microseconds(hours.opens_at)) // MINUTE_US
        return Lane(starts=[edges[place] for place in places.tolist()], bars=BarRows(track, low, high))

    # ---- the desk's side ------------------------------------------------------------------

    def span(self, session_date: date, symbol: str) -> tuple[int, int] | None:
        """Give the rows [low, high) of a symbol's track in a session; None where it has none."""
        return self._spans.get(session_date, {}).get(symbol)

    def grid(self, hours: SessionHours, symbol: str) -> Ints:
        """Give, for every minute of a session, the row of the newest bar at or before it; -1 for none."""
        day, grids = self._grids
        if day != hours.session_date:
            grids = {}
            self._grids = hours.session_date, grids
        found = grids.get(symbol)
        if found is None:
            edges = np.arange(len(minutes(hours)), dtype=np.int64) * MINUTE_US + microseconds(hours.opens_at)
            found = np.searchsorted(self.tracks[symbol].ts, edges, side="right") - 1
            grids[symbol] = found
        return found

    def carry(self, hours: SessionHours, symbol: str) -> float:
        """Give what a symbol's last price before a session is multiplied by to be of the session's shares."""
        mine = [each for each in self.splits if each.symbol == symbol and each.ex_date <= hours.session_date]
        if not mine:
            return 1.0
        ts = self.tracks[symbol].ts
        row = int(np.searchsorted(ts, microseconds(hours.opens_at))) - 1
        between = [each for each in mine if row >= 0 and ts[row] < microseconds(starts_at(each))]
        return prod(float(each.old / each.new) for each in between)

    def close(self, hours: SessionHours, symbol: str, row: int) -> float:
        """Give the close of a row in the shares of a session that has no newer bar at some minute."""
        track = self.tracks[symbol]
        found = float(track.close[row])
        if self.splits and track.ts[row] < microseconds(hours.opens_at):
            found *= self.carry(hours, symbol)
        return found

    def _span(self, hours: SessionHours) -> dict[str, tuple[int, int]]:
        """Give the rows of a session by symbol, of those that have any."""
        edges = [microseconds(hours.opens_at), microseconds(hours.closes_at)]
        found = {}
        for symbol, track in self.tracks.items():
            low, high = np.searchsorted(track.ts, edges).tolist()
            if low < high:
                found[symbol] = (low, high)
        return found


class BarRows(Sequence[Bar]):
    """Rows of a track as the venue's bars, each made when it is asked for."""

    def __init__(self, track: Track, low: int, high: int) -> None:
        """Keep the rows [low, high)."""
        self._track = track
        self._low = low
        self._count = high - low

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> Bar:  # type: ignore[override]  # nobody slices them
        if not 0 <= place < self._count:
            raise IndexError(place)
        track, row = self._track, self._low + place
        return Bar(
            float(track.open[row]),
            float(track.high[row]),
            float(track.low[row]),
            float(track.close[row]),
            int(track.volume[row]),
        )


class Closes(Mapping[str, Decimal]):
    """The newest closes at one minute, each made a Decimal when it is asked for."""

    def __init__(self, reel: Reel, hours: SessionHours, place: int) -> None:
        """Look from a minute of a session; place -1 is before its first."""
        self._reel = reel
        self._hours = hours
        self._place = place
        self._made: dict[str, Decimal | None] = {}

    def get(self, symbol: str, default: Decimal | None = None) -> Decimal | None:  # type: ignore[override]
        """Give a symbol's newest close at the nearest tick."""
        if symbol not in self._made:
            self._made[symbol] = self._look_up(symbol)
        found = self._made[symbol]
        return default if found is None else found

    def __getitem__(self, symbol: str) -> Decimal:
        found = self.get(symbol)
        if found is None:
            raise KeyError(symbol)
        return found

    def __contains__(self, symbol: object) -> bool:
        return isinstance(symbol, str) and self.get(symbol) is not None

    def __iter__(self) -> Iterator[str]:
        return (symbol for symbol in self._reel.symbols if symbol in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def row(self, symbol: str) -> int:
        """Give the row of a symbol's newest bar; -1 for none."""
        if symbol not in self._reel.tracks:
            return -1
        grid = self._reel.grid(self._hours, symbol)
        if self._place >= 0:
            return int(grid[self._place])
        first = int(grid[0])
        track = self._reel.tracks[symbol]
        is_todays = first >= 0 and int(track.ts[first]) == microseconds(self._hours.opens_at)
        return first - 1 if is_todays else first

    def _look_up(self, symbol: str) -> Decimal | None:
        row = self.row(symbol)
        return None if row < 0 else nearest_tick(self._reel.close(self._hours, symbol, row))


class Stamps(Mapping[str, datetime]):
    """The left edges of the newest bars at one minute."""

    def __init__(self, reel: Reel, closes: Closes) -> None:
        """Look from where `closes` looks."""
        self._reel = reel
        self._closes = closes

    def __getitem__(self, symbol: str) -> datetime:
        row = self._closes.row(symbol)
        if row < 0:
            raise KeyError(symbol)
        return EPOCH + timedelta(microseconds=int(self._reel.tracks[symbol].ts[row]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._closes)

    def __len__(self) -> int:
        return len(self._closes)


class Showing:
    """The bars of one session as it asks for them (`desk.intake.Bars`)."""

    def __init__(
        self,
        reel: Reel,
        *,
        symbols: Sequence[str],
        assets: Mapping[str, Asset],
        delay: timedelta,
        guard: SplitGuard | None = None,
    ) -> None:
        """Keep what is shown.

        Args:
            reel: the bars.
            symbols: what the desk watches.
            assets: what the broker says of them.
            delay: how long after its end a minute is decided on.
            guard: the splits that entries are kept from; None: none.
        """
        self.symbols = tuple(symbols)
        self._reel = reel
        self._assets = dict(assets)
        self._wait = MINUTE + delay
        self._guard = SplitGuard() if guard is None else guard
        self._hours: SessionHours | None = None
        self._edges: tuple[datetime, ...] = ()
        self._closes: Closes | None = None

    def prepare(self, hours: SessionHours) -> None:
        """Begin a session.

        Raises:
            ConfigError: the broker does not know a symbol.
        """
        unknown = [symbol for symbol in self.symbols if symbol not in self._assets]
        if unknown:
            raise ConfigError(f"symbols: {', '.join(unknown)} not known to the broker")
        self._hours, self._edges = hours, minutes(hours)
        self._closes = Closes(self._reel, hours, -1)

    def place_of(self, minute: datetime) -> int:
        """Give the place of a minute in the session."""
        return bisect_right(self._edges, minute) - 1

    def ingest(self, minute: datetime) -> Sequence[int]:
        """Go on to a minute; gives one number per bar it has, since nobody needs more of them."""
        assert self._hours is not None, "prepare comes first"
        place = self.place_of(minute)
        self._closes = Closes(self._reel, self._hours, place)
        return range(int(self.counts[place]))

    @cached_property
    def counts(self) -> Ints:
        """Give the number of bars of every minute of the session."""
        assert self._hours is not None, "prepare comes first"
        found = np.zeros(len(self._edges), dtype=np.int64)
        opens = microseconds(self._hours.opens_at)
        for symbol in self.symbols:
            span = self._reel.span(self._hours.session_date, symbol)
            if span is not None:
                found[(self._reel.tracks[symbol].ts[span[0] : span[1]] - opens) // MINUTE_US] += 1
        return found

    def audit(self, minute: datetime) -> None:
        """Do nothing: nothing was lost."""

    def hear(self) -> None:
        """Do nothing: nobody speaks."""

    def due(self, minute: datetime) -> datetime:
        """Give when a minute is decided on."""
        return minute + self._wait

    def last_due(self, minute: datetime) -> datetime:
        """Give when a minute is decided on."""
        return minute + self._wait

    def is_missing(self, minute: datetime) -> bool:
        """Give False: what is not there never comes."""
        return False

    def last_prices(self) -> Closes:
        """Give the newest closes."""
        assert self._closes is not None, "prepare comes first"
        return self._closes

    def is_todays(self, symbol: str) -> bool:
        """Tell whether a symbol's newest close is of this session."""
        assert self._hours is not None, "prepare comes first"
        row = self.last_prices().row(symbol)
        return row >= 0 and int(self._reel.tracks[symbol].ts[row]) >= microseconds(self._hours.opens_at)

    def known(self, *, prices: Mapping[str, Decimal], account: BrokerAccount | None) -> MarketView:
        """Give what is known of the market now."""
        return MarketView(
            prices=prices,
            newest_bar_ts=Stamps(self._reel, self.last_prices()),
            assets=self._assets,
            account=account,
            splitting=self._guard.today,
            splits_ahead=self._guard.ahead,
        )

    def flush(self) -> None:
        """Do nothing: the bars were kept before the backtest began."""

    def stop(self) -> None:
        """Do nothing: nobody speaks."""
