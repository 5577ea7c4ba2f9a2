"""Brackets, oco and oto: legs of their own ids that move together (ALPACA.md section 2.3)."""

from datetime import timedelta
from decimal import Decimal

import pytest

from desk.exchange.floor import Floor
from desk.exchange.orders import ReplaceRequest, Status, VenueEvent, VenueOrder
from desk.exchange.refusals import Refusal
from tests.desk.exchange.makers import CLOSE, Minute, ask_for, at, flat, floor_of

D = Decimal
TICK = "sub-penny increment does not fulfill minimum pricing criteria"


def heard(floor: Floor) -> list[VenueEvent]:
    events: list[VenueEvent] = []
    floor.listeners.append(events.append)
    return events


def told(events: list[VenueEvent]) -> list[tuple[str, str]]:
    return [(event.event, event.order.group_role or "") for event in events]


def bracket(floor: Floor, qty: str = "10", **changes: object) -> VenueOrder:
    legs = {"take_profit_price": D("105"), "stop_loss_price": D("95")}
    return floor.submit(ask_for(qty=qty, order_class="bracket", **(legs | changes)))  # type: ignore[arg-type]


def legs(floor: Floor, order: VenueOrder) -> tuple[VenueOrder, ...]:
    return floor.blotter.legs(floor.blotter.order(order.order_id))


def opened(minutes: list[Minute | None]) -> Floor:
    floor = floor_of(minutes)
    floor.advance(at(20))
    return floor


def test_legs_are_held_until_the_entry_is_filled_completely() -> None:
    """Part of the entry filled opens nothing; all of it makes the take-profit new, its stop stays held."""
    floor = opened([flat(100.0)] * 5)
    events = heard(floor)
    entry = bracket(floor, "2500")
    partly = [leg.status for leg in legs(floor, entry)]

    floor.advance(at(46))

    assert partly == [Status.HELD, Status.HELD]
    assert [leg.status for leg in legs(floor, entry)] == [Status.NEW, Status.HELD]
    assert [(leg.side, leg.qty) for leg in legs(floor, entry)] == [("sell", D(2500))] * 2
    assert told(events)[-2:] == [("fill", "entry"), ("new", "take_profit")]
    assert len({entry.order_id, *entry.leg_ids}) == 3
    assert {leg.group_id for leg in legs(floor, entry)} == {entry.group_id}


def test_a_filled_take_profit_cancels_the_stop() -> None:
    """At 106 the take-profit of 105 fills, the stop ends, and nothing is held or open."""
    floor = opened([flat(100.0), flat(106.0), flat(90.0)])
    entry = bracket(floor)

    floor.advance(at(200))

    profit, stop = legs(floor, entry)
    assert (profit.status, stop.status) == (Status.FILLED, Status.CANCELED)
    assert floor.books.qty("SPY") == 0
    assert floor.blotter.open == {}


def test_a_reached_stop_fills_from_held_and_cancels_the_take_profit() -> None:
    """At 94 the held stop of 95 sells at the market; the take-profit is canceled."""
    floor = opened([flat(100.0), flat(94.0), flat(110.0)])
    events = heard(floor)
    entry = bracket(floor)

    floor.advance(at(200))

    profit, stop = legs(floor, entry)
    assert (profit.status, stop.status) == (Status.CANCELED, Status.FILLED)
    assert stop.filled_avg_price == D("93.99")
    assert told(events)[-2:] == [("fill", "stop_loss"), ("canceled", "take_profit")]


def test_what_one_leg_executes_the_other_no_longer_asks_for() -> None:
    """Of 1,500 the take-profit sells 1,000; its stop asks for 500 then and sells them, no share more."""
    floor = opened([flat(100.0), (100.0, 104.5, 95.5, 95.5, 40_000)])
    events = heard(floor)
    entry = bracket(floor, "1500", take_profit_price=D(104), stop_loss_price=D(96))
    floor.advance(at(30))
    assert floor.books.qty("SPY") == D(1500)

    floor.advance(at(76))
    profit, stop = legs(floor, entry)
    partly = (profit.filled_qty, stop.qty, stop.status)
    floor.advance(at(91))

    profit, stop = legs(floor, entry)
    assert partly == (D(1000), D(500), Status.HELD)
    assert ("restated", "stop_loss") in told(events)
    assert (stop.status, stop.filled_qty) == (Status.FILLED, D(500))
    assert (profit.status, profit.filled_qty) == (Status.CANCELED, D(1000))
    assert floor.books.qty("SPY") == 0


