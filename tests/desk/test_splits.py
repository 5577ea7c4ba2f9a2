"""Splits: the books follow the ratio and nothing else, once; entries and orders stay out of the way."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.closing import close_day
from desk.errors import BrokerUnavailable
from desk.exchange.venue import Venue
from desk.portfolio import EXTERNAL, Portfolio, replay
from desk.recovery import recover
from desk.split_watch import guard, known_splits
from desk.splits import split_repairs
from schemas import events as ev
from schemas.account import BrokerSnapshot, Split
from schemas.orders import OrderIntent, OrderState, Purpose, Reason, Side, TimeInForce
from schemas.risk import TradingState
from schemas.settings import SessionSettings
from tests import rehearsal as r
from tests.desk.short_day import CLOSE, SHORT_DAY, kinds, run_short, short_venue
from tests.desk.test_reconciler import account, position
from tests.makers import DAY, NOON, filled, intent, planned

D = Decimal


def split(new: str, old: str, symbol: str = "AAPL", ex_date: date = DAY) -> Split:
    """Make a split."""
    return Split(symbol=symbol, ex_date=ex_date, old=D(old), new=D(new))


def held(*parts: tuple[str, int, str]) -> Portfolio:
    """Make books in which strategies hold AAPL, a positive or negative number at a price."""
    events: list[ev.AnyEvent] = []
    for strategy, qty, price in parts:
        side = Side.BUY if qty > 0 else Side.SELL
        order = intent(f"mqd-{strategy}", strategy=strategy, side=side, qty=str(abs(qty)))
        events += [planned(order), filled(order, f"x-{strategy}", str(abs(qty)), price=price)]
    return replay(events)


def stated(qty: str, price: str = "100") -> BrokerSnapshot:
    """Make the broker's side with this much AAPL, entered at a price."""
    positions = () if D(qty) == 0 else (position("AAPL", qty, price),)
    return BrokerSnapshot(account=account(), positions=positions, orders=(), fills=(), taken_at=NOON)


def repaired(books: Portfolio, theirs: str, *splits: Split) -> tuple[ev.PositionAdjusted, ...]:
    """Give the repairs and fold them into the books."""
    repairs = split_repairs(books, stated(theirs), splits, now=NOON)
    for event in repairs:
        books.apply(event)
    return repairs


@given(
    qtys=st.lists(st.integers(1, 500), min_size=1, max_size=3),
    ratio=st.sampled_from([("4", "1"), ("2", "1"), ("3", "2"), ("1", "3"), ("1", "10"), ("7", "1")]),
    long=st.booleans(),
)
def test_a_split_makes_the_books_the_brokers_and_wins_nothing(
    qtys: list[int], ratio: tuple[str, str], long: bool
) -> None:
    """Each holding follows the ratio, their sum is the broker's whole shares, P&L and cash stay."""
    sign = 1 if long else -1
    books = held(*((f"s{n}", sign * qty, str(100 + n)) for n, qty in enumerate(qtys)))
    cash = books.cash
    exact = D(sum(qtys)) * D(ratio[0]) / D(ratio[1])
    theirs = sign * exact.to_integral_value("ROUND_DOWN")

    repairs = repaired(books, str(theirs), split(*ratio))

    assert repairs
    assert books.position("AAPL") == theirs
    assert books.cash == cash
    assert books.realized_pnl() == 0
    for n, qty in enumerate(qtys):
        after = books.positions[(f"s{n}", "AAPL")]
        assert abs(after.qty - sign * D(qty) * D(ratio[0]) / D(ratio[1])) < len(qtys)
        assert after.qty == 0 or abs(after.avg_price - D(100 + n) * D(ratio[1]) / D(ratio[0])) < D("1e-20")


@pytest.mark.parametrize(
    ("theirs", "found"),
    [
        ("100", split("4", "1")),
        ("401", split("4", "1")),
        ("399", split("4", "1")),
        ("-400", split("4", "1")),
        ("0", split("4", "1")),
        ("400", split("4", "1", symbol="MSFT")),
    ],
    ids=["no difference", "one more", "one less", "the other side", "gone", "another symbol"],
)
def test_what_a_split_does_not_explain_stays_a_break(theirs: str, found: Split) -> None:
    """Only the ratio explains; a share more or less is a break for a person."""
    assert repaired(held(("demo", 100, "50")), theirs, found) == ()


