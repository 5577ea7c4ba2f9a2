"""A market made of a seed, for users without data: plausible minutes, with what makes real ones awkward.

Each symbol's session is a pure function of (seed, symbol, date). What it has, and why a desk should
meet it:

- a price level that goes on from day to day with an overnight gap: log close follows a mean-reverting
  walk (AR(1), cut to its last 60 weekdays), so prices stay plausible for ever and yesterday's close is
  known;
- stretches of 30 to 120 minutes that either trend or pull back to a drifting mean, so ideas have
  something to find and something to lose on;
- fat tails: minute returns are Student's t with 4 degrees of freedom;
- U-shaped volume and volatility: much at the open, little at noon, more into the close;
- missing minutes (about 1 in 200), never the first or the last;
- on about one day in three, one halt of 10 to 15 minutes, after which the price has moved;
- early closes, by the exchange's calendar.

Returns are tied so that the day ends at its level: the sum of the minutes is stretched along the day to
meet it. Left out: extended hours, auctions, correlation between symbols, splits and dividends.
"""

from datetime import date, timedelta
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import polars as pl

from desk.hours import previous_session, session_hours
from schemas.account import SessionHours
from schemas.bars import RAW_SCHEMA

FRAMES_CACHED = 64  # days of all symbols held: a back-fill asks for the same days again and again
SYMBOL_DAYS_CACHED = 1024  # sessions of single symbols held, 28 kB each: four years of one symbol
LEVELS_CACHED = 8192  # symbol-days: 500 symbols for three weeks
LEVEL_MEMORY = 60  # weekdays of the walk that still move today's level; 0.97^60 leaves a sixth of the oldest
LEVEL_DECAY = 0.97
DAILY_SIGMA = 0.014  # a liquid share's daily log return
GAP_SHARE = 0.35  # part of a day's move that happens before its open
DEGREES_OF_FREEDOM = 4
PULL = 0.12  # share of the distance to the mean that one minute takes back, where minutes revert
SWING = 0.6  # how strong reverting minutes are, beside the ordinary ones
MISSING_FRAC = 0.005
HALT_FRAC = 0.35
HALT_MINUTES = (10, 16)
STRETCH_MINUTES = (30, 121)
BASE_PRICES = {
    "SPY": 590.0, "QQQ": 510.0, "IWM": 230.0, "DIA": 430.0, "AAPL": 230.0, "MSFT": 430.0, "NVDA": 140.0,
    "AMZN": 205.0, "GOOG": 175.0, "META": 570.0, "TSLA": 330.0, "JPM": 240.0, "XOM": 118.0, "KO": 63.0,
    "AMD": 140.0, "INTC": 24.0, "BAC": 45.0, "F": 11.0, "T": 22.0, "NIO": 5.0,
}  # fmt: skip  # about where these traded in late 2024
DEFAULT_SYMBOLS = ("SPY", "QQQ", "AAPL", "MSFT", "NVDA")


class GeneratedMarket:
    """The market of a seed."""

    provider = "generated"

    def __init__(self, seed: int, symbols: tuple[str, ...] = DEFAULT_SYMBOLS) -> None:
        """Keep the seed and the symbols."""
        self.seed = seed
        self.symbols = tuple(sorted(symbols))
        self._frame = lru_cache(maxsize=FRAMES_CACHED)(self._make)
        self._of_symbol = lru_cache(maxsize=SYMBOL_DAYS_CACHED)(self._make_one)

    def frame(self, session_date: date) -> pl.DataFrame:
        """Give a date's bars; no rows on a day without a session."""
        return self._frame(session_date)

    def part(self, session_date: date, symbols: tuple[str, ...]) -> pl.DataFrame:
        """Give a date's bars of some symbols: those of others are not made for it."""
        hours = session_hours(session_date)
        known = [symbol for symbol in self.symbols if symbol in symbols]
        if hours is None or not known:
            return pl.DataFrame(schema=RAW_SCHEMA)
        return pl.concat(self._of_symbol(symbol, session_date) for symbol in known)

    def prior_close(self, symbol: str, session_date: date) -> float | None:
        """Give the close of the session before."""
        return closing_level(self.seed, symbol, previous_session(session_date).session_date)

    def _make_one(self, symbol: str, session_date: date) -> pl.DataFrame:
        """Make a date's bars of one symbol."""
        hours = session_hours(session_date)
        assert hours is not None
        return generate(self.seed, symbol, hours)

    def _make(self, session_date: date) -> pl.DataFrame:
        """Make a date's bars of all symbols."""
        hours = session_hours(session_date)
        if hours is None:
            return pl.DataFrame(schema=RAW_SCHEMA)
        return pl.concat(generate(self.seed, symbol, hours) for symbol in self.symbols)


def generate(seed: int, symbol: str, hours: SessionHours) -> pl.DataFrame:
    """Give one symbol's session, columns of `schemas.bars.RAW_SCHEMA`, sorted by ts."""
    rng = _rng(seed, symbol, hours.session_date, "minutes")
    count = (hours.closes_at - hours.opens_at) // timedelta(minutes=1)
    before = closing_level(seed, symbol, previous_session(hours.session_date).session_date)
    close = closing_level(seed, symbol, hours.session_date)
    gap = GAP_SHARE * np.log(close / before) + rng.normal(0.0, 0.002)
    smile = _smile(count)
    sigma = DAILY_SIGMA / np.sqrt(count) * smile / np.sqrt(np.mean(smile**2))
    halt = _halt(rng, count)
    returns = _returns(rng, sigma)
    if halt is not None:
        returns[halt[1]] += rng.choice((-1.0, 1.0)) * rng.uniform(0.004, 0.012)
    # Tie the day to its level: what is missing is spread over the minutes by their volatility.
    short = np.log(close / before) - gap - returns.sum()
    returns += short * sigma / sigma.sum()
    path = before * np.exp(gap + np.cumsum(returns))
    kept = _kept(rng, count, halt)
    return _bars(rng, symbol, hours, path, before * np.exp(gap), sigma, smile, kept)


