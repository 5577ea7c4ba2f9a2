"""Deliveries of bars for the inspector's tests, good ones by default, and the context they are judged in."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from desk.hours import session_hours
from desk.inspection import Context, Forgetful, Inspection, Memory, Mode
from desk.inspector import inspect
from desk.tape import Tape
from schemas.bars import Flaw
from schemas.settings import DataSettings

OPEN = datetime(2024, 3, 7, 14, 30, tzinfo=UTC)  # a Thursday
TEN = OPEN + timedelta(minutes=30)
LIMITS = DataSettings()
Row = dict[str, Any]


def bar(
    symbol: str = "AAA", minute: int = 0, price: float = 50.0, *, base: datetime = TEN, **changes: object
) -> Row:
    """Make one good delivered row, with changes."""
    row: Row = {
        "symbol": symbol,
        "ts": base + timedelta(minutes=minute),
        "open": price,
        "high": price * 1.001,
        "low": price * 0.999,
        "close": price,
        "volume": 1_000 + minute,
    }
    return {**row, **changes}


def bars(count: int = 5, symbol: str = "AAA", price: float = 50.0, *, base: datetime = TEN) -> list[Row]:
    return [bar(symbol, minute, price, base=base) for minute in range(count)]


def ctx(
    rows: Sequence[Row] = (),
    *,
    mode: Mode = Mode.LIVE,
    now: datetime | None = None,
    expected: Sequence[str] = ("AAA",),
    memory: Memory | None = None,
    known: Sequence[str] | None = None,
) -> Context:
    """Judge at two seconds after the newest row's minute, unless told."""
    newest = max((row["ts"] for row in rows if isinstance(row.get("ts"), datetime)), default=TEN)
    return Context(
        now=newest + timedelta(seconds=62) if now is None else now,
        mode=mode,
        expected=frozenset(expected),
        session_on=session_hours,
        limits=LIMITS,
        memory=Forgetful() if memory is None else memory,
        known_symbols=None if known is None else frozenset(known),
        provider="test",
        feed="sip",
    )


def verdicts(result: Inspection) -> list[str]:
    return result.rows["verdict"].to_list()


def reasons(result: Inspection) -> list[str | None]:
    return result.rows["reason"].to_list()


def flaws(result: Inspection) -> set[Flaw]:
    return {finding.flaw for finding in result.findings}


def remembering(rows: Sequence[Row], *, mode: Mode = Mode.LIVE) -> Tape:
    """Give a tape that accepted these rows."""
    result = inspect(rows, ctx(rows, mode=mode, expected=sorted({row["symbol"] for row in rows})))
    assert result.quarantine.is_empty()
    tape = Tape()
    tape.add(result.bars, ctx(rows).now)
    return tape
