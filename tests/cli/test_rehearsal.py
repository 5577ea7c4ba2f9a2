"""The demo's stage: what the user left out is filled in, and what cannot be is refused in one line."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from cli.rehearsal import DEFAULT_DATE, DEFAULT_SYMBOLS, fresh_folder, make_stage, write_run_folder
from schemas.settings import ClockKind
from tasks.configuration import load_settings
from tasks.errors import ConfigError

NOON = datetime(2025, 11, 20, 12, 0, tzinfo=UTC)


def bars_folder(tmp_path: Path, files: dict[str, list[str]]) -> Path:
    for symbol, days in files.items():
        (tmp_path / "bars" / symbol).mkdir(parents=True)
        for day in days:
            (tmp_path / "bars" / symbol / f"{day}.parquet").touch()
    return tmp_path / "bars"


def test_nothing_is_needed() -> None:
    """Without data a generated market of a fixed session is played."""
    stage = make_stage(bars=None, session_date=None, symbols=None, strategy="sma_crossover", seed=3)

    assert (stage.bars, stage.session_date, stage.symbols) == (None, DEFAULT_DATE, DEFAULT_SYMBOLS)


def test_a_strategys_file_counts_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run folder has its own desk.yaml, so a file is written there with its whole path."""
    monkeypatch.chdir(tmp_path)

    stage = make_stage(bars=None, session_date=None, symbols=None, strategy="mine.py:A, rsi", seed=3)

    assert stage.strategies == (f"{tmp_path}/mine.py:A", "rsi")


def test_the_newest_common_date_is_played(tmp_path: Path) -> None:
    """With bars and no date, the newest date that all wanted symbols have."""
    folder = bars_folder(tmp_path, {"AAPL": ["2025-01-02", "2025-01-03"], "MSFT": ["2025-01-02"]})

    stage = make_stage(bars=folder, session_date=None, symbols="aapl, msft", strategy="x", seed=1)

    assert (stage.session_date, stage.symbols) == (date(2025, 1, 2), ("AAPL", "MSFT"))


def test_symbols_that_have_the_date(tmp_path: Path) -> None:
    """With bars and a date but no symbols, some that have it."""
    folder = bars_folder(tmp_path, {"AAPL": ["2025-01-03"], "MSFT": ["2025-01-02"]})

    stage = make_stage(bars=folder, session_date=date(2025, 1, 2), symbols=None, strategy="x", seed=1)

    assert stage.symbols == ("MSFT",)


def test_bars_that_are_not_there(tmp_path: Path) -> None:
    """A directory that is not there is named."""
    with pytest.raises(ConfigError, match="no such directory"):
        make_stage(bars=tmp_path / "no", session_date=None, symbols=None, strategy="x", seed=1)


def test_a_used_store_is_refused(tmp_path: Path) -> None:
    """A rehearsal never writes into a folder with something in it."""
    (tmp_path / "ledger.sqlite").touch()

    with pytest.raises(ConfigError, match="not an empty directory"):
        fresh_folder(tmp_path, started_at=NOON)


def test_the_run_folder_is_a_valid_configuration(tmp_path: Path) -> None:
    """The written desk.yaml loads: the venue's clock, its URLs, a store of its own."""
    stage = make_stage(bars=None, session_date=None, symbols="SPY", strategy="a,b,c", seed=1)

    path = write_run_folder(
        tmp_path / "run", stage, exchange_url="http://127.0.0.1:9", stream_url="ws://127.0.0.1:9/stream"
    )
    settings = load_settings(path)

    assert settings.broker.clock is ClockKind.VENUE
    assert settings.store == tmp_path / "run" / "store"
    assert [strategy.name for strategy in settings.strategies] == ["a", "b", "c"]
