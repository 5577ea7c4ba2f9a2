"""The tape shows strategies regular-session bars that were known, and nothing else (I10)."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from desk.tape import Tape
from schemas.bars import ACCEPTED_SCHEMA, RAW_SCHEMA

TEN = datetime(2024, 3, 7, 15, 0, tzinfo=UTC)
LATER = TEN + timedelta(hours=1)


def accepted(
    symbol: str, minute: int, close: float = 50.0, *, revision: int = 0, segment: str = "regular"
) -> pl.DataFrame:
    ts = TEN + timedelta(minutes=minute)
    row = (symbol, ts, close, close, close, close, 100, None, None, revision, date(2024, 3, 7), segment)
    return pl.DataFrame([row], schema=ACCEPTED_SCHEMA, orient="row")


def test_frame_is_sorted_and_typed_whatever_the_order_of_arrival() -> None:
    """Chunks join into one frame sorted by symbol and minute."""
    tape = Tape()
    for symbol, minute in (("BBB", 1), ("AAA", 1), ("AAA", 0), ("BBB", 0)):
        tape.add(accepted(symbol, minute), LATER)

    frame = tape.frame()

    assert dict(frame.schema) == RAW_SCHEMA
    assert frame.select("symbol", "ts").rows() == [
        (symbol, TEN + timedelta(minutes=minute)) for symbol in ("AAA", "BBB") for minute in (0, 1)
    ]
    assert tape.frame(["BBB"])["symbol"].unique().to_list() == ["BBB"]


def test_extended_hours_are_remembered_and_not_shown() -> None:
    """Pre-market and the closing print are in the memory and not before a strategy."""
    tape = Tape()
    tape.add(accepted("AAA", 0, segment="pre"), LATER)
    tape.add(accepted("AAA", 1), LATER)
    tape.add(accepted("AAA", 2, 51.0, segment="post"), LATER)

    assert tape.frame().height == 1
    assert tape.since(TEN).height == 3
    assert tape.last_prices() == {"AAA": 50.0}
    assert tape.last()["last_close"].to_list() == [51.0]


def test_revision_replaces_and_does_not_become_the_newest() -> None:
    """A revised earlier minute is shown revised; the latest bar stays the latest."""
    tape = Tape()
    tape.add(accepted("AAA", 0, 50.0), LATER)
    tape.add(accepted("AAA", 1, 51.0), LATER)
    assert tape.frame()["close"].to_list() == [50.0, 51.0]

    tape.add(accepted("AAA", 0, 50.5, revision=1), LATER)

    assert tape.frame()["close"].to_list() == [50.5, 51.0]
    latest = tape.latest("AAA")
    assert latest is not None
    assert latest.close == 51.0
    assert tape.since(TEN)["revision"].to_list() == [0, 0, 1]


def test_unfinished_bar_is_refused() -> None:
    """A bar that ends after it is said to be known cannot get onto the tape."""
    tape = Tape()

    with pytest.raises(ValueError, match="ends after"):
        tape.add(accepted("AAA", 0), TEN + timedelta(seconds=59))
    assert tape.frame().is_empty()


def test_wrong_columns_are_refused() -> None:
    """Only the inspector's bars fit."""
    with pytest.raises(ValueError, match="takes columns"):
        Tape().add(accepted("AAA", 0).drop("revision"), LATER)


def test_since_gives_only_what_was_asked() -> None:
    """Older minutes of a mixed chunk are left out."""
    tape = Tape()
    tape.add(pl.concat([accepted("AAA", minute) for minute in range(5)]), LATER)

    assert tape.since(TEN + timedelta(minutes=3)).height == 2
    assert tape.since(LATER).is_empty()
    assert Tape().latest("AAA") is None
