"""What a fault plan does to a floor: halts, splits, late rejects, rare statuses, the account."""

from datetime import timedelta
from decimal import Decimal

import pytest

from desk.exchange.admission import Standing
from desk.exchange.floor import Floor
from desk.exchange.orders import HaltNotice, Status, VenueEvent
from desk.exchange.refusals import Refusal
from desk.exchange.settings import AccountSettings
from schemas.orders import Side
from tests.desk.exchange.makers import CLOSE, OPEN, Minute, ask_for, at, flat, floor_of

D = Decimal


def opened(minutes: list[Minute | None] | None = None) -> tuple[Floor, list[VenueEvent]]:
    floor = floor_of(minutes)
    floor.advance(at(20))
    events: list[VenueEvent] = []
    floor.listeners.append(events.append)
    return floor, events


def words(events: list[VenueEvent]) -> list[str]:
    return [event.event for event in events]


# --- halts ---


def test_nothing_fills_while_a_symbol_is_halted() -> None:
    """A resting buy at 99 sees 98 pass by, a new order stays accepted, and both trade when 97 is printed."""
    floor, _ = opened([flat(100.0), flat(98.0), flat(97.0)])
    rests = floor.submit(ask_for(kind="limit", limit="99"))
    floor.halt("SPY", "LUDP")
    comes = floor.submit(ask_for())
    other = floor.submit(ask_for(symbol="QQQ"))

    floor.advance(at(115))
    during = [floor.blotter.order(one.order_id).status for one in (rests, comes, other)]
    floor.unhalt("SPY")
    released = floor.blotter.order(comes.order_id).status
    floor.advance(at(121))

    assert comes.status is Status.ACCEPTED
    assert during == [Status.NEW, Status.ACCEPTED, Status.FILLED]
    assert released is Status.NEW
    assert floor.blotter.order(rests.order_id).filled_avg_price == D("97.01")
    assert floor.blotter.order(comes.order_id).filled_avg_price == D("97.01")


def test_a_halted_symbol_keeps_its_price() -> None:
    """It is valued at the last print before the halt, until trading goes on."""
    floor, _ = opened([flat(100.0), flat(98.0)])
    floor.halt("SPY")
    floor.advance(at(90))
    during = floor.mark("SPY")
    floor.unhalt("SPY")

    assert (during, floor.mark("SPY")) == (D(100), D(98))


def test_halts_are_told_once() -> None:
    """Stop and resumption reach who publishes them, with the code and the venue's time; repeats do not."""
    floor, _ = opened()
    told: list[HaltNotice] = []
    floor.status_listeners.append(told.append)

    floor.halt("SPY", "T1")
    floor.halt("SPY", "T2")
    floor.advance(at(80))
    floor.unhalt("SPY")
    floor.unhalt("SPY")

    assert told == [HaltNotice("SPY", True, "T1", at(20)), HaltNotice("SPY", False, "T1", at(80))]


@pytest.mark.parametrize("force", ["ioc", "fok"])
def test_immediate_orders_of_a_halted_symbol_are_canceled(force: str) -> None:
    """They cannot trade at once, so they never rest."""
    floor, _ = opened()
    floor.halt("SPY")

    order = floor.submit(ask_for(force=force))

    assert floor.blotter.order(order.order_id).status is Status.CANCELED


def test_a_halted_symbols_orders_can_be_canceled() -> None:
    """A halt keeps nobody from leaving."""
    floor, _ = opened()
    floor.halt("SPY")
    order = floor.submit(ask_for())

    floor.cancel(order.order_id)

    assert floor.blotter.order(order.order_id).status is Status.CANCELED


# --- splits ---


def test_a_split_multiplies_position_and_orders_and_divides_prices() -> None:
    """Four for one: 10 at 100.01 are 40 at 25.0025, and a sell of 5 at 120 is one of 20 at 30."""
    floor, events = opened()
    floor.submit(ask_for())
    order = floor.submit(ask_for("sell", "5", "limit", limit="120", force="gtc"))

    done = floor.split("SPY", D(1), D(4))

    held, now = floor.books.holdings["SPY"], floor.blotter.order(order.order_id)
    assert (held.qty, held.avg_entry_price) == (D(40), D("25.0025"))
    assert (now.qty, now.limit_price, now.status) == (D(20), D(30), Status.NEW)
    assert (done.adjusted, done.canceled, floor.splits) == ((order.order_id,), (), [done])
    assert words(events)[-1] == "restated"


def test_a_reverse_split_cancels_open_orders() -> None:
    """One for ten: 10 shares are one at ten times the cost, 5 are half a share, and orders end."""
    floor, _ = opened()
    floor.submit(ask_for())
    order = floor.submit(ask_for("sell", "5", "limit", limit="120", force="gtc"))

    done = floor.split("SPY", D(10), D(1))

    assert floor.books.qty("SPY") == D(1)
    assert floor.blotter.order(order.order_id).status is Status.CANCELED
    assert done.canceled == (order.order_id,)


