"""The minutes a backtest looks at: a limit reached between two looks latches as it would live."""

from dataclasses import replace
from decimal import Decimal

import polars as pl
import pytest

from desk.hours import minutes, sessions_between
from desk.research.engine import Plan, Played, play
from desk.research.foresight import Foresight
from schemas.bars import RAW_SCHEMA
from schemas.events import ProtectionSet
from schemas.protections import LowProfit, MaxDrawdown, Protection
from schemas.research import Size, SizeKind
from tests.desk.research.cases import LEVEL_SCHEMA, STARTS, Case, Options
from tests.desk.research.exact import plan_of

DAYS = sessions_between(STARTS[-1], STARTS[-1].replace(day=STARTS[-1].day + 2))
CASH = Decimal(1_000_000)


def told(closes: list[float], levels: dict[int, float], *, qty: int, days: int = 1) -> Case:
    """Give sessions of one symbol: its first closes, the last of them on and on, and levels by minute."""
    edges = [edge for hours in DAYS[:days] for edge in minutes(hours)]
    prices = closes + [closes[-1]] * (len(edges) - len(closes))
    rows = [
        ("AAA", ts, price, price, price, price, 10**8, None, None)
        for ts, price in zip(edges, prices, strict=True)
    ]
    said = [("AAA", edges[place], level) for place, level in levels.items()]
    return Case(
        0,
        pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row"),
        pl.DataFrame(said, schema=LEVEL_SCHEMA, orient="row"),
        DAYS[:days],
        Options(size=Size(kind=SizeKind.SHARES, amount=Decimal(qty)), cash=CASH),
    )


def under(plan: Plan, *protections: Protection, **risk: object) -> Plan:
    """Give a plan under protections and other limits."""
    settings = plan.settings
    kept = {"protections": protections, "risk": settings.risk.model_copy(update=risk)}
    return replace(plan, settings=settings.model_copy(update=kept), keeps=True, hashes=True)


def as_live(plan: Plan, patch: pytest.MonkeyPatch) -> Played:
    """Play a plan as a live desk would: every minute visited, and its value recorded."""
    with patch.context() as patched:
        patched.setattr(Foresight, "is_marked", lambda self, minute: True)
        return play(replace(plan, skips=False))


def test_a_good_trade_that_is_too_old_to_count_begins_a_pause() -> None:
    """One trade earns, two lose; an hour after the first the two alone count, in a minute without a fill."""
    closes = [100.0] * 10 + [102.0] * 20 + [101.4] * 20 + [100.8]
    case = told(closes, {2: 1, 15: 0, 22: 1, 35: 0, 42: 1, 55: 0, 150: 1}, qty=100)
    protection = LowProfit(within_minutes=60, trades=2, pause_minutes=300)
    skipped, visited = (play(replace(under(plan_of(case), protection), skips=each)) for each in (True, False))

    assert skipped.denials == visited.denials == {"protection": 1}
    assert skipped.ledger_hash == visited.ledger_hash
    assert skipped.visited < visited.visited


@pytest.mark.parametrize(("last", "numbers"), [("9.91", []), ("9.9049", [Decimal(1000)])])
def test_a_loss_limit_latches_at_the_number_it_would_live(
    last: str, numbers: list[Decimal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 10,000 shares the rounding of a price is worth more than a dollar: the limit is reached by it."""
    case = told([10.0] * 100 + [float(last)], {0: 1.0}, qty=10_000)
    plan = under(plan_of(case), daily_loss_usd=Decimal(1000))
    done, live = play(plan), as_live(plan, monkeypatch)

    assert done.journal is not None
    assert live.journal is not None
    assert done.fills.equals(live.fills)
    for each in (done.journal, live.journal):
        assert [latch.number for latch in each.portfolio.latches.values()] == numbers


def test_a_drawdown_between_two_records_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fall of 1.9 and then of 2.1 percent: the second step is small, and reaches the limit of 2."""
    case = told([10.0] * 10 + [9.81] * 10 + [9.79] * 10 + [10.0], {1: 1, 40: 0, 50: 1}, qty=100_000)
    protection = MaxDrawdown(max_frac=Decimal("0.02"), within_minutes=120, pause_minutes=120)
    plan = under(plan_of(case), protection)
    done, live = play(plan), as_live(plan, monkeypatch)

    assert done.denials == live.denials == {"protection": 1}
    assert done.fills.equals(live.fills)


@pytest.mark.parametrize("pause", [1051, 1440])
def test_a_drawdown_of_the_last_minute_pauses_from_the_next_sessions_start(pause: int) -> None:
    """What the last close took is looked at five minutes before the next open, quiet as its minutes are."""
    case = told([10.0] * 389 + [9.7], {0: 1.0, 500: 0, 510: 1}, qty=100_000, days=2)
    protection = MaxDrawdown(max_frac=Decimal("0.02"), within_minutes=1440, pause_minutes=pause)
    skipped, visited = (play(replace(under(plan_of(case), protection), skips=each)) for each in (True, False))

    assert skipped.journal is not None
    paused = [e.at for _, e in skipped.journal._ledger.read() if isinstance(e, ProtectionSet)]
    assert [f"{at:%d %H:%M:%S}" for at in paused] == ["16 13:25:10"]
    assert skipped.ledger_hash == visited.ledger_hash
    assert skipped.fills.equals(visited.fills)


def test_a_target_that_rounds_to_nothing_is_no_position() -> None:
    """A level of less than half a millionth asks for none: what is held is left at it."""
    case = told([10.0], {2: 1.0, 50: 4e-7}, qty=100)
    done = play(plan_of(case))

    assert done.fills["side"].to_list() == ["buy", "sell"]
