"""desk/losses.py: the day's loss latches once, by the worse of two witnesses, restart or not."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.gate import review
from desk.losses import DayResult, allowed, daily_loss
from schemas.orders import Denial, Purpose, Reason
from schemas.risk import LatchName, TradingState
from tests.desk.risk_book import LIMITS, NOW, D, entry, gate_view

amounts = st.decimals(-5_000, 5_000, places=2)


def day(
    *,
    realized: str = "0",
    unrealized: str = "0",
    fees: str = "0",
    start: str = "100000",
    equity: str | None = "100000",
) -> DayResult:
    """Give a day's result."""
    return DayResult(
        realized_pnl=D(realized),
        unrealized_pnl=D(unrealized),
        fees=D(fees),
        start_equity=D(start),
        equity=None if equity is None else D(equity),
    )


@pytest.mark.parametrize(
    ("result", "number"),
    [
        (day(realized="-1000"), "1000"),
        (day(unrealized="-1000"), "1000"),
        (day(realized="-600", unrealized="-399", fees="1"), "1000"),
        (day(equity="99000"), "1000"),
        (day(realized="500", equity="98500"), "1500"),
        (day(realized="-1200", equity=None), "1200"),
    ],
)
def test_a_loss_at_the_limit_latches(result: DayResult, number: str) -> None:
    """Open and realized loss with fees, or the broker's equity: the worse one latches at 1,000."""
    latch = daily_loss(result, LIMITS, latches=(), now=NOW)

    assert latch is not None
    assert (latch.name, latch.number, latch.limit) == (LatchName.DAILY_LOSS, D(number), D(1000))
    assert latch.at == NOW


@pytest.mark.parametrize(
    "result",
    [day(), day(realized="-999.99"), day(realized="2000", unrealized="-2900"), day(equity="99000.01")],
)
def test_a_smaller_loss_does_not_latch(result: DayResult) -> None:
    """A cent under the limit is no latch."""
    assert daily_loss(result, LIMITS, latches=(), now=NOW) is None


def test_the_cause_names_both_witnesses() -> None:
    """The message gives the loss, the limit, and what each side says."""
    latch = daily_loss(day(realized="-1200", equity="98500"), LIMITS, latches=(), now=NOW)

    assert latch is not None
    assert latch.cause == (
        "daily loss 1,500 USD reached 1,000: own books -1,200 USD, broker's equity -1,500 USD"
    )


def test_a_set_latch_is_not_set_again() -> None:
    """The second minute under the limit adds nothing to the ledger."""
    assert daily_loss(day(realized="-3000"), LIMITS, latches={LatchName.DAILY_LOSS}, now=NOW) is None


@given(realized=amounts, unrealized=amounts, fees=st.decimals(0, 50, places=2), change=amounts)
def test_the_worse_witness_decides(
    realized: Decimal, unrealized: Decimal, fees: Decimal, change: Decimal
) -> None:
    """The result is never better than either witness, and is one of them."""
    result = DayResult(
        realized_pnl=realized,
        unrealized_pnl=unrealized,
        fees=fees,
        start_equity=D(100_000),
        equity=D(100_000) + change,
    )

    assert result.pnl <= result.own_pnl
    assert result.pnl <= change
    assert result.pnl in (result.own_pnl, change)


def test_f6_a_restart_does_not_reset_the_daily_loss() -> None:
    """F6: a process that starts after the loss, with the day's numbers from the ledger, decides the same.

    The start of the day is the first session's equity. Were it the restart's, a loss of 900 before and
    200 after it would never latch.
    """
    before = day(realized="-900", equity="99100")
    after_restart = day(realized="-900", unrealized="-200", equity="98900")

    assert daily_loss(before, LIMITS, latches=(), now=NOW) is None
    latch = daily_loss(after_restart, LIMITS, latches=(), now=NOW)

    assert latch is not None
    assert latch.number == D(1100)


def test_f6_a_latch_outlives_a_recovered_price_and_a_restart() -> None:
    """F6, I7: with the latch replayed from the ledger the gate refuses, though the day is green again."""
    view = gate_view(latches={LatchName.DAILY_LOSS}, daily_pnl=D(500))

    answer = review(entry(), view, LIMITS)

    assert isinstance(answer, Denial)
    assert answer.reason is Reason.LOSS_LATCH


@pytest.mark.parametrize(
    ("state", "entries", "exits"),
    [
        (TradingState.ACTIVE, True, True),
        (TradingState.REDUCING, False, True),
        (TradingState.HALTED, False, False),
    ],
)
def test_what_a_trading_state_lets_through(state: TradingState, entries: bool, exits: bool) -> None:
    """R5: ACTIVE all, REDUCING exits, HALTED nothing but a flatten's exits."""
    assert allowed(state, Purpose.ENTRY) is entries
    assert allowed(state, Purpose.EXIT) is exits
    assert allowed(state, Purpose.EXIT, flatten=True)
    assert allowed(state, Purpose.ENTRY, flatten=True) is entries
