"""Days on which a person, the broker or a late message works against the desk; no books or shares astray."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from desk.closing import close_day
from desk.errors import IllegalTransition, OutcomeUnknown
from desk.exchange.venue import Venue
from desk.flattener import flatten
from desk.portfolio import EXTERNAL, Portfolio
from desk.recovery import recover
from desk.settler import settle
from schemas import events as ev
from schemas.orders import BrokerOrder, OrderIntent, Purpose, Side
from schemas.risk import LatchName, TradingState
from schemas.settings import StrategySettings
from tests import rehearsal as r
from tests.desk.short_day import (
    CLOSE,
    SHORT_DAY,
    by_hand,
    every_third,
    exits_lost,
    kinds,
    lying,
    never_taken,
    run_short,
    run_with,
    short_venue,
    until_held,
)
from tests.makers import filled, intent, planned

NEXT_OPEN = datetime(2025, 12, 1, 14, 35, tzinfo=UTC)


def at_venue(place: Venue, symbol: str) -> Decimal:
    """Give the venue's signed quantity of a symbol."""
    return sum((p.qty for p in place.positions() if p.symbol == symbol), Decimal(0))


# ---- a person trades against the desk ----------------------------------------------------------


def test_f4_an_accepted_sale_by_hand_leaves_the_strategy_with_what_the_broker_holds() -> None:
    """Sold half by hand and adjusted at start-up, the strategy holds the other half and can leave it (F4)."""
    place, ledger = short_venue(), r.new_ledger()
    wide = r.settings(break_halt_usd=Decimal(1_000_000))
    desk = r.desk_on(place, ledger, configured=wide)
    strategy, symbol, qty = until_held(desk)
    by_hand(place, symbol, Side.SELL, Decimal(int(qty) // 2), None)
    place.sleep_until(place.now() + timedelta(seconds=1))

    cash = place.account().cash
    recover(desk, SHORT_DAY)

    assert desk.portfolio.holdings()[(strategy, symbol)].qty == qty - int(qty) // 2
    assert (EXTERNAL, symbol) not in desk.portfolio.holdings()
    assert abs(desk.portfolio.cash - cash) < Decimal("0.05")
    run_short(desk, "run-2")
    assert place.positions() == ()
    assert r.audited(place, desk) == []


def test_f4_a_flatten_never_sells_a_symbol_whose_books_are_in_doubt() -> None:
    """Closed by hand and not yet accepted: neither a loss latch nor a halt may sell it a second time (F4)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    _, symbol, qty = until_held(desk)
    by_hand(place, symbol, Side.SELL, qty, None)
    place.sleep_until(place.now() + timedelta(seconds=1))
    recover(desk, SHORT_DAY)

    flatten(desk, reason="daily loss", emergency=True)
    place.sleep_until(place.now() + timedelta(minutes=2))

    assert at_venue(place, symbol) == 0


@pytest.mark.parametrize("stream", [True, False], ids=["heard", "found"])
def test_t3_f4_a_position_closed_by_hand_in_mid_session_is_never_sold_again(stream: bool) -> None:
    """The next comparison locks the symbol, exits too, until a person accepts; then it trades on (T3, F4)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    desk = desk if stream else replace(desk, updates=None)
    closed: list[tuple[str, datetime]] = []
    least: list[Decimal] = []
    accepted: list[str] = []

    def after_trade(minute: datetime) -> None:
        least.extend(p.qty for p in place.positions())
        held = [key for key in desk.portfolio.holdings() if not desk.portfolio.working_orders()]
        if not closed and held:
            by_hand(place, held[0][1], Side.SELL, desk.portfolio.position(held[0][1]), None)
            closed.append((held[0][1], minute))
        elif closed and not accepted and minute >= closed[0][1] + timedelta(minutes=8):
            accepted.extend(desk.portfolio.breaks)
            ledger.append(
                [
                    ev.BreakResolved(at=desk.now(), break_id=each, how="accepted", by="me", cause="mine")
                    for each in accepted
                ]
            )

    run_with(desk, after_trade)

    assert closed
    assert accepted
    assert min(least) > 0
    assert place.positions() == ()
    assert desk.portfolio.holdings() == {}
    assert r.audited(place, desk) == []


def test_i9_close_out_leaves_what_a_person_holds() -> None:
    """Shares the account had before the desk came are not the desk's to sell at the bell (I9)."""
    place, ledger = short_venue(), r.new_ledger()
    by_hand(place, "MSFT", Side.BUY, Decimal(20), None)
    place.sleep_until(place.now() + timedelta(seconds=1))
    desk = r.desk_on(place, ledger)

    run_short(desk)

    assert kinds(ledger, ev.FillRecorded)
    assert [(p.symbol, p.qty) for p in place.positions()] == [("MSFT", Decimal(20))]


# ---- answers that were lost --------------------------------------------------------------------


def test_f4_an_unanswered_exit_is_not_sent_again_once_a_person_closed_the_position() -> None:
    """A restart compares the books first; an exit whose shares are gone would open a short (I2, F4)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, wrap=lying(exits_lost))
    _, symbol, qty = until_held(desk)
    flatten(desk, reason="test")
    settle(desk)
    settle(desk)
    by_hand(place, symbol, Side.SELL, qty, None)
    place.sleep_until(place.now() + timedelta(seconds=1))

    again = r.desk_on(place, ledger)
    run_short(again, "run-2")

    assert at_venue(place, symbol) >= 0
    assert all(order.state.is_terminal or order.filled_qty == 0 for order in again.portfolio.orders.values())


def test_i9_recovery_and_close_send_nothing() -> None:
    """An exit nobody answered is not queued for the next open by reconcile or close-day (I9)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, wrap=lying(exits_lost))
    run_short(desk)
    assert desk.portfolio.holdings()
    again = r.desk_on(place, ledger)
    before = len(place.orders_since(CLOSE - timedelta(hours=1)))

    recover(again, SHORT_DAY)
    close_day(again, SHORT_DAY)

    assert len(place.orders_since(CLOSE - timedelta(hours=1))) == before


def test_i4_a_day_is_not_closed_while_an_order_is_unanswered() -> None:
    """close-day right after the bell waits until an unanswered order cannot come to life any more (I4)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, wrap=lying(every_third(never_taken)))
    run_short(desk)
    assert desk.portfolio.working_orders()

    close_day(desk, SHORT_DAY)

    assert desk.portfolio.working_orders() == ()


def test_f5_an_exit_that_was_lost_yesterday_does_not_block_todays_exit() -> None:
    """Start-up ends what cannot arrive any more, so a position held overnight can be left (F5)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, wrap=lying(exits_lost))
    run_short(desk)
    held = set(desk.portfolio.holdings())
    assert held

    place.sleep_until(NEXT_OPEN)
    again = r.desk_on(place, ledger)
    recover(again, NEXT_OPEN.date())

    assert again.portfolio.working_orders() == ()
    assert set(again.portfolio.holdings()) == held
    flatten(again, reason="test")
    place.sleep_until(NEXT_OPEN + timedelta(minutes=5))
    settle(again)
    assert place.positions() == ()


