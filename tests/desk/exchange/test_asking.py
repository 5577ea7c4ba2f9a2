"""Cancel and replace: asked, under way, done or lost to a fill (ALPACA.md section 2.3)."""

from datetime import timedelta
from decimal import Decimal

import pytest

from desk.exchange.floor import Floor
from desk.exchange.orders import ReplaceRequest, Status, VenueEvent, VenueOrder
from desk.exchange.refusals import Refusal
from tests.desk.exchange.makers import CLOSE, OPEN, Minute, ask_for, at, flat, floor_of

D = Decimal
SECOND = timedelta(seconds=1)


def opened(minutes: list[Minute | None] | None = None) -> tuple[Floor, list[VenueEvent]]:
    floor = floor_of(minutes)
    floor.advance(at(20))
    events: list[VenueEvent] = []
    floor.listeners.append(events.append)
    return floor, events


def resting(floor: Floor, limit: str = "90", qty: str = "10") -> VenueOrder:
    return floor.submit(ask_for(qty=qty, kind="limit", limit=limit))


def words(events: list[VenueEvent]) -> list[str]:
    return [event.event for event in events]


def refusal_of(floor: Floor, order_id: str, **changes: object) -> tuple[int, int, str]:
    with pytest.raises(Refusal) as caught:
        floor.replace(order_id, ReplaceRequest(**changes))  # type: ignore[arg-type]
    return caught.value.status, caught.value.code, caught.value.message


# --- replace ---


def test_a_replacement_is_a_new_order_in_the_place_of_the_old() -> None:
    """New ids, created_at inherited, each names the other, the old one is replaced, and only one is open."""
    floor, events = opened()
    old = resting(floor)

    new = floor.replace(old.order_id, ReplaceRequest(limit_price=D(91), client_order_id="mine"))

    was, now = floor.blotter.order(old.order_id), floor.blotter.order(new.order_id)
    assert (was.status, was.replaced_by) == (Status.REPLACED, new.order_id)
    assert was.replaced_at is not None
    assert (now.status, now.replaces, now.limit_price, now.qty) == (Status.NEW, old.order_id, D(91), D(10))
    assert (now.client_order_id, now.created_at) == ("mine", old.created_at)
    assert now.submitted_at > old.submitted_at
    assert list(floor.blotter.open) == [new.order_id]
    assert words(events)[-2:] == ["replaced", "new"]


def test_a_marketable_replacement_fills_at_once() -> None:
    """Moved over the market, it takes the live print."""
    floor, events = opened()

    new = floor.replace(resting(floor).order_id, ReplaceRequest(limit_price=D(101)))

    assert floor.blotter.order(new.order_id).status is Status.FILLED
    assert words(events)[-3:] == ["replaced", "new", "fill"]


def test_a_price_only_replace_of_a_partly_filled_order_reopens_the_original_quantity() -> None:
    """Of 1,500 filled 1,000, the replacement asks for 1,500 again (Alpaca-API #165): 2,500 in all."""
    floor, _ = opened()
    old = resting(floor, "100.01", "1500")
    assert floor.blotter.order(old.order_id).filled_qty == D(1000)

    new = floor.replace(old.order_id, ReplaceRequest(limit_price=D("100.02")))
    floor.advance(at(60))

    assert new.qty == D(1500)
    assert floor.blotter.order(new.order_id).filled_qty == D(1500)
    assert floor.books.qty("SPY") == D(2500)


def test_a_sale_reopened_beyond_the_position_is_refused() -> None:
    """Of a held 1,500, 1,000 are sold: the original quantity is more than is left; the old order rests."""
    floor, _ = opened()
    floor.submit(ask_for(qty="1500"))
    floor.advance(at(46))
    old = floor.submit(ask_for("sell", "1500", "limit", limit="99.99"))
    left = floor.books.qty("SPY")
    assert left == D(500)

    refused = refusal_of(floor, old.order_id, limit_price=D("99.98"))

    assert refused == (
        403,
        40310000,
        "insufficient qty available for order (requested: 1500, available: 500)",
    )
    assert floor.blotter.order(old.order_id).status is Status.PARTIALLY_FILLED


def test_a_stated_quantity_is_the_new_orders_own() -> None:
    """1,000 of 1,500 are filled; 1,600 stated are 1,600 more."""
    floor, _ = opened()
    old = resting(floor, "100.01", "1500")

    new = floor.replace(old.order_id, ReplaceRequest(qty=D(1600)))
    floor.advance(at(60))

    assert floor.books.qty("SPY") == D(1000) + D(1600)
    assert floor.blotter.order(new.order_id).filled_qty == D(1600)


