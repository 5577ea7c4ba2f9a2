"""Halts and early closes in the exact engine: a halt is a stretch without bars, and orders wait in it."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from desk.hours import minutes, sessions_between
from desk.research.engine import Played, play
from desk.research.reel import Reel
from schemas.bars import RAW_SCHEMA
from schemas.research import Size, SizeKind
from schemas.settings import EntryOrder, ExitsAt, ExitSettings
from tests.desk.research.cases import LEVEL_SCHEMA, Case, Options
from tests.desk.research.exact import plan_of

# Wednesday, Friday (closes at 13:00), Monday; Thursday is Thanksgiving.
DAYS = sessions_between(date(2025, 11, 26), date(2025, 12, 2))
MINUTE = timedelta(minutes=1)
HALTED = range(100, 130)  # minutes of the first session without a bar


def bars(*, halted: range = HALTED, before: float = 50.0, after: float = 40.0) -> pl.DataFrame:
    """Give AAA at one price up to a halt and at another from then on, and BBB that always trades at 20."""
    rows = []
    for hours in DAYS:
        for place, ts in enumerate(minutes(hours)):
            first = hours is DAYS[0]
            if not (first and place in halted):
                price = before if first and place < halted.start else after
                rows.append(("AAA", ts, price, price, price, price, 10_000, None, None))
            rows.append(("BBB", ts, 20.0, 20.0, 20.0, 20.0, 10_000, None, None))
    return pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row").sort("symbol", "ts")


def at(day: int, place: int) -> datetime:
    """Give a minute of a session."""
    return minutes(DAYS[day])[place]


def asked(*levels: tuple[str, datetime, float], frame: pl.DataFrame, **options: object) -> Case:
    """Trade a hundred shares of each level."""
    said = pl.DataFrame(list(levels), schema=LEVEL_SCHEMA, orient="row").sort("symbol", "ts")
    size = Size(kind=SizeKind.SHARES, amount=Decimal(100))
    return Case(0, frame, said, DAYS, Options(size=size, **options))  # type: ignore[arg-type]


def fills(
    case: Case, *, session: dict[str, object] | None = None, exits: ExitSettings | None = None
) -> Played:
    """Play a case twice, skipping and not, and give what both came to."""
    plan = plan_of(case)
    chosen = plan.settings.strategies[0].model_copy(
        update={"exits": exits or plan.settings.strategies[0].exits}
    )
    settings = plan.settings.model_copy(
        update={
            "strategies": (chosen,),
            "session": plan.settings.session.model_copy(update=session or {}),
        }
    )
    done, visited = (
        play(replace(plan, settings=settings, reel=Reel(case.bars), hashes=True, skips=skips))
        for skips in (True, False)
    )
    assert done.ledger_hash == visited.ledger_hash
    return done


def shown(done: Played) -> list[tuple[object, ...]]:
    """Give the executions."""
    return done.fills.select("ts", "symbol", "side", "qty", "price").rows()


def test_a_market_order_waits_for_the_reopening_and_gets_its_price() -> None:
    """Decided on the last bar before the halt, it fills at the first after it; others trade meanwhile."""
    levels = [("AAA", at(0, 99), 1.0), ("BBB", at(0, 110), 1.0)]

    done = fills(asked(*levels, frame=bars()))

    assert shown(done) == [
        (at(0, 111), "BBB", "buy", 100, 20),
        (at(0, 130), "AAA", "buy", 100, 40),
    ]


def test_an_exit_waits_too() -> None:
    """The level says leave just before the halt; what is lost in it is lost."""
    levels = [("AAA", at(0, 10), 1.0), ("AAA", at(0, 99), 0.0)]

    done = fills(asked(*levels, frame=bars()))

    assert shown(done)[1] == (at(0, 130), "AAA", "sell", 100, 40)
    assert done.equity == 1_000_000 - 1_000


@pytest.mark.parametrize("place", list(ExitsAt), ids=lambda each: each.value)
def test_a_stop_under_the_reopening_is_filled_at_the_reopening(place: ExitsAt) -> None:
    """A stop at 47.50 over a halt from 50 to 40 gets 40 and no better, at the venue as at the desk."""
    done = fills(
        asked(("AAA", at(0, 10), 1.0), frame=bars()),
        exits=ExitSettings(stop_frac=Decimal("0.05"), at=place),
    )

    [_, (ts, *rest)] = shown(done)
    assert rest == ["AAA", "sell", 100, 40]
    assert at(0, 130) <= ts <= at(0, 131)


def test_a_limit_entry_that_is_older_than_its_time_is_gone_at_the_reopening() -> None:
    """It would fill at 40; but a quarter of an hour after its bar nobody asks for it any more."""
    limits = {"entry_order": EntryOrder.LIMIT, "entry_ttl_minutes": 15}
    frame = bars()

    late = fills(asked(("AAA", at(0, 99), 1.0), frame=frame), session=limits)
    short = fills(asked(("AAA", at(0, 99), 1.0), frame=bars(halted=range(100, 110))), session=limits)

    assert late.fills.is_empty()
    assert shown(short) == [(at(0, 110), "AAA", "buy", 100, 40)]


def test_a_halt_to_the_bell_keeps_the_position_over_the_night() -> None:
    """The close-out finds nobody to sell to; the position is left the next day, by level or close-out."""
    frame = bars(halted=range(100, 390))
    bought = ("AAA", at(0, 10), 1.0)

    closed_out = fills(asked(bought, frame=frame, close_out=True))
    left = fills(asked(bought, ("AAA", at(1, 3), 0.0), frame=frame, close_out=True))

    assert shown(closed_out)[1:] == [(at(1, 205), "AAA", "sell", 100, 40)]  # five minutes before 13:00
    assert shown(left)[1:] == [(at(1, 4), "AAA", "sell", 100, 40)]


def test_an_early_close_ends_entries_and_positions_earlier() -> None:
    """On the day after Thanksgiving entries end at 12:45 New York and positions at 12:55."""
    frame = bars(halted=range(0))
    early = [("AAA", at(1, 193), 1.0), ("BBB", at(1, 194), 1.0), ("BBB", at(1, 209), 1.0)]

    done = fills(asked(*early, frame=frame, close_out=True))

    assert DAYS[1].early_close
    assert shown(done) == [
        (at(1, 194), "AAA", "buy", 100, 40),
        (at(1, 205), "AAA", "sell", 100, 40),
    ]
    assert dict(done.denials) == {"close_out": 1}


def test_a_level_of_an_early_closes_last_bar_is_traded_at_the_next_open() -> None:
    """Where positions are held over night the order waits for Monday."""
    done = fills(asked(("AAA", at(1, 209), 1.0), frame=bars(halted=range(0))))

    assert shown(done) == [(at(2, 0), "AAA", "buy", 100, 40)]
