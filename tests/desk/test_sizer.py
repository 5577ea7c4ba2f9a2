"""desk/sizer.py: levels become intents only where book and level differ."""

from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import sizer
from desk.money import is_legal_price
from schemas.orders import OrderState, OrderType, Purpose, Side, TimeInForce
from schemas.signals import SIGNAL_SCHEMA
from tests.desk.risk_book import BAR_TS, D, asset, entry, leave, signals, sizing_view, works

AAPL = ("demo", "AAPL")


def of_minute(said: pl.DataFrame) -> tuple[sizer.Level, ...]:
    return sizer.levels_of(said, BAR_TS)


def test_a_level_on_a_flat_book_is_an_entry() -> None:
    """100,000 * 0.25 / 4 = 6,250 USD buy 31 shares at the limit 200.10, five basis points through 200."""
    (intent,) = sizer.size(signals({"AAPL": 1.0}), sizing_view())

    assert (intent.side, intent.qty, intent.limit_price) == (Side.BUY, D(31), D("200.10"))
    assert (intent.order_type, intent.time_in_force) == (OrderType.LIMIT, TimeInForce.DAY)
    assert (intent.purpose, intent.reference_price) == (Purpose.ENTRY, D("200.00"))
    assert intent.client_order_id == "mqd-demo-20261120-AAPL-1500-n0"
    assert intent.correlation_id == "demo/AAPL/2026-11-20T15:00:00+00:00"


def test_half_a_level_is_half_an_entry() -> None:
    """The target's size scales the notional: 3,125 USD buy 15 shares."""
    (intent,) = sizer.size(signals({"AAPL": 0.5}), sizing_view())

    assert intent.qty == D(15)


@pytest.mark.parametrize("target", [0.0, -1.0])
def test_a_position_whose_level_is_gone_is_left_whole(target: float) -> None:
    """A level of zero or of the other sign gives one market exit of the whole position, and no entry yet."""
    view = sizing_view(positions={AAPL: D(31)}, allow_short=True)

    (intent,) = sizer.size(signals({"AAPL": target}), view)

    assert (intent.side, intent.qty, intent.order_type) == (Side.SELL, D(31), OrderType.MARKET)
    assert intent.purpose is Purpose.EXIT
    assert intent.limit_price is None
    assert intent.client_order_id == "mqd-demo-20261120-AAPL-1500-x0"


def test_a_short_position_is_bought_back() -> None:
    """The exit of a short position is a buy of its size."""
    (intent,) = sizer.size(signals({"AAPL": 0.0}), sizing_view(positions={AAPL: D(-7)}))

    assert (intent.side, intent.qty) == (Side.BUY, D(7))


def test_a_reversal_enters_once_it_is_flat() -> None:
    """The minute after the exit filled, the restated level enters short."""
    (intent,) = sizer.size(signals({"AAPL": -1.0}), sizing_view(allow_short=True))

    assert (intent.side, intent.purpose) == (Side.SELL, Purpose.ENTRY)
    assert intent.limit_price == D("199.90")


@pytest.mark.parametrize("state", [OrderState.PENDING, OrderState.SUBMITTED, OrderState.UNKNOWN])
def test_a_working_entry_is_not_doubled(state: OrderState) -> None:
    """While an entry works, its answer lost or not, the level asks for nothing more."""
    view = sizing_view(working={AAPL: (works(entry(), state=state),)})

    assert sizer.size(signals({"AAPL": 1.0}), view) == ()


def test_a_working_exit_is_not_doubled() -> None:
    """While an exit works, a level of zero asks for no second one."""
    view = sizing_view(positions={AAPL: D(10)}, working={AAPL: (works(leave()),)})

    assert sizer.size(signals({"AAPL": 0.0}), view) == ()


def test_a_held_level_asks_for_nothing() -> None:
    """A position in the level's direction stays as it is, also when the level's size changed."""
    assert sizer.size(signals({"AAPL": 0.3}), sizing_view(positions={AAPL: D(31)})) == ()


def test_a_level_of_another_minute_is_ignored() -> None:
    """An older row may have been left already; only the evaluated minute counts."""
    old = signals({"AAPL": 1.0}, ts=BAR_TS - timedelta(minutes=1))

    assert sizer.size(old, sizing_view()) == ()


def test_no_signals_give_nothing() -> None:
    """An empty frame is fine."""
    assert sizer.size(pl.DataFrame(schema=SIGNAL_SCHEMA), sizing_view()) == ()


def test_a_two_hundred_dollar_account_never_enters_a_six_hundred_dollar_share() -> None:
    """R2: without fractions there is no intent, and the reason says so."""
    view = sizing_view(equity=D(200), allocations={"demo": D(1)}, slots=1)

    made = sizer.sizing(of_minute(signals({"SPY": 1.0})), view)

    assert made.intents == ()
    assert made.skipped == (sizer.Skip("demo", "SPY", "200 USD buy no share at 600.3"),)


def test_a_two_hundred_dollar_account_enters_a_fraction_where_allowed() -> None:
    """R2: with fractions, a DAY order of nine decimals that costs no more than the account has."""
    view = sizing_view(equity=D(200), allocations={"demo": D(1)}, slots=1, allow_fractional=True)

    (intent,) = sizer.size(signals({"SPY": 1.0}), view)

    assert intent.qty == D("0.333166749")
    assert intent.time_in_force is TimeInForce.DAY
    assert intent.limit_price is not None
    assert intent.qty * intent.limit_price <= 200


