"""Where bars come from: the generated market's promises, and files read as they are."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from desk.errors import BadBatch, NoBars
from desk.exchange.files import ReplayMarket
from desk.exchange.floor import Floor
from desk.exchange.generated import GeneratedMarket, base_price, closing_level, generate
from desk.exchange.market import FrameMarket, raw_frame
from desk.hours import previous_session, session_hours, sessions_between
from schemas.bars import RAW_SCHEMA
from tests.desk.exchange.makers import DAY, OPEN, flat, minutes_frame

EARLY = date(2025, 11, 28)


def days(start: date, end: date, symbol: str = "AAPL", seed: int = 3) -> list[pl.DataFrame]:
    return [generate(seed, symbol, hours) for hours in sessions_between(start, end)]


def test_a_generated_day_is_a_function_of_seed_symbol_and_date() -> None:
    """Other symbols, other days and the order of asking change nothing."""
    alone = GeneratedMarket(7, ("SPY",))
    among = GeneratedMarket(7, ("XOM", "SPY", "AAPL"))
    among.frame(date(2025, 11, 25))

    together = among.frame(EARLY).filter(pl.col("symbol") == "SPY")

    assert alone.frame(EARLY).equals(together)
    assert not alone.frame(EARLY).equals(GeneratedMarket(8, ("SPY",)).frame(EARLY))


def test_generated_bars_are_sound() -> None:
    """Prices are positive cents in OHLC order, vwap within the range, volume positive, minutes in session."""
    for frame in days(date(2025, 10, 1), date(2025, 12, 1)):
        hours = session_hours(frame["ts"][0].date())
        assert hours is not None
        assert frame.schema == pl.Schema(RAW_SCHEMA)
        assert frame["ts"].is_sorted()
        assert frame["ts"].n_unique() == frame.height
        assert (frame["ts"][0], frame["ts"][-1]) == (hours.opens_at, hours.closes_at - timedelta(minutes=1))
        sound = frame.filter(
            (pl.col("low") > 0)
            & (pl.col("low") <= pl.min_horizontal("open", "close", "vwap"))
            & (pl.col("high") >= pl.max_horizontal("open", "close", "vwap"))
            & (pl.col("volume") > 0)
            & (pl.col("trade_count") > 0)
        )
        assert sound.height == frame.height


def test_an_early_close_is_respected() -> None:
    """The day after Thanksgiving ends at 13:00 New York: at most 210 minutes."""
    frame = GeneratedMarket(1).frame(EARLY).filter(pl.col("symbol") == "SPY")

    assert frame["ts"][-1] == datetime(2025, 11, 28, 17, 59, tzinfo=UTC)
    assert 180 < frame.height <= 210


def test_the_generated_market_has_the_awkward_features_it_promises() -> None:
    """Over 60 days: a U of volume, missing minutes, some halts, fat tails, overnight gaps."""
    frames = days(date(2025, 8, 1), date(2025, 10, 24))
    all_ = pl.concat(frames)

    by_hour = (
        all_.group_by(
            ((pl.col("ts") - pl.col("ts").min().over(pl.col("ts").dt.date())).dt.total_minutes() // 30).alias(
                "half"
            )
        )
        .agg(pl.col("volume").mean())
        .sort("half")["volume"]
        .to_list()
    )
    gaps = [f["ts"].diff().drop_nulls().dt.total_minutes().max() for f in frames]
    returns = all_.select((pl.col("close") / pl.col("open")).log())["close"]
    overnight = [later["open"][0] / earlier["close"][-1] - 1 for earlier, later in pairwise(frames)]

    assert by_hour[0] > 1.8 * min(by_hour)
    assert by_hour[-1] > 1.3 * min(by_hour)
    assert sum(1 for gap in gaps if gap >= 10) in range(8, 40)
    assert sum(f.height for f in frames) < 390 * len(frames)
    assert returns.kurtosis() > 1.5  # excess; a normal has 0
    assert all(abs(gap) < 0.08 for gap in overnight)
    assert max(abs(gap) for gap in overnight) > 0.004


def test_generated_days_join_at_the_close() -> None:
    """A day ends at its level, and the next day knows it as the prior close."""
    market = GeneratedMarket(5, ("MSFT",))
    hours = sessions_between(date(2025, 11, 3), date(2025, 11, 20))

    for session in hours:
        frame = market.frame(session.session_date)
        assert frame["close"][-1] == pytest.approx(closing_level(5, "MSFT", session.session_date), abs=0.0051)
    before = previous_session(hours[1].session_date).session_date
    assert market.prior_close("MSFT", hours[1].session_date) == closing_level(5, "MSFT", before)


def test_generated_prices_stay_plausible_for_decades() -> None:
    """Twenty years on, a symbol still trades within a factor of two of its base."""
    for year in range(2008, 2028):
        for symbol in ("SPY", "F", "ZZZZ"):
            assert 0.5 < closing_level(1, symbol, date(year, 6, 1)) / base_price(symbol) < 2.0


def write(folder: Path, symbol: str, day: date, frame: pl.DataFrame) -> Path:
    path = folder / symbol / f"{day.isoformat()}.parquet"
    path.parent.mkdir(exist_ok=True)
    frame.write_parquet(path)
    return path


@pytest.mark.parametrize("stamp", ["ts", "timestamp"])
def test_files_are_replayed_as_found(tmp_path: Path, stamp: str) -> None:
    """Either name of the time column works; duplicates stay, and vwap and count are stated where absent."""
    frame = minutes_frame([(100.0, 101.0, 99.0, 100.0, 400), flat(100.0)])
    twice = pl.concat([frame, frame.head(1)]).drop("vwap", "trade_count").rename({"ts": stamp})
    write(tmp_path, "SPY", DAY, twice)

    market = ReplayMarket(tmp_path, symbols=None, session_date=DAY)
    found = market.frame(DAY)

    assert market.symbols == ("SPY",)
    assert found.height == 3
    assert found["vwap"].to_list() == [100.0, 100.0, 100.0]
    assert found["trade_count"].to_list() == [4, 4, 4]


def test_what_is_missing_is_named_with_what_is_there(tmp_path: Path) -> None:
    """Folder, symbol and date each get one line that lists the alternatives."""
    write(tmp_path, "SPY", DAY, minutes_frame([flat(1.0)]))

    with pytest.raises(NoBars, match="nowhere: no such directory of bars"):
        ReplayMarket(tmp_path / "nowhere", symbols=None, session_date=DAY)
    with pytest.raises(NoBars, match="no bars of QQQ; there are SPY"):
        ReplayMarket(tmp_path, symbols=("QQQ",), session_date=DAY)
    with pytest.raises(NoBars, match="no bars of SPY on 2024-08-28; there are 2024-08-27"):
        ReplayMarket(tmp_path, symbols=("SPY",), session_date=date(2024, 8, 28))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: f.drop("close"), "SPY/2024-08-27.parquet: column close is missing; expected symbol, ts"),
        (lambda f: f.drop("ts"), "column ts is missing"),
        (
            lambda f: f.with_columns(ts=pl.col("ts").dt.replace_time_zone(None)),
            "expected a datetime with a time",
        ),
        (lambda f: f.with_columns(open=pl.lit("a lot")), "values of the wrong kind"),
    ],
)
def test_a_file_with_a_wrong_column_is_named(tmp_path: Path, spoil: object, words: str) -> None:
    """The error names the file, the column and what was expected."""
    write(tmp_path, "SPY", DAY, spoil(minutes_frame([flat(1.0)])))  # type: ignore[operator]
    market = ReplayMarket(tmp_path, symbols=("SPY",), session_date=DAY)

    with pytest.raises(BadBatch, match=words):
        market.frame(DAY)


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    """A broken file is one line."""
    path = write(tmp_path, "SPY", DAY, minutes_frame([flat(1.0)]))
    path.write_bytes(b"not parquet at all")
    market = ReplayMarket(tmp_path, symbols=("SPY",), session_date=DAY)

    with pytest.raises(BadBatch, match="cannot be read as Parquet"):
        market.frame(DAY)


def test_the_prior_close_is_the_newest_earlier_one(tmp_path: Path) -> None:
    """Files and frames alike give the last close before the date, or none."""
    frames = {DAY - timedelta(days=back): minutes_frame([flat(100.0 + back)]) for back in (1, 4, 0)}
    for day, frame in frames.items():
        write(tmp_path, "SPY", day, frame)
    market = ReplayMarket(tmp_path, symbols=("SPY",), session_date=DAY)

    assert market.prior_close("SPY", DAY) == FrameMarket(frames).prior_close("SPY", DAY) == 101.0
    assert market.prior_close("SPY", DAY - timedelta(days=4)) is None


def test_timestamps_in_another_zone_become_utc() -> None:
    """A file in New York time is the same instants."""
    frame = minutes_frame([flat(1.0)]).with_columns(pl.col("ts").dt.convert_time_zone("America/New_York"))

    assert raw_frame(frame, "x")["ts"].to_list() == [OPEN]


@pytest.mark.real
def test_real_bars_play_through_the_close(real_data: Path) -> None:
    """A real day with extended hours and bad prints plays to its end, and marks stay inside the band."""
    market = ReplayMarket(
        real_data / "bars" / "1min", symbols=("SPY", "NVDA"), session_date=date(2024, 8, 27)
    )
    floor = Floor(market, session_date=date(2024, 8, 27))
    hours = floor.hours

    floor.advance(hours.closes_at + timedelta(hours=4))

    for symbol, low, high in (("SPY", 555, 565), ("NVDA", 120, 132)):
        mark = floor.mark(symbol)
        assert mark is not None
        assert low < mark < high