def test_what_cannot_be_replaced_says_why() -> None:
    """Unknown, waiting, closed, replaced, unchanged, too small, notional and fractional."""
    floor, _ = opened([flat(100.0)] * 390)
    rests = resting(floor)
    filled = floor.submit(ask_for())
    replaced = resting(floor, "89")
    floor.replace(replaced.order_id, ReplaceRequest(limit_price=D(88)))
    partly = resting(floor, "100.01", "3000")
    fraction = floor.submit(ask_for(qty="1.5", kind="limit", limit="90"))
    money = floor.submit(ask_for(qty=None, notional=D(50), kind="limit", limit="90"))

    assert refusal_of(floor, "nope", qty=D(1)) == (404, 40410000, "order not found for nope")
    for order, changes, message in (
        (filled, {"limit_price": D(1)}, "order is not open"),
        (replaced, {"limit_price": D(1)}, "order already replaced"),
        (rests, {}, "order parameters are not changed"),
        (rests, {"qty": D(10), "limit_price": D(90)}, "order parameters are not changed"),
        (rests, {"client_order_id": "other"}, "order parameters are not changed"),
        (partly, {"qty": D(900)}, "qty must be > filled_qty"),
        (fraction, {"qty": D(2)}, "qty of fractional orders cannot be changed"),
        (rests, {"qty": D("2.5")}, "qty of fractional orders cannot be changed"),
        (money, {"limit_price": D(91)}, "notional orders cannot be replaced"),
        (rests, {"limit_price": D("90.001")},
         "invalid limit_price 90.001. sub-penny increment does not fulfill minimum pricing criteria"),
    ):  # fmt: skip
        assert refusal_of(floor, order.order_id, **changes) == (422, 42210000, message)  # type: ignore[arg-type]
    assert refusal_of(floor, rests.order_id, qty=D(0)) == (422, 40010001, "qty must be > 0")
    assert refusal_of(floor, rests.order_id, trail=D(1))[2] == "trail is for trailing stop orders only"
    assert refusal_of(floor, rests.order_id, stop_price=D(1))[2] == "limit orders require no stop price"
    assert refusal_of(floor, rests.order_id, time_in_force="soon")[2] == "invalid time_in_force"
    assert floor.blotter.order(rests.order_id).status is Status.NEW


def test_an_order_that_waits_for_the_session_cannot_be_replaced() -> None:
    """Taken before the open it is accepted, and accepted orders are not replaced."""
    floor = floor_of()
    order = resting(floor)

    assert refusal_of(floor, order.order_id, limit_price=D(91))[2] == (
        "cannot replace order in accepted status"
    )


def test_a_used_client_order_id_is_refused() -> None:
    """Also the old order's own."""
    floor, _ = opened()
    old = floor.submit(ask_for(kind="limit", limit="90", client_order_id="mine"))

    assert refusal_of(floor, old.order_id, limit_price=D(91), client_order_id="mine") == (
        422, 42210000, "client_order_id must be unique",
    )  # fmt: skip


def test_buying_power_is_charged_for_the_larger_of_both() -> None:
    """1,000 at 90 hold 90,000; on their way to 95 they hold 95,000, on their way back still 95,000."""
    floor, _ = opened()
    floor.replace_takes = 5 * SECOND
    old = resting(floor, "90", "1000")
    assert floor.blotter.reserved == D(90_000)

    new = floor.replace(old.order_id, ReplaceRequest(limit_price=D(95)))
    up = floor.blotter.reserved
    floor.advance(at(25))
    there = floor.blotter.reserved
    floor.replace(new.order_id, ReplaceRequest(limit_price=D(90)))
    down = floor.blotter.reserved
    floor.advance(at(30))

    assert (up, there, down, floor.blotter.reserved) == (D(95_000), D(95_000), D(95_000), D(90_000))


def test_buying_power_of_odd_quantities_stays_exact() -> None:
    """Eleven for nine: the 180.13 beyond are no whole part a share, and yet nothing stays held at the end."""
    floor, _ = opened()
    floor.replace_takes = 5 * SECOND
    old = resting(floor, "90.01", "9")

    new = floor.replace(old.order_id, ReplaceRequest(limit_price=D("90.02"), qty=D(11)))
    floor.cancel(resting(floor, "80.03", "3").order_id)
    under_way = floor.blotter.reserved
    floor.advance(at(25))
    floor.cancel(new.order_id)

    assert 0 <= under_way - D("990.22") < D("0.0001")
    assert floor.blotter.reserved == 0


def test_a_replacement_beyond_buying_power_is_refused() -> None:
    """What the old order holds counts for the new one, and no more."""
    floor, _ = opened()
    old = resting(floor, "90", "4000")

    assert refusal_of(floor, old.order_id, limit_price=D(99), qty=D(4100))[2] == "insufficient buying power"
    assert floor.replace(old.order_id, ReplaceRequest(limit_price=D(99))).limit_price == D(99)


