"""The warm-up: a live desk shows its strategies as much of the past as they need, in today's shares."""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest

from desk.errors import BrokerUnavailable, ConfigError
from desk.exchange.generated import GeneratedMarket
from desk.exchange.market import Market
from desk.exchange.venue import Venue
from desk.hours import FIRST_DAY, minutes, session_hours, sessions_between
from desk.intake import Intake
from desk.splits import adjusted
from desk.warm_up import SESSIONS_MAX, warm_up_sessions
from schemas.account import Split
from schemas.settings import Settings, StrategySettings
from strategies.sma_crossover import SmaCrossover
from tests import rehearsal as r
from tests.desk.short_day import CLOSE, SHORT_DAY, run_short

BEFORE = sessions_between(date(2025, 11, 24), SHORT_DAY)  # Monday to Wednesday; Thursday is Thanksgiving
# One for two before Wednesday, and a fall of prices before Monday that no session reaches back to.
SPLITS = (
    Split(symbol="AAPL", ex_date=BEFORE[2].session_date, old=Decimal(1), new=Decimal(2)),
    Split(symbol="XOM", ex_date=SHORT_DAY, old=Decimal(4), new=Decimal(1)),
)
OPEN = CLOSE - timedelta(minutes=210)


class Raw:
    """A generated market whose bars are raw: in the shares of their own day."""

    provider = "raw"

    def __init__(self, market: GeneratedMarket) -> None:
        self.market = market
        self.symbols = market.symbols

    def frame(self, session_date: date) -> pl.DataFrame:
        """Undo the splits that come after a date."""
        later = [each for each in SPLITS if each.ex_date > session_date]
        undone = [each.model_copy(update={"old": each.new, "new": each.old}) for each in later]
        return adjusted(self.market.frame(session_date), undone)

    def prior_close(self, symbol: str, session_date: date) -> float | None:
        """Give a close in the shares of the date asked about."""
        return self.market.prior_close(symbol, session_date)


def dates(needed: int, day: date) -> list[date]:
    """Give the dates of a warm-up."""
    return [each.session_date for each in warm_up_sessions(needed, day)]


def test_as_many_sessions_as_have_the_bars() -> None:
    """An early close has 210 minutes, any other session 390; holidays have none."""
    monday, friday, wednesday = date(2025, 12, 1), SHORT_DAY, BEFORE[2].session_date

    assert dates(0, monday) == []
    assert dates(1, monday) == dates(210, monday) == [friday]
    assert dates(211, monday) == dates(600, monday) == [wednesday, friday]
    assert dates(601, monday) == [BEFORE[1].session_date, wednesday, friday]


def test_more_than_a_month_is_refused() -> None:
    """A desk that loaded less than a strategy needs would trade another strategy."""
    day = date(2025, 10, 15)
    most = sum(len(minutes(each)) for each in sessions_between(day - timedelta(days=29), day))

    assert len(dates(most, day)) == SESSIONS_MAX
    with pytest.raises(ConfigError, match=f"{most + 1:,} bars"):
        warm_up_sessions(most + 1, day)


def test_at_the_calendars_beginning_there_is_what_there_is() -> None:
    """Bars of the first days of 2007 are played with less."""
    first = sessions_between(FIRST_DAY, FIRST_DAY + timedelta(days=10))

    assert dates(5_000, first[2].session_date) == [each.session_date for each in first[:2]]


def strategy() -> SmaCrossover:
    """Give one that needs more than a session: 400 bars."""
    return SmaCrossover(r.SYMBOLS, {"fast": 30, "slow": 400})


def lived(market: Market) -> tuple[Venue, r.Frames, pl.DataFrame]:
    """Trade the early close from before its open, and give what the strategy said live."""
    place = Venue(market, session_date=SHORT_DAY)
    place.announced = SPLITS if isinstance(market, Raw) else ()
    frames = r.Frames()
    named = StrategySettings(name="sma_crossover", allocation_frac=Decimal("0.6"))
    configured = Settings(symbols=r.SYMBOLS, strategies=(named,))
    run_short(r.desk_on(place, r.new_ledger(), strategy=strategy(), configured=configured, recorder=frames))
    return place, frames, pl.concat(frames.said).select("symbol", "ts", "target").sort("symbol", "ts")