def test_a_fraction_is_never_sold_short_and_only_of_fractionable_assets() -> None:
    """A short entry and an asset that is not fractionable are sized in whole shares."""
    view = sizing_view(
        allow_fractional=True, allow_short=True, assets={"AAPL": asset("AAPL", fractionable=False)}
    )
    short = sizing_view(allow_fractional=True, allow_short=True)

    (whole,) = sizer.size(signals({"AAPL": 1.0}), view)
    (sold,) = sizer.size(signals({"AAPL": -1.0}), short)

    assert (whole.qty, sold.qty) == (D(31), D(31))


def test_a_fractional_position_is_left_whole() -> None:
    """A fraction that is held leaves by its exact quantity, whatever the setting says now."""
    (intent,) = sizer.size(signals({"AAPL": 0.0}), sizing_view(positions={AAPL: D("0.333166749")}))

    assert (intent.qty, intent.time_in_force) == (D("0.333166749"), TimeInForce.DAY)


def test_slots_bound_positions_and_working_entries_together() -> None:
    """Two slots, one held and one entering: the third level is skipped with its count."""
    view = sizing_view(slots=2, positions={AAPL: D(10)}, working={("demo", "MSFT"): (works(entry("MSFT")),)})

    made = sizer.sizing(of_minute(signals({"AAPL": 1.0, "MSFT": 1.0, "SPY": 1.0})), view)

    assert made.intents == ()
    assert made.skipped == (sizer.Skip("demo", "SPY", "2 positions in 2 slots"),)


def test_the_stronger_level_gets_the_last_slot() -> None:
    """One slot and two levels: the stronger one enters, whatever the order of the rows."""
    for levels in ({"AAPL": 0.4, "SPY": 0.9}, {"SPY": 0.9, "AAPL": 0.4}):
        made = sizer.sizing(of_minute(signals(levels)), sizing_view(slots=1))

        assert [intent.symbol for intent in made.intents] == ["SPY"]
        assert [skip.symbol for skip in made.skipped] == ["AAPL"]


def test_exits_come_before_entries() -> None:
    """Within a minute, what leaves is judged and sent before what enters."""
    made = sizer.size(signals({"AAPL": 1.0, "MSFT": 0.0}), sizing_view(positions={("demo", "MSFT"): D(5)}))

    assert [intent.purpose for intent in made] == [Purpose.EXIT, Purpose.ENTRY]


def test_shorts_are_skipped_while_switched_off() -> None:
    """A short level without `risk.allow_short` is skipped, naming the switch."""
    made = sizer.sizing(of_minute(signals({"AAPL": -1.0})), sizing_view())

    assert made.intents == ()
    assert "risk.allow_short" in made.skipped[0].why


@pytest.mark.parametrize(
    ("lacking", "why"),
    [({"prices": {}}, "no price"), ({"allocations": {}}, "no allocation"), ({"assets": {}}, "no asset data")],
)
def test_an_entry_without_its_numbers_is_skipped(lacking: dict[str, object], why: str) -> None:
    """A price, allocation or asset that nobody has is a no."""
    made = sizer.sizing(of_minute(signals({"AAPL": 1.0})), sizing_view(**lacking))

    assert (made.intents, made.skipped[0].why) == ((), why)


def test_an_exit_needs_no_price() -> None:
    """Without a last price the exit is measured against the close that the strategy saw."""
    (intent,) = sizer.size(signals({"AAPL": 0.0}), sizing_view(prices={}, positions={AAPL: D(5)}))

    assert intent.reference_price == D("200.00")


def test_entries_to_cancel_are_those_whose_level_turned() -> None:
    """A working buy is unwanted once its level is zero or negative, and wanted while it is positive."""
    order = works(entry())
    view = sizing_view(working={AAPL: (order,)})

    assert sizer.unwanted_entries(of_minute(signals({"AAPL": 0.0})), view) == (order,)
    assert sizer.unwanted_entries(of_minute(signals({"AAPL": 1.0})), view) == ()


def test_client_order_ids_are_functions_of_their_parts() -> None:
    """Every part is in the id: a different bar, purpose or attempt is a different order (I2)."""
    base = {
        "strategy": "demo",
        "session_date": date(2026, 11, 20),
        "symbol": "BRK.B",
        "bar_ts": BAR_TS,
        "purpose": Purpose.EXIT,
        "attempt": 2,
    }

    assert sizer.client_order_id(**base) == "mqd-demo-20261120-BRK.B-1500-x2"


def test_a_client_order_id_too_long_for_the_broker_raises() -> None:
    """The broker takes 128 characters."""
    with pytest.raises(ValueError, match="over 128"):
        sizer.client_order_id(
            strategy="s" * 120,
            session_date=date(2026, 11, 20),
            symbol="AAPL",
            bar_ts=BAR_TS,
            purpose=Purpose.ENTRY,
            attempt=0,
        )


def test_an_exit_of_nothing_raises() -> None:
    """There is no order that closes a flat position."""
    with pytest.raises(ValueError, match="nothing to exit"):
        leave(position="0")


@given(
    equity=st.decimals("1", "1000000", places=2),
    price=st.decimals("0.0001", "5000", places=4),
    target=st.floats(-1, 1, allow_nan=False),
    slots=st.integers(1, 20),
    fractions=st.booleans(),
)
def test_an_entry_never_costs_more_than_its_share(
    equity: Decimal, price: Decimal, target: float, slots: int, fractions: bool
) -> None:
    """I15: limit and last price times quantity stay within equity * allocation / slots * |target|."""
    view = sizing_view(
        equity=equity, prices={"AAPL": price}, slots=slots, allow_fractional=fractions, allow_short=True
    )

    for intent in sizer.size(signals({"AAPL": target}), view):
        assert intent.limit_price is not None
        assert is_legal_price(intent.limit_price)
        share = equity * D("0.25") / slots * abs(D(repr(round(target, 6))))
        assert intent.qty * max(intent.limit_price, price) <= share * (1 + D("1e-20"))