def test_i14_an_entry_without_an_answer_does_not_keep_another_strategys_position() -> None:
    """Close-out does not wait for an entry that may not exist: the position would stay overnight (F5)."""
    place, ledger = short_venue(), r.new_ledger()

    def lie(venue: Venue, order: OrderIntent) -> BrokerOrder:
        if order.strategy == "second":
            raise OutcomeUnknown("connection reset")
        return venue.submit(order)

    second = StrategySettings(name="second", allocation_frac=Decimal("0.2"))
    configured = r.settings(position_equity_frac=Decimal(1), position_notional_max_usd=Decimal(100_000))
    configured = configured.model_copy(update={"strategies": (*configured.strategies, second)})

    class Always(r.Churner):
        def signals(self, bars: pl.DataFrame) -> pl.DataFrame:
            return super().signals(bars).with_columns(target=pl.lit(1.0))

    desk = r.desk_on(place, ledger, wrap=lying(lie), configured=configured)
    desk = replace(desk, strategies=(Always(), Always(name="second")))
    run_short(desk)

    unanswered = {order.intent.symbol for order in desk.portfolio.working_orders()}
    assert unanswered
    assert unanswered & {e.fill.symbol for e in kinds(ledger, ev.FillRecorded)}
    assert place.positions() == ()


