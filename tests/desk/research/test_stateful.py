"""The stateful style end to end: live, restarted and in the exact engine it says the same of a bar."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import polars as pl
import pytest

from desk.exchange.generated import GeneratedMarket
from desk.hours import previous_session
from desk.research.engine import Plan, play
from desk.research.findings import Verdict
from desk.research.honesty import examine
from desk.research.reel import Reel
from schemas.research import Size, SizeKind
from schemas.settings import EntryOrder, SessionSettings, Settings, StrategySettings
from strategies.base import Level, SeenBar, StatefulStrategy
from strategies.indicators import above
from tests import rehearsal as r
from tests.desk.short_day import CLOSE, LATE, SHORT_DAY, run_short, short_venue
from tests.strategies.bars import walk

OPEN = CLOSE - timedelta(minutes=210)
GAIN = 0.08  # of a surprise, in the level
SLOPE_GAIN = 0.01  # and in the slope


@dataclass
class Track:
    """What a filter believes of a symbol's price."""

    level: float
    slope: float = 0.0
    bars: int = 1


class Filtered(StatefulStrategy):
    """Long while a level-and-slope filter (a Kalman filter in its steady state) says that prices rise."""

    name = "filtered"
    session_anchored = True

    tracks: dict[tuple[object, str], Track]
    seen: list[tuple[object, str]]

    def bars_needed(self) -> int:
        return 6

    def on_start(self) -> None:
        self.tracks, self.seen = {}, []

    def on_bar(self, bar: SeenBar) -> Level | None:
        self.seen.append((bar.ts, bar.symbol))
        track = self.tracks.get((bar.day, bar.symbol))
        if track is None:
            self.tracks[(bar.day, bar.symbol)] = Track(bar.close)
            return None
        expected = track.level + track.slope
        surprise = bar.close - expected
        track.level, track.bars = expected + GAIN * surprise, track.bars + 1
        track.slope += SLOPE_GAIN * surprise
        if track.bars < self.warm_up:
            return None
        rises, falls = above(track.slope, 0.0), above(0.0, track.slope)
        if not (rises or falls):
            return None
        return Level(1.0 if rises else 0.0, f"slope {track.slope:.6f}")


def bars() -> pl.DataFrame:
    """Give the early close and the session before it."""
    market = GeneratedMarket(1, r.SYMBOLS)
    days = (previous_session(SHORT_DAY).session_date, SHORT_DAY)
    return pl.concat(market.frame(day) for day in days).sort("symbol", "ts")


def said_of(frame: pl.DataFrame) -> pl.DataFrame:
    """Give what is said of the late minutes of the early close, asked once of all bars."""
    said = Filtered(r.SYMBOLS).signals(frame).select("symbol", "ts", "target", "reason")
    return said.filter(pl.col("ts").is_between(LATE, CLOSE, closed="left"))


def settings(session: SessionSettings) -> Settings:
    """Give a desk of this strategy alone."""
    size = Size(kind=SizeKind.NOTIONAL, amount=Decimal(5_000))
    named = StrategySettings(name="filtered", symbols=r.SYMBOLS, size=size, allocation_frac=Decimal("0.6"))
    return Settings(symbols=r.SYMBOLS, strategies=(named,), session=session)


def plan(frame: pl.DataFrame, **how: object) -> Plan:
    """Give the plan of a backtest that holds over night."""
    strategy = Filtered(r.SYMBOLS)
    session = SessionSettings(
        close_out=False, overnight=True, entry_order=EntryOrder.MARKET, entry_ttl_minutes=None
    )
    return Plan(
        settings=settings(session),
        reel=Reel(frame),
        said={strategy.name: strategy.signals(frame)},
        strategies=(strategy,),
        hashes=True,
        **how,  # type: ignore[arg-type]
    )


def test_live_it_says_what_a_backtest_says_though_the_process_began_at_noon() -> None:
    """Its state at 12:15 is that of the whole morning: a restart is a replay of the bars."""
    frames = r.Frames()
    desk = r.desk_on(
        short_venue(),
        r.new_ledger(),
        strategy=Filtered(r.SYMBOLS),
        configured=settings(SessionSettings()),
        recorder=frames,
    )

    run_short(desk)  # begins at LATE

    live = pl.concat(frames.said).select("symbol", "ts", "target", "reason").sort("symbol", "ts")
    wanted = said_of(bars())
    assert live.filter(pl.col("ts") >= LATE).equals(wanted.filter(pl.col("ts") <= live["ts"].max()))
    assert live.height > 60
    assert set(live["target"]) == {0.0, 1.0}


@pytest.mark.parametrize("gate", [True, False])
def test_the_engine_skips_minutes_and_the_strategy_no_bar(gate: bool) -> None:
    """One ledger whether quiet minutes are visited or not, from opinions that took in every bar in order."""
    frame = bars()
    skipped, visited = (play(plan(frame, skips=skips, gate=gate)) for skips in (True, False))
    strategy = Filtered(r.SYMBOLS)
    strategy.signals(frame)

    assert skipped.ledger_hash == visited.ledger_hash
    assert skipped.fills.height > 10
    assert skipped.visited < visited.visited
    assert strategy.seen == frame.sort("ts", "symbol").select("ts", "symbol").rows()


def test_every_check_of_desk_check_holds() -> None:
    """Prefix equality, symbol order, window, restart: a state per symbol and session passes."""
    symbols = ("AAA", "BBB", "CCC")
    findings = examine(Filtered(symbols), walk(symbols, seed=7, minutes=220), cuts=24)

    assert {each.check: each.words for each in findings if each.verdict is Verdict.FAILS} == {}


class Leaking(Filtered):
    """Keeps what it believed when it was asked before."""

    def on_start(self) -> None:
        if not hasattr(self, "tracks"):
            super().on_start()


def test_a_state_that_survives_a_replay_is_caught() -> None:
    """Asked again it says something else: a process restarted at noon would trade another strategy."""
    symbols = ("AAA", "BBB", "CCC")
    findings = examine(Leaking(symbols), walk(symbols, seed=7, minutes=220), cuts=24)

    assert "determinism" in {each.check.value for each in findings if each.verdict is Verdict.FAILS}


def test_a_prefix_decides_the_same_orders() -> None:
    """The engine given the first session alone trades it as when the second is there too."""
    frame = bars()
    first = frame.filter(pl.col("ts") < OPEN)

    whole, part = play(plan(frame, gate=False)), play(plan(first, gate=False))

    day = whole.fills.filter(pl.col("ts") < OPEN)
    assert part.fills.equals(day)
    assert part.fills.height > 5