def test_a_split_is_booked_once() -> None:
    """After 4 for 1 was booked, a position that differs by that ratio again is a break."""
    books = held(("demo", 100, "50"))

    first = repaired(books, "400", split("4", "1"))
    again = repaired(books, "1600", split("4", "1"))

    assert [(e.qty_change, e.price) for e in first] == [(D(-100), D(50)), (D(400), D("12.5"))]
    assert again == ()
    assert books.risk.splits == {"AAPL": DAY}


NEXT_DAY, NEXT_NOON = DAY + timedelta(days=1), NOON + timedelta(days=1)
SMALL = [("3", "2"), ("11", "10"), ("21", "20")]


@pytest.mark.parametrize("ratio", SMALL, ids=":".join)
@pytest.mark.parametrize("sign", [1, -1], ids=["long", "short"])
@pytest.mark.parametrize("qty", range(1, 21))
def test_a_split_that_leaves_the_number_of_shares_is_booked_once(
    qty: int, sign: int, ratio: tuple[str, str]
) -> None:
    """One share at 3 for 2 stays one, half of one is paid in cash: its price is that of a new share."""
    books = held(("demo", sign * qty, "330"))
    after = sign * int(D(qty) * D(ratio[0]) / D(ratio[1]))
    found = split(*ratio, ex_date=NEXT_DAY)

    at_night = NEXT_NOON.replace(hour=7)  # 02:00 or 03:00 in New York
    before = [split_repairs(books, stated(str(sign * qty)), [found], now=now) for now in (NOON, at_night)]
    first, again = (split_repairs_folded(books, str(after), found) for _ in range(2))

    assert before == [(), ()]
    assert [event.qty_change for event in first] == [-sign * qty, after]
    assert again == ()
    assert books.risk.splits == {"AAPL": NEXT_DAY}
    [position] = books.holdings().values()
    assert position.qty == after
    assert abs(position.avg_price - 330 * D(ratio[1]) / D(ratio[0])) < D("1e-20")
    assert books.realized_pnl() == 0


def split_repairs_folded(
    books: Portfolio, theirs: str, found: Split, *, price: str | None = None
) -> tuple[ev.PositionAdjusted, ...]:
    """Give the repairs of the day after the books were made, and fold them in.

    The broker's entry price is ours in new shares, where none is said.
    """
    [ours, *_] = [each.avg_price for each in books.holdings().values()]
    stated_price = str(ours * found.old / found.new) if price is None else price
    repairs = split_repairs(books, stated(theirs, stated_price), [found], now=NEXT_NOON)
    for event in repairs:
        books.apply(event)
    return repairs


@pytest.mark.parametrize("ratio", SMALL, ids=":".join)
@pytest.mark.parametrize("qty", range(1, 21))
def test_a_split_the_broker_has_not_applied_is_not_booked(qty: int, ratio: tuple[str, str]) -> None:
    """The ex-date has begun and the broker's number would change: what it states is in old shares still."""
    books = held(("demo", qty, "330"))
    changes = int(D(qty) * D(ratio[0]) / D(ratio[1])) != qty

    found = split_repairs_folded(books, str(qty), split(*ratio, ex_date=NEXT_DAY))

    assert (found == ()) is changes


@pytest.mark.parametrize(
    ("books", "theirs"),
    [
        (held(("demo", 1, "200")), "1"),
        (held(("demo", 3, "200")), "3"),
        (held(("demo", 1, "200"), ("other", 2, "200")), "3"),
    ],
    ids=["bought after the split", "more of them", "of two strategies"],
)
def test_shares_of_the_ex_date_are_new_ones(books: Portfolio, theirs: str) -> None:
    """What was bought on the ex-date was bought at the new price; the same number says nothing."""
    assert repaired(books, theirs, split("11", "10")) == ()


def test_shares_added_on_the_ex_date_leave_the_split_alone() -> None:
    """Five from before and two from after 11 for 10: no ratio is right for all seven, so none is booked."""
    books = held(("demo", 5, "110"))
    more = intent("mqd-more", strategy="demo", qty="2")
    for event in (planned(more), executed(more, "2", at=NEXT_NOON)):
        books.apply(event)

    assert split_repairs_folded(books, "7", split("11", "10", ex_date=NEXT_DAY)) == ()


