"""Bars in Parquet: one file or a folder, the regular session only, and what is wrong in one line."""

import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from desk.errors import BadBatch, ConfigError, NoBars
from schemas.bars import RAW_SCHEMA
from tasks.bar_files import read_bars, regular
from tests.strategies.bars import OPENS, walk

BARS = walk(("AAA", "BBB"), seed=2, minutes=30)


def folder_of(place: Path, frame: pl.DataFrame = BARS) -> Path:
    """Write `<SYMBOL>/<yyyy-mm-dd>.parquet`."""
    for (symbol, day), part in frame.group_by("symbol", pl.col("ts").dt.date()):
        (place / str(symbol)).mkdir(parents=True, exist_ok=True)
        part.write_parquet(place / str(symbol) / f"{day}.parquet")
    return place


def prices(frame: pl.DataFrame) -> pl.DataFrame:
    """Leave out what a source need not say."""
    return frame.drop("vwap", "trade_count")


def test_a_file_and_a_folder_give_the_same(tmp_path: Path) -> None:
    """However the bars lie, they come sorted and whole."""
    BARS.sample(fraction=1.0, shuffle=True, seed=1).write_parquet(tmp_path / "all.parquet")

    one = read_bars(tmp_path / "all.parquet")
    many = read_bars(folder_of(tmp_path / "folder"))

    assert prices(one.frame).equals(prices(BARS))
    assert many.frame.equals(one.frame)
    assert (one.impossible, one.outside) == (0, 0)
    assert dict(one.frame.schema) == RAW_SCHEMA


def test_only_what_is_wanted_is_opened(tmp_path: Path) -> None:
    """Files of other symbols and of older dates may be anything."""
    place = folder_of(tmp_path)
    (place / "BBB" / "2024-03-11.parquet").write_bytes(b"no parquet")
    (place / "AAA" / "2024-03-07.parquet").write_bytes(b"no parquet")

    read = read_bars(place, symbols=["AAA"], newest=2)

    assert read.frame["ts"].dt.date().unique().sort().to_list() == [date(2024, 3, 8), date(2024, 3, 11)]
    assert read.frame["symbol"].unique().to_list() == ["AAA"]


def test_rows_that_cannot_be_bars_are_counted(tmp_path: Path) -> None:
    """A price of zero and a second row of a minute are left out, and the last row of a minute stands."""
    bad = BARS.head(1).with_columns(close=pl.lit(0.0))
    again = BARS.slice(1, 1).with_columns(volume=pl.lit(7, pl.Int64))
    pl.concat([BARS.slice(1), bad, again]).write_parquet(tmp_path / "all.parquet")

    read = read_bars(tmp_path / "all.parquet")

    assert (read.frame.height, read.impossible) == (BARS.height - 1, 2)


def test_only_the_regular_session_is_kept() -> None:
    """Before the open, at the bell, after an early close and on a holiday there are no regular bars."""
    instants = {
        datetime(2025, 11, 26, 14, 29, tzinfo=UTC): False,
        datetime(2025, 11, 26, 14, 30, tzinfo=UTC): True,
        datetime(2025, 11, 26, 20, 59, tzinfo=UTC): True,
        datetime(2025, 11, 26, 21, 0, tzinfo=UTC): False,
        datetime(2025, 11, 27, 15, 0, tzinfo=UTC): False,  # Thanksgiving
        datetime(2025, 11, 28, 17, 59, tzinfo=UTC): True,
        datetime(2025, 11, 28, 18, 0, tzinfo=UTC): False,  # closed at 13:00
    }
    frame = pl.concat(
        [BARS.head(1).with_columns(ts=pl.lit(each, pl.Datetime("us", "UTC"))) for each in instants]
    )

    assert regular(frame)["ts"].to_list() == [each for each, is_regular in instants.items() if is_regular]
    assert regular(frame.with_columns(pl.col("ts") - timedelta(days=36_500))).is_empty()


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    """No path, no files, no symbol and no session are each one line that says what there is."""
    place = folder_of(tmp_path / "bars")
    (tmp_path / "empty").mkdir()
    BARS.with_columns(ts=pl.lit(OPENS[0] - timedelta(hours=3))).write_parquet(tmp_path / "night.parquet")

    with pytest.raises(ConfigError, match="no such file or folder"):
        read_bars(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"no \.parquet file"):
        read_bars(tmp_path / "empty")
    with pytest.raises(NoBars, match="no folder of ZZZ; there are AAA, BBB"):
        read_bars(place, symbols=["ZZZ"])
    with pytest.raises(NoBars, match="no bars of ZZZ in regular sessions; there are AAA"):
        read_bars(place, symbols=["AAA", "ZZZ"])
    with pytest.raises(NoBars, match="no bars of any symbol in regular sessions"):
        read_bars(tmp_path / "night.parquet")


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    """Bytes that are no Parquet, and a file without a column, are refused by name."""
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    BARS.drop("close").write_parquet(tmp_path / "short.parquet")

    with pytest.raises(BadBatch, match=r"bad\.parquet: cannot be read as Parquet"):
        read_bars(tmp_path / "bad.parquet")
    with pytest.raises(BadBatch, match=r"short\.parquet: column close is missing"):
        read_bars(tmp_path / "short.parquet")


def test_the_work_grows_with_the_files(tmp_path: Path) -> None:
    """A file of each day of many symbols is looked at once, and not once for every other."""
    few, many = (calls_of_files(tmp_path / str(folders), folders) for folders in (10, 40))

    assert few > 0
    assert many < 5 * few


def calls_of_files(place: Path, folders: int) -> int:
    """Count the calls it takes to find ten files in each of some folders, which cannot be read."""
    for number in range(folders):
        (place / f"S{number}").mkdir(parents=True)
        for day in range(10, 20):
            (place / f"S{number}" / f"2024-01-{day}.parquet").touch()
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        with pytest.raises(BadBatch):
            read_bars(place)
    finally:
        sys.setprofile(None)
    return calls