def test_canceling_the_entry_cancels_its_legs() -> None:
    """Also after a partial fill, whose shares are then without a stop."""
    floor = opened([flat(100.0)])
    entry = bracket(floor, "1500")

    floor.cancel(entry.order_id)

    assert [leg.status for leg in legs(floor, entry)] == [Status.CANCELED, Status.CANCELED]
    assert floor.books.qty("SPY") == D(1000)
    assert floor.blotter.open == {}


def test_canceling_one_leg_cancels_the_other() -> None:
    """A pair ends together, whichever is canceled."""
    floor = opened([flat(100.0)] * 3)
    entry = bracket(floor)

    floor.cancel(entry.leg_ids[1])

    assert [leg.status for leg in legs(floor, entry)] == [Status.CANCELED, Status.CANCELED]


def test_an_expired_entry_leaves_no_leg() -> None:
    """A day bracket whose entry is never reached expires whole at the close."""
    floor = opened([flat(100.0)] * 390)
    entry = bracket(floor, kind="limit", limit="90", take_profit_price=D(95), stop_loss_price=D(85))

    floor.advance(CLOSE)

    assert floor.blotter.order(entry.order_id).status is Status.EXPIRED
    assert {leg.status for leg in legs(floor, entry)} == {Status.EXPIRED}


def test_an_oco_is_its_take_profit_and_a_held_stop() -> None:
    """The parent is the limit, the child the stop; shares are held once; a reached stop ends the parent."""
    floor = opened([flat(100.0), flat(94.0)])
    floor.submit(ask_for())
    parent = floor.submit(
        ask_for("sell", kind="limit", order_class="oco", take_profit_price=D(105), stop_loss_price=D(95))
    )
    (stop,) = legs(floor, parent)
    with pytest.raises(Refusal) as caught:
        floor.submit(ask_for("sell", "1"))

    floor.advance(at(61))

    assert (parent.limit_price, stop.stop_price, stop.status) == (D(105), D(95), Status.HELD)
    assert caught.value.extra["held_for_orders"] == "10"
    assert caught.value.extra["related_orders"] == [parent.order_id]
    assert floor.blotter.order(parent.order_id).status is Status.CANCELED
    assert floor.blotter.order(stop.order_id).status is Status.FILLED
    assert floor.books.qty("SPY") == 0


def test_a_filled_oco_parent_cancels_its_stop() -> None:
    """At 106 the take-profit sells; the stop is canceled and never fires."""
    floor = opened([flat(100.0), flat(106.0), flat(90.0)])
    floor.submit(ask_for())
    parent = floor.submit(
        ask_for("sell", kind="limit", order_class="oco", take_profit_price=D(105), stop_loss_price=D(95))
    )

    floor.advance(at(200))

    assert floor.blotter.order(parent.order_id).status is Status.FILLED
    assert legs(floor, parent)[0].status is Status.CANCELED
    assert floor.books.qty("SPY") == 0


def test_the_only_leg_of_an_oto_goes_new() -> None:
    """A stop without a take-profit beside it works as new, and holds the shares."""
    floor = opened([flat(100.0)] * 3)

    entry = floor.submit(ask_for(order_class="oto", stop_loss_price=D(95), stop_loss_limit_price=D("94.5")))

    (stop,) = legs(floor, entry)
    assert (stop.order_type, stop.status, stop.limit_price) == ("stop_limit", Status.NEW, D("94.5"))
    assert floor.blotter.open_qty("SPY", stop.side) == D(10)


def test_a_short_bracket_buys_back() -> None:
    """Sold at 100, taken at 95: both legs are buys that close, and the stop lies above."""
    floor = opened([flat(100.0), flat(94.0)])
    entry = floor.submit(
        ask_for("sell", order_class="bracket", take_profit_price=D(95), stop_loss_price=D(105))
    )

    floor.advance(at(61))

    profit, stop = legs(floor, entry)
    assert (profit.side, profit.position_intent) == ("buy", "buy_to_close")
    assert (profit.status, stop.status, floor.books.qty("SPY")) == (Status.FILLED, Status.CANCELED, D(0))


def test_a_replaced_stop_takes_its_place_beside_the_take_profit() -> None:
    """The new stop is the pair's: it fires at 97, and the take-profit ends with it."""
    floor = opened([flat(100.0), flat(96.0)])
    entry = bracket(floor)
    old = legs(floor, entry)[1]

    new = floor.replace(old.order_id, ReplaceRequest(stop_price=D(97)))
    linked = legs(floor, entry)
    floor.advance(at(61))

    assert [leg.order_id for leg in linked] == [entry.leg_ids[0], new.order_id]
    assert (new.replaces, new.group_role, linked[1].status) == (old.order_id, "stop_loss", Status.HELD)
    assert floor.blotter.order(new.order_id).status is Status.FILLED
    assert floor.blotter.order(entry.leg_ids[0]).status is Status.CANCELED
    assert floor.books.qty("SPY") == 0