def test_a_replacement_under_way_refuses_everything_else() -> None:
    """Pending, the old order takes neither a cancel nor a second replace, and trades on."""
    floor, events = opened()
    floor.replace_takes = 5 * SECOND
    old = resting(floor)
    new = floor.replace(old.order_id, ReplaceRequest(limit_price=D(91)))

    with pytest.raises(Refusal, match="cannot cancel order in pending_replace status"):
        floor.cancel(old.order_id)
    with pytest.raises(Refusal, match="cannot cancel order in pending_replace status"):
        floor.cancel(new.order_id)
    assert refusal_of(floor, old.order_id, limit_price=D(92))[2] == (
        "cannot replace order in pending_replace status"
    )
    pending = (floor.blotter.order(old.order_id).status, floor.blotter.order(new.order_id).status)
    floor.advance(at(25))

    assert pending == (Status.PENDING_REPLACE, Status.PENDING_NEW)
    assert floor.blotter.order(new.order_id).status is Status.NEW
    assert words(events) == ["pending_new", "new", "pending_replace", "replaced", "new"]


def test_a_fill_wins_over_a_replacement_under_way() -> None:
    """The old order fills first: it is filled, the new one is rejected, and the shares are bought once."""
    floor, events = opened([flat(100.0), flat(98.0)])
    floor.replace_takes = timedelta(minutes=1)
    old = resting(floor, "99")
    new = floor.replace(old.order_id, ReplaceRequest(limit_price=D("98.5")))

    floor.advance(at(100))

    assert floor.blotter.order(old.order_id).status is Status.FILLED
    rejected = floor.blotter.order(new.order_id)
    assert (rejected.status, rejected.reject_reason) == (Status.REJECTED, "order is not open")
    assert rejected.failed_at is not None
    assert words(events)[-3:] == ["fill", "order_replace_rejected", "rejected"]
    assert floor.books.qty("SPY") == D(10)
    assert floor.blotter.reserved == 0


def test_a_partial_fill_while_a_replacement_is_under_way_is_kept() -> None:
    """1,000 of 3,000 fill meanwhile; the replacement asks for its own quantity on top."""
    floor, _ = opened([flat(100.0), flat(98.0)])
    floor.replace_takes = timedelta(seconds=50)
    old = resting(floor, "99", "3000")
    new = floor.replace(old.order_id, ReplaceRequest(limit_price=D("97")))

    floor.advance(at(71))

    was = floor.blotter.order(old.order_id)
    assert (was.status, was.filled_qty) == (Status.REPLACED, D(1000))
    assert floor.blotter.order(new.order_id).status is Status.NEW


def test_a_replacement_can_be_refused_while_under_way() -> None:
    """The old order is again what it was, and the new one is rejected."""
    floor, events = opened()
    floor.replace_takes = timedelta(hours=1)
    old = resting(floor)
    new = floor.replace(old.order_id, ReplaceRequest(limit_price=D(91)))

    floor.refuse_replace(old.order_id)
    floor.advance(CLOSE - SECOND)

    assert floor.blotter.order(old.order_id).status is Status.NEW
    assert floor.blotter.order(new.order_id).status is Status.REJECTED
    assert words(events)[-2:] == ["order_replace_rejected", "rejected"]


def test_a_good_till_canceled_order_is_replaced_over_night() -> None:
    """It worked at the close, so it is new; its replacement fills at the next open."""
    floor, _ = opened([flat(100.0)] * 390)
    floor.submit(ask_for())
    old = floor.submit(ask_for("sell", "10", "limit", limit="150", force="gtc"))
    floor.advance(CLOSE + timedelta(hours=1))

    new = floor.replace(old.order_id, ReplaceRequest(limit_price=D(109)))
    floor.advance(OPEN + timedelta(days=1))

    assert floor.blotter.order(new.order_id).status is Status.FILLED
    assert new.expires_at == old.expires_at


# --- cancel ---


def test_a_cancel_under_way_is_pending_and_then_canceled() -> None:
    """Asked at 20 s, with 3 s to go it is pending_cancel, then canceled; asking again changes nothing."""
    floor, events = opened()
    floor.cancel_takes = 3 * SECOND
    order = resting(floor)

    floor.cancel(order.order_id)
    floor.cancel(order.order_id)
    pending = floor.blotter.order(order.order_id)
    refused = refusal_of(floor, order.order_id, limit_price=D(91))
    floor.advance(at(22.9))
    still = floor.blotter.order(order.order_id).status
    floor.advance(at(23))

    ended = floor.blotter.order(order.order_id)
    assert (pending.status, pending.cancel_requested_at) == (Status.PENDING_CANCEL, at(20))
    assert refused[2] == "cannot replace order in pending_cancel status"
    assert (still, ended.status) == (Status.PENDING_CANCEL, Status.CANCELED)
    assert ended.canceled_at == at(23)
    assert words(events) == ["pending_new", "new", "pending_cancel", "canceled"]


