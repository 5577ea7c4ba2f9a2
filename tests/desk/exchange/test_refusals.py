"""Every refusal of a day's trading, with its exact status, code, message and extra fields (ALPACA.md 2.4)."""

from datetime import timedelta
from decimal import Decimal

import pytest

from desk.exchange.floor import Floor
from desk.exchange.matching import Rules
from desk.exchange.orders import OrderRequest, Status
from desk.exchange.refusals import Refusal
from schemas.account import Asset
from tests.desk.exchange.makers import OPEN, ask_for, at, flat, floor_of

D = Decimal
TICK = "sub-penny increment does not fulfill minimum pricing criteria"


def refusal_of(floor: Floor, request: OrderRequest) -> tuple[int, int, str]:
    with pytest.raises(Refusal) as caught:
        floor.submit(request)
    return caught.value.status, caught.value.code, caught.value.message


def asset(**changes: object) -> Asset:
    plain = {
        "symbol": "SPY", "tradable": True, "fractionable": True, "shortable": True, "marginable": True,
        "easy_to_borrow": True, "status": "active", "exchange": "ARCA",
    }  # fmt: skip
    return Asset.model_validate({**plain, **changes})


@pytest.mark.parametrize(
    ("request_", "status", "code", "message"),
    [
        (ask_for(qty="0"), 422, 40010001, "qty must be > 0"),
        (ask_for(qty="-1"), 422, 40010001, "qty must be > 0"),
        (ask_for(notional=D(5)), 422, 40010001, "only one of qty or notional is accepted"),
        (ask_for(qty=None), 422, 40010001, "qty or notional is required"),
        (ask_for(kind="limit"), 422, 40010001, "limit orders require a limit price"),
        (ask_for(kind="stop"), 422, 40010001, "stop orders require a stop price"),
        (
            ask_for(kind="stop_limit", stop="9"),
            422,
            40010001,
            "stop limit orders require both stop and limit price",
        ),
        (ask_for(limit="9"), 422, 40010001, "market orders require no stop or limit price"),
        (ask_for(stop="9"), 422, 40010001, "market orders require no stop or limit price"),
        (ask_for(kind="limit", limit="0"), 422, 40010001, "limit price must be > 0"),
        (ask_for(kind="stop", stop="-1"), 422, 40010001, "stop price must be > 0"),
        (ask_for(force="soon"), 422, 40010001, "invalid time_in_force"),
        (ask_for(side="up"), 422, 40010001, "invalid side"),
        (ask_for(kind="magic"), 422, 40010001, "invalid order type"),
        (ask_for(symbol=""), 422, 40010001, "symbol is required"),
        (ask_for(symbol="NOPE"), 422, 42210000, 'asset "NOPE" not found'),
        (ask_for(kind="limit", limit="290.123"), 422, 42210000, f"invalid limit_price 290.123. {TICK}"),
        (ask_for(kind="limit", limit="0.12345"), 422, 42210000, f"invalid limit_price 0.12345. {TICK}"),
        (ask_for(kind="stop", stop="99.001"), 422, 42210000, f"invalid stop_price 99.001. {TICK}"),
        (ask_for(qty="1.0000000001"), 422, 42210000, "qty must be limited to 9 decimal places"),
        (ask_for(qty="1.5", force="gtc"), 422, 42210000, "fractional orders must be DAY orders"),
        (ask_for("sell", "1.5"), 422, 42210000, "fractional orders cannot be sold short"),
        (ask_for(extended_hours=True), 422, 42210000, "extended hours order must be DAY or GTC limit orders"),
        (
            ask_for(client_order_id="x" * 129),
            422,
            40010001,
            "client_order_id must be no more than 128 characters",
        ),
        (
            ask_for(position_intent="sell_to_close"),
            422,
            42210000,
            "position intent mismatch, inferred: buy_to_open, specified: sell_to_close",
        ),
    ],
)
def test_a_bad_request_is_refused_in_alpacas_words(
    request_: OrderRequest, status: int, code: int, message: str
) -> None:
    """A request that is wrong by itself is refused and leaves nothing."""
    floor = floor_of()
    floor.advance(at(1))

    assert refusal_of(floor, request_) == (status, code, message)
    assert floor.blotter.orders == {}


def test_prices_under_a_dollar_may_have_four_decimals() -> None:
    """0.1234 is on the tick of its price."""
    floor = floor_of()

    assert floor.submit(ask_for(kind="limit", limit="0.1234")).limit_price == D("0.1234")