def executed(order: OrderIntent, qty: str, *, at: datetime) -> ev.FillRecorded:
    """Make an execution at 100 of a given instant."""
    event = filled(order, f"x-{order.client_order_id}-{at:%d}", qty, price="100")
    return event.model_copy(update={"at": at, "fill": event.fill.model_copy(update={"filled_at": at})})


@pytest.mark.parametrize("ended", [ev.OrderExpired, ev.OrderCanceled])
def test_an_old_orders_end_on_the_ex_date_is_no_trade(ended: type) -> None:
    """One share of ten was bought before 3 for 2; that the other nine expired is told on the ex-date."""
    order = intent("mqd-part", strategy="demo", qty="10")
    acknowledged = ev.OrderAcknowledged(at=NOON, client_order_id="mqd-part", broker_order_id="b-mqd-part")
    over = ended(at=NEXT_NOON - timedelta(hours=3), client_order_id="mqd-part")
    books = replay([planned(order), acknowledged, filled(order, "x", "1", price="330"), over])

    assert split_repairs_folded(books, "1", split("3", "2", ex_date=NEXT_DAY))
    assert [each.avg_price for each in books.holdings().values()] == [D(220)]


def test_an_execution_of_the_day_before_that_is_booked_late_is_of_old_shares() -> None:
    """What counts is when it was executed, not when the desk heard of it."""
    order = intent("mqd-late", strategy="demo", qty="1")
    late = filled(order, "x", "1", price="330").model_copy(update={"at": NEXT_NOON})
    books = replay([planned(order), late])

    assert split_repairs_folded(books, "1", split("3", "2", ex_date=NEXT_DAY))


def test_shares_a_person_added_on_the_ex_date_leave_the_split_alone() -> None:
    """Five from before and two by an accepted break, or by hand: the broker's price shows it."""
    by_hand = intent("hand", strategy=EXTERNAL, qty="2")
    accepted = ev.PositionAdjusted(
        at=NEXT_NOON, strategy="demo", symbol="AAPL", qty_change=D(2), price=D(100), cause="accepted"
    )
    opening = accepted.model_copy(
        update={"at": NOON, "strategy": EXTERNAL, "qty_change": D(5), "price": D(110)}
    )
    booked = held(("demo", 5, "110"))
    booked.apply(accepted)
    traded = replay([opening, executed(by_hand, "2", at=NEXT_NOON)])

    for books in (booked, traded):
        assert split_repairs_folded(books, "7", split("11", "10", ex_date=NEXT_DAY), price="100") == ()


@pytest.mark.parametrize("ratio", [("2", "1"), ("3", "2"), ("1", "3")], ids=":".join)
def test_positions_that_cancel_out_are_split_too(ratio: tuple[str, str]) -> None:
    """One strategy is long and another short by as much: the broker has nothing, and both have new shares."""
    books, found = held(("long", 9, "90"), ("short", -9, "60")), split(*ratio, ex_date=NEXT_DAY)
    factor = D(ratio[0]) / D(ratio[1])
    at_night = split_repairs(books, stated("0"), [found], now=NEXT_NOON.replace(hour=7))

    first, again = (split_repairs_folded(books, "0", found) for _ in range(2))

    assert (at_night, again) == ((), ())
    assert len(first) == 4
    qty = (9 * factor).to_integral_value("ROUND_DOWN")
    assert [each.qty for each in books.holdings().values()] == [qty, -qty]
    for each, price in zip(books.holdings().values(), (90, 60), strict=True):
        assert abs(each.avg_price - price / factor) < D("1e-20")
    assert books.realized_pnl() == 0


def test_positions_of_the_ex_date_that_cancel_out_are_of_new_shares() -> None:
    """They were bought and sold after it, and nothing held is left alone."""
    books = held(("long", 10, "100"), ("short", -10, "90"))

    assert repaired(books, "0", split("2", "1")) == ()
    assert repaired(Portfolio(), "0", split("2", "1")) == ()


def test_a_part_of_a_share_beside_positions_that_cancel_out_is_a_break() -> None:
    """Half a share the books do not have is no rest of a split."""
    books = held(("long", 10, "100"), ("short", -10, "90"))

    assert split_repairs_folded(books, "0.5", split("2", "1", ex_date=NEXT_DAY)) == ()


