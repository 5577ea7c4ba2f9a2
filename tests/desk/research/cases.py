"""Generated backtests: bars, levels and options of a seed, with what makes engines disagree.

`case(seed)` is a pure function of the seed. Between them the cases have missing minutes, days of one bar,
early closes, a daylight-saving change, symbols that start late or end early, symbols under a dollar, closes
that tie, reversals, levels that go silent, fractions of a level, longs and shorts, all kinds of sizes,
close-out on and off, spread, slippage, fees, commissions, stops and targets.

Prices are legal ticks, no minute moves by a tenth (the inspector would refuse it) and the account is large
enough that nothing is refused for want of money.
"""

import random
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

import polars as pl

from desk.hours import minutes, sessions_between
from schemas.account import SessionHours
from schemas.bars import RAW_SCHEMA, UTC_US
from schemas.research import NO_COSTS, Costs, Size, SizeKind
from tests.answers import reference_loop

LEVEL_SCHEMA = {"symbol": pl.String(), "ts": UTC_US, "target": pl.Float64()}
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
# First days of spans with: an early close (2025-07-03), the days around Thanksgiving, a change to daylight
# saving (2026-03-08), a change of the SEC's rate (2026-04-04), plain days.
STARTS = (date(2025, 7, 1), date(2025, 11, 25), date(2026, 3, 5), date(2026, 4, 1), date(2025, 9, 15))


@dataclass(frozen=True)
class Options:
    """How a case is played; the keyword arguments of `reference_loop.play`."""

    size: Size
    costs: Costs = NO_COSTS
    cash: Decimal = Decimal(1_000_000)
    close_out: bool = False
    close_out_minutes: int = 5
    no_entry_minutes: int = 15
    stop_frac: Decimal | None = None
    target_frac: Decimal | None = None
    allow_short: bool = True

    def asked(self) -> dict[str, object]:
        """Give the keyword arguments."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Case:
    """A generated backtest."""

    seed: int
    bars: pl.DataFrame  # RAW_SCHEMA, sorted by (symbol, ts), regular session only
    levels: pl.DataFrame  # symbol, ts, target; sorted by (symbol, ts); a row where there is an opinion
    sessions: tuple[SessionHours, ...]
    options: Options

    def play(self) -> reference_loop.Outcome:
        """Give what the reference loop makes of it."""
        by_symbol: dict[str, dict[datetime, float]] = {}
        for symbol, ts, target in self.levels.iter_rows():
            by_symbol.setdefault(symbol, {})[ts] = target
        plain = reference_loop.plain_bars(self.bars)
        return reference_loop.play(plain, by_symbol, self.sessions, **self.options.asked())


@dataclass
class _Walk:
    """A symbol's price while it is made."""

    price: int  # ticks
    tick: Decimal
    bounds: tuple[int, int]  # ticks; on one side of a dollar, where the tick changes
    rows: list[tuple[object, ...]] = field(default_factory=list)


def case(seed: int) -> Case:
    """Give the case of a seed."""
    chance = random.Random(seed)
    start = chance.choice(STARTS)
    sessions = sessions_between(start, start + timedelta(days=chance.choice((3, 5, 8))))
    symbols = SYMBOLS[: chance.randint(1, len(SYMBOLS))]
    rows: list[tuple[object, ...]] = []
    while not rows:  # luck may leave a lone symbol without a day
        for symbol in symbols:
            rows += _symbol_rows(chance, symbol, sessions)
    bars = pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row").sort("symbol", "ts")
    levels = _levels(chance, bars)
    return Case(seed, bars, levels, sessions, _options(chance))


# ---- bars ---------------------------------------------------------------------------------


def _symbol_rows(
    chance: random.Random, symbol: str, sessions: tuple[SessionHours, ...]
) -> list[tuple[object, ...]]:
    cheap = chance.random() < 0.1
    walk = _Walk(
        price=chance.randint(2_000, 9_000) if cheap else chance.choice((550, 1_234, 4_990, 19_975, 61_000)),
        tick=Decimal("0.0001") if cheap else Decimal("0.01"),
        bounds=(1_000, 9_900) if cheap else (120, 200_000),
    )
    first = chance.randrange(len(sessions)) if chance.random() < 0.2 else 0
    last = len(sessions) if chance.random() < 0.85 else chance.randint(first + 1, len(sessions))
    calm = chance.random() < 0.3  # mostly unchanged closes: averages tie
    for hours in sessions[first:last]:
        if chance.random() < 0.08:
            continue  # a day without it
        for ts in _minutes(chance, hours):
            _step(chance, walk, symbol, ts, calm=calm)
    return walk.rows