def test_a_fill_wins_over_a_cancel_under_way() -> None:
    """Filled before the cancel arrives, it is filled, and the cancel is told to have failed."""
    floor, events = opened([flat(100.0), flat(98.0)])
    floor.cancel_takes = timedelta(minutes=1)
    order = resting(floor, "99")

    floor.cancel(order.order_id)
    floor.advance(at(100))

    assert floor.blotter.order(order.order_id).status is Status.FILLED
    assert words(events)[-3:] == ["pending_cancel", "fill", "order_cancel_rejected"]
    with pytest.raises(Refusal, match='order is already in "filled" state'):
        floor.cancel(order.order_id)


def test_a_partial_fill_before_the_cancel_arrives_is_kept() -> None:
    """1,000 of 3,000 fill meanwhile; the rest is canceled and may be asked for again in between."""
    floor, events = opened([flat(100.0), flat(98.0)])
    floor.cancel_takes = timedelta(seconds=45)
    order = resting(floor, "99", "3000")

    floor.cancel(order.order_id)
    floor.advance(at(61))
    between = floor.blotter.order(order.order_id).status
    floor.cancel(order.order_id)
    floor.advance(at(100))

    ended = floor.blotter.order(order.order_id)
    assert between is Status.PARTIALLY_FILLED
    assert (ended.status, ended.filled_qty) == (Status.CANCELED, D(1000))
    assert words(events).count("canceled") == 1


def test_a_cancel_can_be_refused_while_under_way() -> None:
    """The order works on as if nothing had been asked, and a later cancel starts anew."""
    floor, events = opened()
    floor.cancel_takes = 10 * SECOND
    order = resting(floor)
    floor.cancel(order.order_id)
    floor.advance(at(25))

    back = floor.refuse_cancel(order.order_id)
    floor.cancel(order.order_id)
    floor.advance(at(31))
    after_the_first = floor.blotter.order(order.order_id).status
    floor.advance(at(35))

    assert (back.status, back.cancel_requested_at) == (Status.NEW, None)
    assert after_the_first is Status.PENDING_CANCEL
    assert floor.blotter.order(order.order_id).status is Status.CANCELED
    assert words(events)[-3:] == ["order_cancel_rejected", "pending_cancel", "canceled"]


def test_cancel_all_answers_for_each() -> None:
    """One being replaced is refused in its place; the others are asked."""
    floor, _ = opened()
    floor.replace_takes = 10 * SECOND
    first, second = resting(floor), resting(floor, "89")
    floor.replace(first.order_id, ReplaceRequest(limit_price=D(91)))

    answers = floor.cancel_all()

    told = {one.order.order_id: one.refusal for one in answers}
    assert told[second.order_id] is None
    assert told[first.order_id] is not None
    assert floor.blotter.order(second.order_id).status is Status.CANCELED


def test_a_person_cancels_at_once_whatever_is_under_way() -> None:
    """By hand the order ends now; the cancel that arrives later finds nothing to do."""
    floor, events = opened()
    floor.cancel_takes = 10 * SECOND
    order = resting(floor)
    floor.cancel(order.order_id)

    floor.cancel_by_hand(order.order_id)
    floor.advance(at(60))

    assert floor.blotter.order(order.order_id).status is Status.CANCELED
    assert words(events) == ["pending_new", "new", "pending_cancel", "canceled"]


# --- trailing stops are replaced by their trail ---


def test_a_trail_is_replaced_and_keeps_its_best_price() -> None:
    """Behind a best price of 102, a trail of 1 instead of 3 stands at 101."""
    floor, _ = opened([flat(100.0), flat(102.0), flat(101.5)])
    floor.submit(ask_for())
    old = floor.submit(ask_for("sell", kind="trailing_stop", trail_price=D(3)))
    floor.advance(at(61))

    new = floor.replace(old.order_id, ReplaceRequest(trail=D(1)))

    now = floor.blotter.order(new.order_id)
    assert (now.trail_price, now.hwm, now.stop_price) == (D(1), D(102), D(101))


def test_a_chain_of_replacements_has_one_open_end() -> None:
    """Ten replacements leave one open order, ten links and nothing reserved twice."""
    floor, _ = opened()
    order = resting(floor, "90", "100")
    for cents in range(1, 11):
        order = floor.replace(order.order_id, ReplaceRequest(limit_price=D(90) + D(cents) / 100))

    chain = list(floor.blotter.orders.values())
    assert [one.status for one in chain[:-1]] == [Status.REPLACED] * 10
    assert [one.replaced_by for one in chain[:-1]] == [one.order_id for one in chain[1:]]
    assert floor.blotter.reserved == D("90.10") * 100