def backtested(days: Iterable[date]) -> pl.DataFrame:
    """Give what it says of the same minutes when it is asked of all bars at once."""
    market = GeneratedMarket(1, r.SYMBOLS)
    bars = pl.concat(market.frame(day) for day in days).sort("symbol", "ts")
    said = strategy().signals(bars).select("symbol", "ts", "target")
    return said.filter(pl.col("ts").is_between(OPEN, CLOSE, closed="left"))


def test_live_a_long_average_is_known_from_the_first_minute_on() -> None:
    """400 bars are two sessions: what is said live is what a backtest over all bars says, bar for bar."""
    days = [*(each.session_date for each in BEFORE), SHORT_DAY]

    _, _, said = lived(GeneratedMarket(1, r.SYMBOLS))

    wanted = backtested(days)
    assert said["ts"].min() == OPEN
    assert said.equals(wanted.filter(pl.col("ts") <= said["ts"].max()))
    assert said["ts"].max() >= CLOSE - timedelta(minutes=2)


def test_a_split_within_the_warm_up_is_no_jump_and_its_prints_are_kept_raw() -> None:
    """The same is said over raw bars of two splits; what the warehouse gets is what was printed."""
    _, plain_frames, plain = lived(GeneratedMarket(1, r.SYMBOLS))
    place, frames, said = lived(Raw(GeneratedMarket(1, r.SYMBOLS)))

    assert said.equals(plain)
    printed, wanted = (pl.concat(each.printed).sort("symbol", "ts") for each in (frames, plain_frames))
    split = (pl.col("symbol") == "AAPL") & (pl.col("ts") < BEFORE[2].opens_at)
    assert printed.filter(split).height > 300
    assert printed.filter(split)["close"].to_list() == pytest.approx(
        (wanted.filter(split)["close"] * 2).to_list()
    )
    assert place.floor.books.qty("XOM") == 0  # an ex-date: no entry was made


def test_without_an_answer_about_splits_the_session_before_alone_warms_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether older bars are in today's shares nobody knows then: a false jump would be traded."""

    def away(*_: object) -> tuple[Split, ...]:
        raise BrokerUnavailable("corporate actions: 503 three times")

    monkeypatch.setattr(Venue, "splits", away)

    _, frames, said = lived(Raw(GeneratedMarket(1, r.SYMBOLS)))

    printed = pl.concat(frames.printed)
    wanted = backtested([BEFORE[2].session_date, SHORT_DAY])
    others = pl.col("symbol") != "XOM"  # which splits on the day itself
    assert printed["ts"].min() == BEFORE[2].opens_at
    assert said.filter(others).equals(wanted.filter(others & (pl.col("ts") <= said["ts"].max())))


@pytest.mark.parametrize(("slow", "is_cut"), [(30, False), (400, True)], ids=["a session", "two sessions"])
def test_a_warm_up_that_is_not_cut_is_not_said_to_be(
    slow: int, is_cut: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the session before is all that is needed, want of splits cuts nothing."""

    def away(*_: object) -> tuple[Split, ...]:
        raise BrokerUnavailable("corporate actions: 503 three times")

    monkeypatch.setattr(Venue, "splits", away)
    place = Venue(GeneratedMarket(1, r.SYMBOLS), session_date=SHORT_DAY)
    patient = SmaCrossover(r.SYMBOLS, {"fast": 5, "slow": slow})
    intake = Intake(r.desk_on(place, r.new_ledger(), strategy=patient), session_date=SHORT_DAY)
    hours = session_hours(SHORT_DAY)
    assert hours is not None

    intake.prepare(hours)

    assert intake.frame(["AAPL"])["ts"].min() == BEFORE[2].opens_at
    assert any("warm-up is cut" in record.message for record in caplog.records) is is_cut
