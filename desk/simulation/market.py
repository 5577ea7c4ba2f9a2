"""A market of one seed that has only the minutes a scenario plays.

Prices walk with fat tails, jumps and bad wicks; volumes are thin at times, so that orders fill in parts;
symbols lose minutes and halt. Some rows are what no exchange should send: NaN, crossed, of zero volume,
twice, twice and different. Such rows are published and played by the venue like any others (it fills
nobody at a row that is not sound), so the desk meets them where a real feed would have them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from desk.simulation.chance import Chance
from schemas.bars import RAW_SCHEMA

MINUTE = timedelta(minutes=1)
NAN = float("nan")
# Base prices around which symbols walk: dear and cheap ones, and one under a dollar with its finer tick.
BASES: Mapping[str, float] = {
    "AAPL": 230.0, "MSFT": 430.0, "XOM": 118.0, "NVDA": 140.0, "KO": 63.0, "F": 11.0, "NIO": 5.0,
    "SNDL": 0.91,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dirt:
    """How often a row is bad, by kind; fractions of rows."""

    missing: float = 0.0
    nan: float = 0.0
    crossed: float = 0.0
    empty: float = 0.0  # zero volume
    doubled: float = 0.0
    contradicted: float = 0.0  # twice, with different prices
    halted: float = 0.0  # chance a symbol halts for some minutes, a minute


class SparseMarket:
    """Bars of the given minutes; satisfies `desk.exchange.market.Market`."""

    provider = "simulated"

    def __init__(
        self,
        chance: Chance,
        symbols: Sequence[str],
        minutes_by_date: Mapping[date, Sequence[datetime]],
        *,
        dirt: Dirt,
        wildness: float,
        thinness: float,
    ) -> None:
        """Make every bar.

        Args:
            chance: what decides.
            symbols: what is traded.
            minutes_by_date: left edges of the minutes to make, by session date.
            dirt: how often a row is bad.
            wildness: sigma of a minute's return.
            thinness: 0 for much volume, 1 for hardly any.
        """
        self.symbols = tuple(sorted(symbols))
        rows: dict[date, list[tuple[object, ...]]] = {day: [] for day in minutes_by_date}
        self._closes: dict[tuple[str, date], float] = {}
        self.counts: dict[str, int] = {}
        for symbol in self.symbols:
            walk = _Walk(chance.of(symbol), symbol, dirt, wildness, thinness, self.counts)
            for day, stamps in minutes_by_date.items():
                self._closes[(symbol, day)] = walk.gap()
                rows[day] += walk.rows(stamps)
        self._frames = {
            day: pl.DataFrame(found, schema=RAW_SCHEMA, orient="row").sort(
                "ts", "symbol", maintain_order=True
            )
            for day, found in rows.items()
        }

    def frame(self, session_date: date) -> pl.DataFrame:
        """Give the date's bars, or no rows."""
        return self._frames.get(session_date, pl.DataFrame(schema=RAW_SCHEMA))

    def prior_close(self, symbol: str, session_date: date) -> float | None:
        """Give the last price before the date."""
        return self._closes.get((symbol, session_date))


class _Walk:
    """One symbol's price on its way."""

    def __init__(
        self,
        chance: Chance,
        symbol: str,
        dirt: Dirt,
        wildness: float,
        thinness: float,
        counts: dict[str, int],
    ) -> None:
        self.chance = chance
        self.symbol = symbol
        self.price = BASES.get(symbol, 50.0) * chance.number(0.9, 1.1)
        self.dirt = dirt
        self.sigma = wildness
        self.shares = 40_000 * (1.0 - thinness) ** 3 + 120
        self.halted = 0
        self.counts = counts
        self.places = 4 if self.price < 2 else 2

    def gap(self) -> float:
        """Move over night; give the close before."""
        before = self._round(self.price)
        self.price *= 1 + self.chance.bell(0.004)
        return before

    def rows(self, stamps: Sequence[datetime]) -> list[tuple[object, ...]]:
        """Give the rows of the minutes, bad ones included."""
        found: list[tuple[object, ...]] = []
        for stamp in stamps:
            row = self._row(stamp)
            if self.halted > 0:
                self.halted -= 1
            elif self.chance.strikes(self.dirt.halted):
                self.halted = self.chance.whole(1, 4)
                self._count("halted symbol")
            elif self.chance.strikes(self.dirt.missing):
                self._count("missing bar")
            else:
                found += self._soiled(row)
        return found

    def _row(self, stamp: datetime) -> tuple[object, ...]:
        chance = self.chance
        jump = chance.bell(self.sigma * 6) if chance.strikes(0.03) else 0.0
        first = self._round(self.price * (1 + chance.bell(self.sigma * 0.2)))
        self.price = max(self.price * (1 + chance.bell(self.sigma) + jump), 0.05)
        last = self._round(self.price)
        high = self._round(max(first, last) * (1 + abs(chance.bell(self.sigma * 0.4))))
        low = self._round(min(first, last) * (1 - abs(chance.bell(self.sigma * 0.4))))
        high, low = max(high, first, last), min(low, first, last)
        volume = int(self.shares * chance.number(0.2, 2.0))
        vwap = round((first + high + low + last) / 4, 4)
        return (self.symbol, stamp, first, high, low, last, volume, vwap, max(volume // 100, 1))

    def _soiled(self, row: tuple[object, ...]) -> list[tuple[object, ...]]:
        """Give the row as the feed has it: usually itself."""
        dirt, chance = self.dirt, self.chance
        symbol, ts, first, high, low, last, volume, vwap, trades = row
        assert isinstance(last, float)
        if chance.strikes(dirt.nan):
            self._count("NaN bar")
            return [(symbol, ts, first, high, low, NAN, volume, vwap, trades)]
        if chance.strikes(dirt.crossed):
            self._count("crossed bar")
            return [(symbol, ts, first, low, high, last, volume, vwap, trades)]
        if chance.strikes(dirt.empty):
            self._count("bar without volume")
            return [(symbol, ts, last, last, last, last, 0, None, 0)]
        if chance.strikes(dirt.doubled):
            self._count("duplicate bar")
            return [row, row]
        if chance.strikes(dirt.contradicted):
            self._count("contradicting bar")
            other = self._round(last * 1.01)
            return [row, (symbol, ts, other, other, other, other, volume, other, trades)]
        return [row]

    def _round(self, price: float) -> float:
        return round(price, self.places)

    def _count(self, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
