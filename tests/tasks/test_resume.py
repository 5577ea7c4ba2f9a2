"""Releasing what a person saw: who and why are kept, and what came meanwhile is not released with it."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from desk.errors import Overtaken
from desk.portfolio import Portfolio, replay
from schemas.events import AnyEvent, LatchReleased, LatchSet, TradingStateChanged
from schemas.risk import LatchName, TradingState
from schemas.settings import Settings
from tasks.operate import resume
from tasks.resources import open_ledger

AT = datetime(2025, 11, 26, 17, 0, tzinfo=UTC)


def latch(name: LatchName, cause: str) -> LatchSet:
    """Give a latch."""
    return LatchSet(at=AT, name=name, number=Decimal(1), limit=Decimal(0), cause=cause)


def halted(cause: str) -> TradingStateChanged:
    """Give the halt that comes with a kill."""
    return TradingStateChanged(at=AT, state=TradingState.HALTED, cause=cause, by="desk")


def written(settings: Settings, *events: AnyEvent) -> None:
    """Write events as an operator does, from another process."""
    with closing(open_ledger(settings)) as ledger:
        ledger.append_as_operator(events)


def events_of(settings: Settings) -> list[AnyEvent]:
    """Give the ledger's events."""
    with closing(open_ledger(settings)) as ledger:
        return [event for _, event in ledger.read()]


def books(settings: Settings) -> Portfolio:
    """Give the fold of the ledger."""
    return replay(events_of(settings))


def test_r5_a_release_records_who_and_why(tmp_path: Path) -> None:
    """The latch is gone, the desk is active, and the ledger says by whom and for what reason (R5)."""
    settings = Settings(store=tmp_path)
    written(settings, latch(LatchName.KILL, "test"), halted("test"))

    resume(settings, by="ann", cause="the venue is back", choose=lambda names: names)

    assert books(settings).latches == {}
    assert books(settings).trading_state is TradingState.ACTIVE
    (released,) = [event for event in events_of(settings) if isinstance(event, LatchReleased)]
    assert (released.by, released.cause) == ("ann", "the venue is back")


@pytest.mark.parametrize(
    "meanwhile",
    [
        (latch(LatchName.KILL, "again"), halted("again")),
        (latch(LatchName.WEEKLY_LOSS, "another"),),
        (halted("a crash"),),
    ],
    ids=["the same latch", "another latch", "a halt"],
)
def test_i7_what_was_set_while_a_person_decided_is_not_released(
    tmp_path: Path, meanwhile: tuple[AnyEvent, ...]
) -> None:
    """They saw one latch and answer for it; what came meanwhile is looked at first (I7)."""
    settings = Settings(store=tmp_path)
    written(settings, latch(LatchName.KILL, "test"), halted("test"))

    def choose(names: Sequence[LatchName]) -> Sequence[LatchName]:
        written(settings, *meanwhile)
        return names

    with pytest.raises(Overtaken, match="written meanwhile"):
        resume(settings, by="ann", cause="fine", choose=choose)

    assert LatchName.KILL in books(settings).latches
    assert books(settings).trading_state is TradingState.HALTED
    assert not [event for event in events_of(settings) if isinstance(event, LatchReleased)]