def _minutes(chance: random.Random, hours: SessionHours) -> list[datetime]:
    """Choose the minutes of a session that have a bar: single ones, stretches, and the day's edges."""
    edges = list(minutes(hours))
    if chance.random() < 0.08:
        return [chance.choice(edges)]
    chosen: set[int] = set()
    if chance.random() < 0.8:
        chosen |= set(range(chance.choice((1, 12, 30))))
    if chance.random() < 0.85:
        chosen |= set(range(len(edges) - chance.choice((1, 4, 8, 18, 40)), len(edges)))
    for _ in range(chance.randint(1, 3)):
        begin = chance.randrange(len(edges))
        chosen |= set(range(begin, min(begin + chance.randint(1, 25), len(edges))))
    missing = chance.choice((0.0, 0.0, 0.05, 0.4))
    return [edges[place] for place in sorted(chosen) if chance.random() >= missing] or [edges[0]]


def _step(chance: random.Random, walk: _Walk, symbol: str, ts: datetime, *, calm: bool) -> None:
    """Add a bar: a gap, a move, and shadows, each a few ticks and never far."""
    reach = max(1, walk.price // 120)  # most of a percent a minute
    opened = _moved(chance, walk, walk.price, 0 if calm and chance.random() < 0.7 else reach // 3)
    closed = _moved(chance, walk, opened, 0 if calm and chance.random() < 0.6 else reach)
    high = max(opened, closed) + chance.randint(0, reach)
    low = max(1, min(opened, closed) - chance.randint(0, reach))
    prices = [float(walk.tick * ticks) for ticks in (opened, high, low, closed)]
    walk.rows.append((symbol, ts, *prices, chance.randint(1, 50_000), None, None))
    walk.price = closed


def _moved(chance: random.Random, walk: _Walk, ticks: int, reach: int) -> int:
    """Move a price within its bounds."""
    low, high = walk.bounds
    return min(max(ticks + chance.randint(-reach, reach), low), high)


# ---- levels -------------------------------------------------------------------------------


def _levels(chance: random.Random, bars: pl.DataFrame) -> pl.DataFrame:
    kind = chance.choice(("walk", "walk", "noise", "sma", "vwap"))
    plain = reference_loop.plain_bars(bars)
    short = chance.random() < 0.6
    if kind == "sma":
        fast = chance.randint(1, 4)
        said = reference_loop.sma_levels(
            plain, fast=fast, slow=fast + chance.randint(1, 8), allow_short=short
        )
    elif kind == "vwap":
        band = Decimal(chance.choice((1, 5, 20)))
        said = reference_loop.vwap_levels(plain, band_bps=band, settle_bars=3, allow_short=short)
    else:
        said = _said_by_chance(chance, plain, noise=kind == "noise")
    rows = [(symbol, ts, level) for symbol, by_ts in said.items() for ts, level in by_ts.items()]
    return pl.DataFrame(rows, schema=LEVEL_SCHEMA, orient="row").sort("symbol", "ts")


def _said_by_chance(
    chance: random.Random, bars: list[reference_loop.PlainBar], *, noise: bool
) -> dict[str, dict[datetime, float]]:
    """Give levels that stay a while (a walk) or change at every bar (noise), with silences."""
    silence = chance.choice((0.0, 0.2, 0.7))
    change = 0.9 if noise else chance.choice((0.05, 0.2))
    choices = chance.choice(((1.0, 0.0, -1.0), (1.0, -1.0), (1.0, 0.0), (1.0, 0.5, 0.0, -0.333333, -1.0)))
    now: dict[str, float] = {}
    said: dict[str, dict[datetime, float]] = {}
    for bar in bars:
        if bar.symbol not in now or chance.random() < change:
            now[bar.symbol] = chance.choice(choices)
        if chance.random() >= silence:
            said.setdefault(bar.symbol, {})[bar.ts] = now[bar.symbol]
    return said


# ---- options ------------------------------------------------------------------------------


def _options(chance: random.Random) -> Options:
    kind = chance.choice(list(SizeKind))
    amounts = {
        SizeKind.SHARES: ("1", "100", "37"),
        SizeKind.NOTIONAL: ("1000", "2500.55", "20000"),
        SizeKind.EQUITY: ("0.1", "0.05", "0.0213"),
    }
    close_out = chance.random() < 0.5
    return Options(
        size=Size(kind=kind, amount=Decimal(chance.choice(amounts[kind]))),
        costs=_costs(chance),
        close_out=close_out,
        close_out_minutes=chance.choice((1, 5, 10)),
        no_entry_minutes=chance.choice((1, 5, 15, 30)),
        stop_frac=Decimal(chance.choice(("0.002", "0.01"))) if chance.random() < 0.4 else None,
        target_frac=Decimal(chance.choice(("0.003", "0.015"))) if chance.random() < 0.4 else None,
        allow_short=chance.random() < 0.85,
    )


def _costs(chance: random.Random) -> Costs:
    if chance.random() < 0.3:
        return NO_COSTS
    return Costs(
        spread_bps=chance.choice((None, Decimal(0), Decimal(2), Decimal("7.5"))),
        slippage_bps=chance.choice((Decimal(0), Decimal(1), Decimal("2.25"))),
        regulatory_fees=chance.random() < 0.5,
        commission_per_share=chance.choice((Decimal(0), Decimal("0.005"), Decimal("0.0035"))),
        commission_min=chance.choice((Decimal(0), Decimal(1), Decimal("0.35"))),
    )