def test_a_client_order_id_is_used_up_for_good() -> None:
    """The code is 42210000 while the first order is open, 40010001 once it has ended."""
    floor = floor_of()
    floor.advance(at(1))
    first = floor.submit(ask_for(kind="limit", limit="90", client_order_id="mine"))

    open_code = refusal_of(floor, ask_for(client_order_id="mine"))
    floor.cancel(first.order_id)
    ended_code = refusal_of(floor, ask_for(client_order_id="mine"))

    assert open_code == (422, 42210000, "client_order_id must be unique")
    assert ended_code == (422, 40010001, "client_order_id must be unique")


def test_a_refused_order_does_not_use_up_its_client_order_id() -> None:
    """After a refusal the same id may be sent again."""
    floor = floor_of()
    floor.advance(at(1))
    refusal_of(floor, ask_for(qty="0", client_order_id="mine"))

    assert floor.submit(ask_for(client_order_id="mine")).client_order_id == "mine"


def test_buying_power_is_refused_with_both_numbers() -> None:
    """4 x 100,000 buys 3,999 shares at 100.01, not 4,000."""
    floor = floor_of()
    floor.advance(at(1))

    with pytest.raises(Refusal) as caught:
        floor.submit(ask_for(qty="4000"))

    assert (caught.value.status, caught.value.code) == (403, 40310000)
    assert caught.value.message == "insufficient buying power"
    assert caught.value.extra == {"buying_power": "400000", "cost_basis": "400040"}


def test_open_orders_hold_buying_power() -> None:
    """A resting buy takes what it would cost, and a cancel gives it back."""
    floor = floor_of()
    floor.advance(at(1))
    resting = floor.submit(ask_for(qty="4000", kind="limit", limit="90"))

    held = floor.totals().buying_power
    floor.cancel(resting.order_id)

    assert held == D(40_000)
    assert floor.totals().buying_power == D(400_000)


def test_shares_held_by_a_resting_sell_cannot_be_sold_twice() -> None:
    """The refusal names what is held, what is available and by which orders."""
    floor = floor_of()
    floor.advance(at(1))
    floor.submit(ask_for(qty="3"))
    resting = floor.submit(ask_for("sell", "3", "limit", limit="105"))

    with pytest.raises(Refusal) as caught:
        floor.submit(ask_for("sell", "1"))

    assert (caught.value.status, caught.value.code) == (403, 40310000)
    assert caught.value.message == "insufficient qty available for order (requested: 1, available: 0)"
    assert caught.value.extra == {
        "available": "0",
        "existing_qty": "3",
        "held_for_orders": "3",
        "related_orders": [resting.order_id],
        "symbol": "SPY",
    }


def test_one_order_cannot_turn_a_long_into_a_short() -> None:
    """Selling more than is held is refused, whatever may be sold short."""
    floor = floor_of()
    floor.advance(at(1))
    floor.submit(ask_for(qty="3"))

    found = refusal_of(floor, ask_for("sell", "5"))

    assert found == (403, 40310000, "insufficient qty available for order (requested: 5, available: 3)")


@pytest.mark.parametrize(
    ("resting", "coming", "reason"),
    [
        (ask_for(kind="limit", limit="99"), ask_for("sell", "1"), "opposite side market/stop order exists"),
        (
            ask_for(kind="limit", limit="99"),
            ask_for("sell", "1", "limit", limit="99"),
            "opposite side limit order exists",
        ),
        (
            ask_for(kind="limit", limit="99"),
            ask_for("sell", "1", "stop", stop="90"),
            "opposite side market/stop order exists",
        ),
    ],
)
def test_a_possible_wash_trade_is_refused(resting: OrderRequest, coming: OrderRequest, reason: str) -> None:
    """A market or stop against any opposite order, or crossing limits, name the order they could meet."""
    floor = floor_of()
    floor.advance(at(1))
    floor.submit(ask_for(qty="5"))
    other = floor.submit(resting)

    with pytest.raises(Refusal) as caught:
        floor.submit(coming)

    assert (caught.value.status, caught.value.code) == (403, 40310000)
    assert caught.value.message == "potential wash trade detected. use complex orders"
    assert caught.value.extra == {"existing_order_id": other.order_id, "reject_reason": reason}


def test_limits_that_do_not_cross_are_no_wash_trade() -> None:
    """A bid at 99 and an offer at 101 may rest together."""
    floor = floor_of()
    floor.advance(at(1))
    floor.submit(ask_for(qty="5"))
    floor.submit(ask_for(kind="limit", limit="99"))

    assert floor.submit(ask_for("sell", "5", "limit", limit="101")).qty == D(5)