@lru_cache(maxsize=LEVELS_CACHED)
def closing_level(seed: int, symbol: str, day: date) -> float:
    """Give a session's last price: the symbol's base moved by the decayed sum of its last weekdays' steps."""
    level = 0.0
    weight = 1.0
    back = day
    for _ in range(LEVEL_MEMORY):
        while back.weekday() > 4:
            back -= timedelta(days=1)
        level += weight * _rng(seed, symbol, back, "level").normal(0.0, DAILY_SIGMA)
        weight *= LEVEL_DECAY
        back -= timedelta(days=1)
    return round(base_price(symbol) * float(np.exp(level)), 2)


def base_price(symbol: str) -> float:
    """Give the price a symbol's walk is centred on: known, or made of its name, 15 to 400 USD."""
    if symbol in BASE_PRICES:
        return BASE_PRICES[symbol]
    return round(15.0 * float(np.exp(_rng(0, symbol, date.min, "base").uniform(0.0, 3.28))), 2)


def _returns(rng: np.random.Generator, sigma: np.ndarray) -> np.ndarray:
    """Give the minutes' log returns: stretches that trend, and stretches that revert to a mean."""
    count = len(sigma)
    scale = np.sqrt((DEGREES_OF_FREEDOM - 2) / DEGREES_OF_FREEDOM)
    shocks = rng.standard_t(DEGREES_OF_FREEDOM, count) * scale * sigma
    returns = np.zeros(count)
    start = 0
    while start < count:
        end = min(start + int(rng.integers(*STRETCH_MINUTES)), count)
        part = shocks[start:end]
        if rng.random() < 0.5:
            returns[start:end] = part + rng.normal(0.0, 0.15) * sigma[start:end]
        else:
            away = 0.0
            for place, shock in enumerate(part):
                step = (1.0 + SWING) * shock - PULL * away
                away += step
                returns[start + place] = step
        start = end
    return returns


def _smile(count: int) -> np.ndarray:
    """Give the day's U: 1 at its lowest, about 3 at the open, 2 at the close."""
    through = np.linspace(0.0, 1.0, count)
    return 1.0 + 2.0 * np.exp(-through / 0.07) + 1.0 * np.exp(-(1.0 - through) / 0.06)


def _halt(rng: np.random.Generator, count: int) -> tuple[int, int] | None:
    """Give a halt as [first missing minute, first minute after], or None."""
    if rng.random() >= HALT_FRAC:
        return None
    length = int(rng.integers(*HALT_MINUTES))
    start = int(rng.integers(20, count - length - 20))
    return start, start + length


def _kept(rng: np.random.Generator, count: int, halt: tuple[int, int] | None) -> np.ndarray:
    """Tell which minutes are there; the first and the last always are."""
    kept = rng.random(count) >= MISSING_FRAC
    if halt is not None:
        kept[halt[0] : halt[1]] = False
    kept[0] = kept[-1] = True
    return kept


def _bars(
    rng: np.random.Generator,
    symbol: str,
    hours: SessionHours,
    path: np.ndarray,
    first: float,
    sigma: np.ndarray,
    smile: np.ndarray,
    kept: np.ndarray,
) -> pl.DataFrame:
    """Make bars around a path of closes, in cents, and keep the minutes that are there."""
    count = len(path)
    closes = np.round(path, 2)
    opens = np.round(np.concatenate(([first], path[:-1])) * np.exp(rng.normal(0.0, 0.1, count) * sigma), 2)
    reach = np.abs(rng.standard_t(DEGREES_OF_FREEDOM, (2, count))) * sigma * 0.35
    highs = np.round(np.maximum(opens, closes) * np.exp(np.minimum(reach[0], 0.02)), 2)
    lows = np.round(np.minimum(opens, closes) * np.exp(-np.minimum(reach[1], 0.02)), 2)
    highs, lows = np.maximum(highs, np.maximum(opens, closes)), np.minimum(lows, np.minimum(opens, closes))
    daily = (
        2.0e9 / base_price(symbol) ** 0.8 * float(_rng(0, symbol, date.min, "volume").uniform(0.2, 1.0)) / 3
    )
    surprise = 1.0 + np.minimum(np.abs(np.log(closes / opens)) / sigma, 6.0)
    shares = daily * smile / smile.sum() * surprise / 1.8 * np.exp(rng.normal(0.0, 0.35, count))
    volumes = np.maximum(shares, 100).astype(np.int64)
    lean = rng.uniform(0.35, 0.65, count)
    vwaps = np.round(lows + (highs - lows) * lean, 4)
    frame = pl.DataFrame(
        {
            "symbol": [symbol] * count,
            "ts": [hours.opens_at + timedelta(minutes=int(place)) for place in range(count)],
            "open": opens,
            "high": highs,
            "low": lows,
            "close": closes,
            "volume": volumes,
            "vwap": vwaps,
            "trade_count": np.maximum(volumes // 110, 1),
        },
        schema=RAW_SCHEMA,
    )
    return frame.filter(pl.Series(kept))


def _rng(seed: int, symbol: str, day: date, purpose: str) -> np.random.Generator:
    """Give the generator of a thing: the same for the same names, whatever else was asked before."""
    name = f"{seed}:{symbol}:{day.isoformat()}:{purpose}".encode()
    return np.random.Generator(np.random.PCG64(int.from_bytes(blake2b(name, digest_size=16).digest())))