def test_an_exit_that_stays_unanswered_is_one_line_in_the_ledger() -> None:
    """Sent again and lost again at every settle, it is no news: the ledger keeps the first loss."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, wrap=lying(exits_lost))

    run_short(desk)

    lost = [event.client_order_id for event in kinds(ledger, ev.OrderOutcomeLost)]
    assert lost
    assert len(lost) == len(set(lost))


# ---- states ------------------------------------------------------------------------------------


def test_an_impossible_event_halts_and_flattens() -> None:
    """A defect that shows as an illegal transition is treated like any other: flat, HALTED, raised."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)

    def after_trade(_: datetime) -> None:
        if desk.portfolio.holdings():
            raise IllegalTransition("filled cannot follow rejected")

    with pytest.raises(IllegalTransition):
        run_with(desk, after_trade)

    place.sleep_until(place.now() + timedelta(minutes=2))
    assert desk.portfolio.trading_state is TradingState.HALTED
    assert place.positions() == ()


def test_r5_a_loss_latch_does_not_loosen_a_halt() -> None:
    """HALTED stays HALTED when the daily loss is reached as well."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, configured=r.settings(daily_loss_usd=Decimal(1)))

    def after_trade(_: datetime) -> None:
        if desk.portfolio.orders and desk.portfolio.trading_state is TradingState.ACTIVE:
            halted = ev.TradingStateChanged(at=desk.now(), state=TradingState.HALTED, cause="test", by="me")
            desk.journal.record(halted)

    run_with(desk, after_trade)

    assert LatchName.DAILY_LOSS in desk.portfolio.latches
    assert desk.portfolio.trading_state is TradingState.HALTED
    assert place.positions() == ()


def test_an_exit_that_may_not_be_sent_is_denied_once_a_minute() -> None:
    """A close-out under HALTED says so once a minute and holding, not at every settle."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)

    def after_trade(_: datetime) -> None:
        if desk.portfolio.holdings() and desk.portfolio.trading_state is TradingState.ACTIVE:
            halted = ev.TradingStateChanged(at=desk.now(), state=TradingState.HALTED, cause="test", by="me")
            desk.journal.record(halted)

    run_with(desk, after_trade)

    denied = [event.intent.client_order_id for event in kinds(ledger, ev.IntentDenied)]
    assert denied
    assert len(denied) == len(set(denied))


def test_a_position_left_the_day_after_it_was_opened_is_no_day_trade() -> None:
    """Opened on Tuesday and closed on Wednesday counts as no round trip of either (FINRA 4210)."""
    portfolio = Portfolio()
    bought, sold = intent("b"), intent("s", side=Side.SELL, purpose=Purpose.EXIT)
    for day in (date(2025, 11, 25), date(2025, 11, 26)):
        portfolio.apply(
            ev.SessionStarted(
                at=datetime(day.year, day.month, day.day, 15, tzinfo=UTC),
                session_date=day,
                run_id="run",
                strategies=(),
                symbols=(),
                settings_hash="",
                equity=Decimal(100_000),
            )
        )
        order = bought if day.day == 25 else sold
        portfolio.apply(planned(order))
        portfolio.apply(filled(order, f"e{day.day}", "100"))

    assert portfolio.position("AAPL") == 0
    assert portfolio.day_trades == {}