def test_opposite_opening_orders_are_refused() -> None:
    """A short may not be opened while a buy that opens is open, nor the reverse."""
    floor = floor_of()
    floor.advance(at(1))
    buy = floor.submit(ask_for(kind="limit", limit="99"))

    short = refusal_of(floor, ask_for("sell", "1", "limit", limit="101"))
    floor.cancel(buy.order_id)
    floor.submit(ask_for("sell", "1", "limit", limit="101"))
    long = refusal_of(floor, ask_for("buy", "1", "limit", limit="99"))

    assert short == (403, 40310000, "cannot open a short sell while a long buy order is open")
    assert long == (403, 40310000, "cannot open a long buy while a short sell order is open")


@pytest.mark.parametrize(
    ("found", "request_", "status", "code", "message"),
    [
        (asset(fractionable=False), ask_for(qty="0.5"), 403, 40310000, 'asset "SPY" is not fractionable'),
        (asset(shortable=False), ask_for("sell"), 422, 42210000, "asset SPY cannot be sold short"),
        (asset(easy_to_borrow=False), ask_for("sell"), 422, 42210000, "asset SPY cannot be sold short"),
        (asset(tradable=False), ask_for(), 422, 42210000, 'asset "SPY" is not tradable'),
    ],
)
def test_what_an_asset_forbids(
    found: Asset, request_: OrderRequest, status: int, code: int, message: str
) -> None:
    """Fractions, shorts and any trade are refused by the asset's properties."""
    floor = floor_of(assets={"SPY": found})
    floor.advance(at(1))

    assert refusal_of(floor, request_) == (status, code, message)


def test_a_small_account_has_no_margin_and_no_shorts() -> None:
    """Under Reg T's 2,000 USD the multiplier is 1 and a short is refused."""
    floor = floor_of(cash=D(200))
    floor.advance(at(1))

    assert floor.totals().buying_power == D(200)
    assert refusal_of(floor, ask_for("sell", "1")) == (403, 40310000, "account is not allowed to short")


def test_a_short_is_charged_above_the_ask() -> None:
    """A short holds 103 % of the ask for each share: 100.01 x 1.03, not its own lower limit."""
    floor = floor_of()
    floor.advance(at(1))

    taken = floor.submit(ask_for("sell", "100", "limit", limit="90"))

    assert taken.reserve_price == D("103.0103")


def test_cancel_answers_by_state() -> None:
    """A canceled order may be canceled again; a filled or unknown one may not."""
    floor = floor_of()
    floor.advance(at(1))
    resting = floor.submit(ask_for(kind="limit", limit="90"))
    filled = floor.submit(ask_for(symbol="QQQ"))

    floor.cancel(resting.order_id)
    floor.cancel(resting.order_id)
    with pytest.raises(Refusal) as refused:
        floor.cancel(filled.order_id)
    with pytest.raises(Refusal) as unknown:
        floor.cancel("nobody")

    assert (refused.value.status, refused.value.code) == (422, 42210000)
    assert refused.value.message == 'order is already in "filled" state'
    assert (unknown.value.status, unknown.value.code) == (404, 40410000)
    assert unknown.value.message == "order not found for nobody"


def test_grouped_and_trailing_orders_are_no_wash_trades() -> None:
    """A plain sale against a resting buy is refused; a trailing stop is not, nor is a buy against it."""
    floor = floor_of()
    floor.advance(at(1))
    floor.submit(ask_for())
    floor.submit(ask_for(qty="1", kind="limit", limit="90"))

    with pytest.raises(Refusal, match="potential wash trade") as caught:
        floor.submit(ask_for("sell", "1"))
    floor.submit(ask_for("sell", "5", "trailing_stop", trail_price=D(1)))
    floor.submit(
        ask_for("sell", "5", "limit", order_class="oco", take_profit_price=D(105), stop_loss_price=D(80))
    )
    floor.submit(ask_for(qty="1", kind="limit", limit="89"))

    assert caught.value.extra["reject_reason"] == "opposite side market/stop order exists"
    assert len(floor.blotter.open) == 5


def test_an_opening_order_is_charged_by_the_hour() -> None:
    """A buy: at the last trade when closed, the midpoint in extended hours, the ask in the session."""
    wide = Rules(spread_bps=D(100))
    minutes = [flat(100.0)] * 60
    closed = floor_of(minutes, rules=wide)
    closed.advance(OPEN + timedelta(hours=11))
    early = floor_of(minutes, rules=wide, start=OPEN - timedelta(minutes=30))
    regular = floor_of(minutes, rules=wide)
    regular.advance(at(1))

    held: list[Decimal] = []
    for floor in (closed, early, regular):
        floor.park_next(Status.PENDING_NEW)
        floor.submit(ask_for())
        held.append(floor.totals().reserved / 10)

    assert held == [D(100), D(100), D("100.50")]
    assert early.tape.quote("SPY", early.now) == (D("99.50"), D("100.50"))