def test_a_price_the_broker_states_in_old_shares_was_not_split() -> None:
    """The number says nothing, and the broker's entry price is still that of before."""
    books, found = held(("demo", 1, "330")), split("3", "2", ex_date=NEXT_DAY)

    assert split_repairs_folded(books, "1", found, price="330") == ()
    assert split_repairs_folded(books, "1", found, price="221")


def test_part_of_a_share_that_stays_was_not_split() -> None:
    """A position of half a share is not paid out by 3 for 2: the broker would state three quarters."""
    books = held(("demo", 1, "330"))
    books.apply(
        ev.PositionAdjusted(
            at=NOON, strategy="demo", symbol="AAPL", qty_change=D("-0.5"), price=D(330), cause="half"
        )
    )

    assert split_repairs_folded(books, "0.5", split("3", "2", ex_date=NEXT_DAY)) == ()


def test_the_best_price_of_old_shares_is_forgotten() -> None:
    """A trailing exit starts anew: 200 before a 2 for 1 is no high of shares that cost 50."""
    books = held(("demo", 100, "100"))
    books.best_marks[("demo", "AAPL")] = D(200)

    repaired(books, "200", split("2", "1"))

    assert ("demo", "AAPL") not in books.best_marks
    assert books.positions[("demo", "AAPL")].avg_price == 50


OVERNIGHT = r.settings().model_copy(update={"session": SessionSettings(slots=3, close_out=False)})


class Holder(r.Churner):
    """A strategy that is always long."""

    def signals(self, bars):
        return super().signals(bars).with_columns(target=1.0)


def split_while_away(ratio: tuple[int, int]) -> tuple[Venue, object, object]:
    """Hold shares, stop, have one symbol split, and start again."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, configured=OVERNIGHT, strategy=Holder())
    run_short(desk)
    symbol = desk.portfolio.held_symbols()[0]
    place.floor.split(symbol, D(ratio[1]), D(ratio[0]))
    return place, ledger, r.desk_on(place, ledger, configured=OVERNIGHT)


def test_i9_start_up_after_a_split_adjusts_the_books_and_does_not_halt() -> None:
    """The difference is explained by the split, recorded as such, and trading may begin."""
    place, ledger, desk = split_while_away((4, 1))

    found = recover(desk, SHORT_DAY)

    assert (found.breaks, found.trading_state) == ((), TradingState.ACTIVE)
    assert {p.symbol: p.qty for p in place.positions()} == {
        symbol: desk.portfolio.position(symbol) for symbol in desk.portfolio.held_symbols()
    }
    adjusted = kinds(ledger, ev.PositionAdjusted)
    assert {event.split_on for event in adjusted} == {SHORT_DAY}
    assert not kinds(ledger, ev.BreakFound)
    assert r.desk_on(place, ledger).portfolio.state_hash() == desk.portfolio.state_hash()


def test_start_up_books_a_split_that_no_quantity_shows() -> None:
    """Held over the night, 1001 for 1000 in the morning: no quantity shows it, the price is new."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, configured=OVERNIGHT, strategy=Holder())
    run_short(desk)
    symbol = desk.portfolio.held_symbols()[0]
    before = desk.portfolio.holdings()[("churner", symbol)]
    monday = split("1001", "1000", symbol, MONDAY)
    place.announced = (monday,)
    friday_evening = r.desk_on(place, ledger, configured=OVERNIGHT)
    recover(friday_evening, SHORT_DAY)
    assert kinds(ledger, ev.PositionAdjusted) == []
    place.sleep_until(CLOSE + timedelta(days=2, hours=20, minutes=20))

    desk = r.desk_on(place, ledger, configured=OVERNIGHT)
    for _ in range(2):
        recover(desk, MONDAY)

    after = desk.portfolio.holdings()[("churner", symbol)]
    assert len(kinds(ledger, ev.PositionAdjusted)) == 2
    assert (after.qty, after.avg_price) == (before.qty, before.avg_price * 1000 / 1001)
    assert r.desk_on(place, ledger).portfolio.state_hash() == desk.portfolio.state_hash()