def test_a_split_keeps_the_pair_of_a_bracket_together() -> None:
    """Both legs ask for the new quantity at the new prices, and the held one stays held."""
    floor, _ = opened()
    entry = floor.submit(ask_for(order_class="bracket", take_profit_price=D(110), stop_loss_price=D(90)))

    floor.split("SPY", D(1), D(2))

    profit, stop = floor.blotter.legs(floor.blotter.order(entry.order_id))
    assert (profit.qty, profit.limit_price, profit.status) == (D(20), D(55), Status.NEW)
    assert (stop.qty, stop.stop_price, stop.status) == (D(20), D(45), Status.HELD)


def test_what_an_order_had_executed_stays_executed() -> None:
    """Of 1,500 filled 1,000; after two for one 1,000 more are open, and prices are halved to the tick."""
    floor, _ = opened()
    order = floor.submit(ask_for(qty="1500", kind="limit", limit="100.01", force="gtc"))

    floor.split("SPY", D(1), D(2))

    now = floor.blotter.order(order.order_id)
    assert (now.qty, now.filled_qty, now.limit_price) == (D(2000), D(1000), D("50.00"))
    assert floor.blotter.reserved == D(1000) * D("100.01") / 2


def test_a_split_of_nothing_is_a_mistake() -> None:
    """Numbers of shares are positive."""
    with pytest.raises(ValueError, match="positive numbers of shares"):
        opened()[0].split("SPY", D(0), D(2))


# --- rejects and statuses ---


def test_an_order_can_be_rejected_after_it_was_taken() -> None:
    """It ends as rejected with the reason, its legs with it, and its money is free."""
    floor, events = opened()
    order = floor.submit(
        ask_for(
            kind="limit", limit="90", order_class="bracket", take_profit_price=D(110), stop_loss_price=D(85)
        )
    )

    floor.refuse_later(order.order_id, "account closed")

    ended = floor.blotter.order(order.order_id)
    assert (ended.status, ended.reject_reason, ended.failed_at) == (
        Status.REJECTED,
        "account closed",
        ended.updated_at,
    )
    assert floor.blotter.open == {}
    assert floor.blotter.reserved == 0
    assert words(events)[-3:] == ["rejected", "canceled", "canceled"]


def test_the_next_order_can_be_taken_and_then_rejected() -> None:
    """The answer is pending_new, the stream says rejected, and the order after it is as ever."""
    floor, events = opened()
    floor.refuse_next("exchange down")

    first, second = floor.submit(ask_for()), floor.submit(ask_for())

    assert first.status is Status.PENDING_NEW
    assert floor.blotter.order(first.order_id).status is Status.REJECTED
    assert floor.blotter.order(second.order_id).status is Status.FILLED
    assert words(events) == ["pending_new", "rejected", "pending_new", "new", "fill"]


@pytest.mark.parametrize("status", ["suspended", "calculated", "done_for_day"])
def test_an_order_put_aside_trades_no_more_until_it_is_new_again(status: str) -> None:
    """It stays open through a print it would have taken, and takes the next one after."""
    floor, events = opened([flat(100.0), flat(98.0), flat(98.0)])
    order = floor.submit(ask_for(kind="limit", limit="99"))

    floor.put(order.order_id, Status(status))
    floor.advance(at(110))
    aside = floor.blotter.order(order.order_id)
    floor.put(order.order_id, Status.NEW)
    floor.advance(at(121))

    assert (aside.status, aside.filled_qty) == (status, D(0))
    assert floor.blotter.order(order.order_id).status is Status.FILLED
    assert words(events)[2:] == [status, "new", "fill"]


def test_a_stopped_order_may_fill() -> None:
    """A trade is guaranteed; it comes with the print."""
    floor, _ = opened([flat(100.0), flat(98.0)])
    order = floor.submit(ask_for(kind="limit", limit="99"))

    floor.put(order.order_id, Status.STOPPED)
    floor.advance(at(61))

    assert floor.blotter.order(order.order_id).status is Status.FILLED


def test_an_order_done_for_the_day_lives_on_when_it_is_good_till_canceled() -> None:
    """It works again at the next open; a day order ends at the close."""
    floor, _ = opened([flat(100.0)] * 390)
    floor.submit(ask_for(qty="20"))
    day = floor.submit(ask_for("sell", "10", "limit", limit="105"))
    gtc = floor.submit(ask_for("sell", "10", "limit", limit="105", force="gtc"))
    for order in (day, gtc):
        floor.put(order.order_id, Status.DONE_FOR_DAY)

    floor.advance(OPEN + timedelta(days=1))

    assert floor.blotter.order(day.order_id).status is Status.EXPIRED
    assert floor.blotter.order(gtc.order_id).status is Status.FILLED


