"""desk/margin.py: the margin rules of the session's date, and no field that a broker may drop."""

from datetime import date
from decimal import Decimal

import pytest

from desk.exposure import exposure_of
from desk.margin import margin_finding
from schemas.account import BrokerAccount
from schemas.orders import Reason, Side
from tests.desk.risk_book import PRICES, D, account, entry

LEGACY = date(2026, 6, 3)
INTRADAY = date(2026, 6, 4)


def judged(
    day: date,
    held_by: BrokerAccount,
    *,
    day_trades: int | None = 0,
    held: dict[str, Decimal] | None = None,
    side: Side = Side.BUY,
    qty: str = "10",
) -> tuple[Reason, Decimal, Decimal, bool]:
    """Judge an entry of AAPL at 200 and give reason, number, limit and verdict."""
    intent = entry(qty=qty, side=side, session_date=day)
    before = exposure_of(held or {}, (), PRICES)
    found = margin_finding(
        intent,
        account=held_by,
        after=before.plus(intent, qty=intent.qty, price=PRICES["AAPL"]),
        day_trades=day_trades,
        at_risk=before.symbols.keys(),
    )
    return found.reason, found.number, found.limit, found.ok


SMALL = account(equity=D("24999.99"))


@pytest.mark.parametrize(
    ("day_trades", "held", "ok"),
    [
        (0, {}, True),
        (2, {}, True),
        (3, {}, False),
        (2, {"MSFT": D(1)}, False),  # leaving MSFT is the third, leaving AAPL the fourth
        (2, {"AAPL": D(1)}, True),  # one symbol left once is one day trade
        (None, {}, False),
    ],
)
def test_legacy_pack_refuses_the_fourth_day_trade(
    day_trades: int | None, held: dict[str, Decimal], ok: bool
) -> None:
    """Before 2026-06-04, under 25,000 USD, an entry that may make a fourth day trade is refused."""
    reason, _, limit, verdict = judged(LEGACY, SMALL, day_trades=day_trades, held=held)

    assert (reason, limit, verdict) == (Reason.PATTERN_DAY_TRADER, D(3), ok)


@pytest.mark.parametrize("free", [account(equity=D(25_000)), account(equity=D(5_000), multiplier=1)])
def test_legacy_pack_leaves_large_and_cash_accounts_alone(free: BrokerAccount) -> None:
    """From 25,000 USD, and without margin, day trades are not counted; nobody asks for their number."""
    assert judged(LEGACY, free, day_trades=None)[3]


def test_the_pack_is_chosen_by_the_session_date() -> None:
    """The same small account with five day trades is refused on June 3 and free on June 4, 2026."""
    assert not judged(LEGACY, SMALL, day_trades=5)[3]
    assert judged(INTRADAY, SMALL, day_trades=5)[3]
    assert judged(INTRADAY, SMALL, day_trades=None)[0] is Reason.INTRADAY_MARGIN


@pytest.mark.parametrize(
    ("multiplier", "side", "qty", "number", "ok"),
    [
        (4, Side.BUY, "200", "10000", True),  # 40,000 * 25 %
        (4, Side.BUY, "201", "10050", False),
        (2, Side.BUY, "100", "10000", True),  # 20,000 * 50 %
        (2, Side.BUY, "101", "10100", False),
        (1, Side.BUY, "50", "10000", True),  # a cash account pays in full
        (1, Side.BUY, "51", "10200", False),
        (4, Side.SELL, "166", "9960", True),  # 33,200 * 30 %
        (4, Side.SELL, "167", "10020", False),
    ],
)
def test_intraday_pack_holds_the_requirement_against_equity(
    multiplier: int, side: Side, qty: str, number: str, ok: bool
) -> None:
    """Since 2026-06-04, with 10,000 USD of equity: margin needed is at most the equity."""
    held_by = account(equity=D(10_000), multiplier=multiplier)

    reason, found, limit, verdict = judged(INTRADAY, held_by, side=side, qty=qty)

    assert (reason, found, limit, verdict) == (Reason.INTRADAY_MARGIN, D(number), D(10_000), ok)


@pytest.mark.parametrize(
    ("qty", "side", "ok"), [("9", Side.BUY, True), ("10", Side.BUY, False), ("1", Side.SELL, False)]
)
def test_under_two_thousand_dollars_nothing_is_lent(qty: str, side: Side, ok: bool) -> None:
    """Regulation T's minimum: with 1,999 USD exposure stays within equity and nothing is sold short."""
    assert judged(INTRADAY, account(equity=D(1_999)), qty=qty, side=side)[3] is ok