def test_without_an_answer_about_splits_the_difference_is_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that does not answer explains nothing: the break is found and halts."""
    _, ledger, desk = split_while_away((4, 1))

    def away(*_: object) -> tuple[Split, ...]:
        raise BrokerUnavailable("503 three times")

    monkeypatch.setattr(Venue, "splits", away)

    found = recover(desk, SHORT_DAY)

    assert [item.kind.value for item in found.breaks] == ["position"]
    assert found.trading_state is TradingState.HALTED
    assert kinds(ledger, ev.PositionAdjusted) == []


def test_no_entry_on_the_ex_date() -> None:
    """A symbol that splits today gets no entry, and its denial names the split; the others trade."""
    place, ledger = short_venue(), r.new_ledger()
    place.floor.split("AAPL", D(1), D(2))
    desk = r.desk_on(place, ledger)

    run_short(desk)

    denials = [e.denial for e in kinds(ledger, ev.IntentDenied) if e.intent.symbol == "AAPL"]
    entered = {e.intent.symbol for e in kinds(ledger, ev.OrderPlanned) if e.intent.purpose is Purpose.ENTRY}
    assert {denial.reason for denial in denials} == {Reason.CORPORATE_ACTION, Reason.CLOSE_OUT}
    assert f"split 2 for 1, ex-date {SHORT_DAY}" in denials[0].message
    assert "AAPL" not in entered != set()


class Announcing:
    """A market that knows of splits to come."""

    def __init__(self, place: Venue, *splits: Split) -> None:
        self.place, self.known = place, splits

    def splits(self, symbols, start, end):
        return tuple(s for s in self.known if s.symbol in symbols and start <= s.ex_date <= end)

    def __getattr__(self, name: str):
        return getattr(self.place, name)


MONDAY = date(2025, 12, 1)


@pytest.mark.parametrize(("close_out", "kept"), [(True, set()), (False, {"AAPL"})])
def test_no_entry_that_would_be_held_into_an_ex_date(close_out: bool, kept: set[str]) -> None:
    """The session before, entries are refused where positions stay overnight; a GTC order always."""
    place = short_venue()
    configured = r.settings().model_copy(update={"session": SessionSettings(close_out=close_out)})
    desk = r.desk_on(place, r.new_ledger(), configured=configured)
    announced = Announcing(place, split("2", "1", ex_date=MONDAY), split("2", "1", "XOM", date(2025, 12, 2)))

    found = guard(_with(desk, announced), r.SYMBOLS, SHORT_DAY)

    assert set(found.today) == kept
    assert set(found.ahead) == {"AAPL"}


def _with(desk, market):
    """Give the desk with another market."""
    return replace(desk, market=market)


def test_a_gtc_order_does_not_rest_over_an_ex_date() -> None:
    """The end of the day cancels it where a split comes, and leaves the others."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    recover(desk, SHORT_DAY)
    for symbol in ("AAPL", "MSFT"):
        resting = intent(f"mqd-gtc-{symbol}", symbol=symbol, qty="1", limit_price="1.00").model_copy(
            update={"time_in_force": TimeInForce.GTC, "session_date": SHORT_DAY}
        )
        plan = planned(resting).model_copy(update={"at": desk.now()})
        desk.journal.record(plan)
        stated_order = place.submit(resting)
        desk.journal.record(
            ev.OrderAcknowledged(
                at=desk.now(),
                client_order_id=resting.client_order_id,
                broker_order_id=stated_order.broker_order_id,
            )
        )
    started = ev.SessionStarted(
        at=desk.now(),
        session_date=SHORT_DAY,
        run_id="r",
        strategies=(),
        symbols=(),
        settings_hash="",
        equity=D(100_000),
    )
    desk.journal.record(started)
    place.sleep_until(CLOSE + timedelta(minutes=1))

    close_day(_with(desk, Announcing(place, split("2", "1", ex_date=MONDAY))), SHORT_DAY)

    states = {name: order.state for name, order in desk.portfolio.orders.items()}
    assert states == {"mqd-gtc-AAPL": OrderState.CANCELED, "mqd-gtc-MSFT": OrderState.SUBMITTED}


def test_a_market_that_cannot_be_asked_knows_no_split() -> None:
    """The port is optional: without it no split is known and nothing fails."""

    class Plain:
        provider = feed = "plain"

        def bars(self, *_: object) -> None:
            return None

    desk = r.desk_on(short_venue(), r.new_ledger())

    assert known_splits(_with(desk, Plain()), ["AAPL"], DAY, DAY) == ()