def test_a_replaced_entry_keeps_its_legs() -> None:
    """The replacement is the parent now: when it fills, the legs open."""
    floor = opened([flat(100.0), flat(98.0)])
    entry = floor.submit(
        ask_for(
            kind="limit", limit="97", order_class="bracket", take_profit_price=D(105), stop_loss_price=D(95)
        )
    )

    new = floor.replace(entry.order_id, ReplaceRequest(limit_price=D(99)))
    floor.advance(at(61))

    assert new.leg_ids == entry.leg_ids
    assert [leg.status for leg in legs(floor, new)] == [Status.NEW, Status.HELD]
    assert {leg.parent_id for leg in legs(floor, new)} == {new.order_id}


@pytest.mark.parametrize(("changes", "message"), [
    ({"order_class": "bracket", "take_profit_price": D(105)}, "bracket orders require stop_loss.stop_price"),
    ({"order_class": "bracket", "stop_loss_price": D(95)}, "bracket orders require take_profit.limit_price"),
    ({"order_class": "oto"}, "oto orders require exactly one of take_profit or stop_loss"),
    ({"take_profit_price": D(9)}, "take_profit and stop_loss require order_class bracket, oco or oto"),
    ({"order_class": "mleg"}, "invalid order_class"),
    (
        {"order_class": "bracket", "take_profit_price": D(95), "stop_loss_price": D(96)},
        "take_profit.limit_price must be > stop_loss.stop_price",
    ),
    (
        {"order_class": "bracket", "take_profit_price": D(105), "stop_loss_price": D(100)},
        "stop_loss.stop_price must be <= base_price - 0.01",
    ),
    (
        {"order_class": "bracket", "take_profit_price": D("99.5"), "stop_loss_price": D(95)},
        "take_profit.limit_price must be >= base_price + 0.01",
    ),
    (
        {"order_class": "bracket", "take_profit_price": D("105.001"), "stop_loss_price": D(95)},
        f"invalid take_profit.limit_price 105.001. {TICK}",
    ),
    (
        {"order_class": "bracket", "take_profit_price": D(105), "stop_loss_price": D(95), "force": "ioc"},
        "bracket orders must be DAY or GTC orders",
    ),
    (
        {"order_class": "oco", "take_profit_price": D(105), "stop_loss_price": D(95)},
        "oco orders must be limit orders",
    ),
    (
        {"order_class": "oco", "kind": "limit", "take_profit_price": D(105), "stop_loss_price": D(95)},
        "oco orders must be exit orders",
    ),
    (
        {"order_class": "bracket", "qty": "1.5", "take_profit_price": D(105), "stop_loss_price": D(95)},
        "fractional orders must be simple orders",
    ),
])  # fmt: skip
def test_a_wrong_group_is_refused(changes: dict[str, object], message: str) -> None:
    """Each rule in Alpaca's words, status 422, and nothing is left behind."""
    floor = opened([flat(100.0)] * 3)

    with pytest.raises(Refusal) as caught:
        floor.submit(ask_for(**changes))  # type: ignore[arg-type]

    assert (caught.value.status, caught.value.message) == (422, message)
    assert floor.blotter.orders == {}


def test_the_base_price_is_told() -> None:
    """The body of the refusal says what the stop was held against."""
    floor = opened([flat(100.0)] * 3)

    with pytest.raises(Refusal) as caught:
        floor.submit(
            ask_for(
                kind="limit",
                limit="99",
                order_class="bracket",
                take_profit_price=D(105),
                stop_loss_price=D(99),
            )
        )

    assert (caught.value.code, caught.value.extra) == (42210000, {"base_price": "99"})


def test_brackets_open_and_do_not_close() -> None:
    """A bracket against a held position is refused."""
    floor = opened([flat(100.0)] * 3)
    floor.submit(ask_for())

    with pytest.raises(Refusal, match="bracket orders must be entry orders"):
        floor.submit(ask_for("sell", order_class="bracket", take_profit_price=D(95), stop_loss_price=D(105)))


def test_good_till_canceled_legs_work_the_next_day() -> None:
    """A bracket good till canceled sells at the next day's open, 110."""
    floor = opened([flat(100.0)] * 390)
    entry = bracket(floor, force="gtc")

    floor.advance(CLOSE + timedelta(hours=18))

    assert legs(floor, entry)[0].status is Status.FILLED
    assert floor.books.qty("SPY") == 0