@pytest.mark.parametrize("status", ["pending_review", "accepted_for_bidding", "pending_new", "accepted"])
def test_an_order_can_be_left_waiting(status: str) -> None:
    """It is answered in that status, does not trade, cannot be replaced, and works when it is put to new."""
    floor, events = opened()
    floor.park_next(Status(status))

    order = floor.submit(ask_for())
    floor.advance(at(50))
    waiting = floor.blotter.order(order.order_id)
    floor.put(order.order_id, Status.NEW)

    assert (order.status, waiting.status, waiting.filled_qty) == (status, status, D(0))
    assert floor.blotter.order(order.order_id).status is Status.FILLED
    assert words(events) == [status, "new", "fill"]


def test_an_immediate_order_left_waiting_does_not_rest_afterwards() -> None:
    """Put to new, an IOC takes what there is, and the rest is canceled."""
    floor, events = opened()
    floor.park_next(Status.PENDING_REVIEW)
    order = floor.submit(ask_for(qty="1500", force="ioc"))

    floor.put(order.order_id, Status.NEW)

    ended = floor.blotter.order(order.order_id)
    assert (ended.status, ended.filled_qty) == (Status.CANCELED, D(1000))
    assert words(events) == ["pending_review", "new", "partial_fill", "canceled"]


def test_statuses_move_along_their_table_only() -> None:
    """A working order does not go back to waiting, and an ended one nowhere."""
    floor, _ = opened()
    rests = floor.submit(ask_for(kind="limit", limit="90"))
    filled = floor.submit(ask_for())

    for order_id, status in (
        (rests.order_id, Status.PENDING_REVIEW),
        (rests.order_id, Status.FILLED),
        (rests.order_id, Status.PARTIALLY_FILLED),
        (filled.order_id, Status.NEW),
    ):
        with pytest.raises(Refusal, match="an order does not go from"):
            floor.put(order_id, status)
    with pytest.raises(ValueError, match="an order waits in"):
        floor.park_next(Status.FILLED)


def test_an_act_is_planned_for_an_instant() -> None:
    """What is planned for 13:31 sees the floor as it is then."""
    floor, _ = opened()
    seen: list[object] = []
    floor.at(at(60), lambda: seen.append((floor.now, floor.mark("SPY"))))

    floor.advance(at(59))
    assert seen == []
    floor.advance(CLOSE)

    assert seen == [(at(60), D(100))]


# --- the account ---


def test_a_blocked_account_trades_nothing() -> None:
    """403 for every order, closing ones too."""
    floor, _ = opened()
    floor.submit(ask_for())
    floor.standing = Standing(trading_blocked=True)

    for side in ("buy", "sell"):
        with pytest.raises(Refusal) as caught:
            floor.submit(ask_for(side))
        assert (caught.value.status, caught.value.code) == (403, 40310000)
        assert caught.value.message == "account is not authorized to trade"


def test_a_restricted_account_only_closes() -> None:
    """Opening is refused, closing is not."""
    floor, _ = opened()
    floor.submit(ask_for())
    floor.standing = Standing(liquidation_only=True)

    with pytest.raises(Refusal, match="account is restricted to liquidation only"):
        floor.submit(ask_for())
    floor.submit(ask_for("sell"))

    assert floor.books.qty("SPY") == 0


def test_positions_beyond_six_times_equity_may_only_be_closed() -> None:
    """7,000 shares by hand on 100,000 USD: no order opens any more."""
    floor, _ = opened()
    floor.trade_by_hand("SPY", Side.BUY, D(7000), D(100))

    with pytest.raises(Refusal, match="account is restricted to liquidation only"):
        floor.submit(ask_for(qty="1"))


def test_the_owners_settings_bear_on_orders() -> None:
    """Suspended: nothing new. Without fractions: neither parts of shares nor USD. Without shorts: none."""
    floor, _ = opened()
    for settings, request, message in (
        (AccountSettings(suspend_trade=True), ask_for(), "new orders are rejected by user request"),
        (
            AccountSettings(fractional_trading=False),
            ask_for(qty=None, notional=D(5)),
            "fractional trading is disabled for this account",
        ),
        (AccountSettings(no_shorting=True), ask_for("sell"), "account is not allowed to short"),
    ):
        floor.configure(settings)
        with pytest.raises(Refusal) as caught:
            floor.submit(request)
        assert (caught.value.status, caught.value.message) == (403, message)


def test_a_hand_that_closes_says_so() -> None:
    """A manual sale of a held share is sell_to_close, and one without is sell_to_open."""
    floor, _ = opened()
    floor.trade_by_hand("SPY", Side.BUY, D(1), None)

    closing = floor.trade_by_hand("SPY", Side.SELL, D(1), None)
    opening = floor.trade_by_hand("SPY", Side.SELL, D(1), None)

    assert (closing.position_intent, opening.position_intent) == ("sell_to_close", "sell_to_open")
