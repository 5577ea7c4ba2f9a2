"""Ex-dates of a backtest of raw bars: what the broker does to the account before the open.

Theory of operation. On the morning of an ex-date, or of the first session after it that has bars, in order of
ex-dates:

- a dividend is paid on what was held at the close before: who is long gets it, who is short pays it, to the
  nearest cent. A broker pays it weeks later; the value is the account's from the ex-date on. Of a dividend
  and a split of one day the dividend is on the old shares.
- before a split the desk cancels its orders of the symbol, as live at the close before (desk/closing.py).
  Then it goes through the venue as a broker does it (desk/exchange/splits.py), and is booked as a session's
  start-up books what it finds (desk/splits.py), but at once: the next may be of the same symbol. Of a
  position in whole shares the part of a share that is left is paid in cash, at the last close in the new
  shares, to the nearest cent.

Cash is put right in both books at once, by a `CashAdjusted` whose cause begins with its kind. The loss limits
do not count it: it moves what losses are measured from, as a deposit does.
"""

from collections import deque
from datetime import date, datetime
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from math import prod

from desk.desk import Desk
from desk.dispatcher import cancel
from desk.exchange.venue import Venue
from desk.money import CENT, ZERO, is_whole, plain
from desk.research.ledger import PassingLedger
from desk.research.shares import Divided
from desk.splits import split_adjustments, words_of
from schemas.account import SessionHours, Split
from schemas.actions import Actions, Dividend
from schemas.events import CashAdjusted

DIVIDEND = "dividend"
IN_LIEU = "cash in lieu"
ONE = Decimal(1)


class ExDates:
    """Does each action once, in order."""

    def __init__(self, actions: Actions, desk: Desk, venue: Venue) -> None:
        """Announce the splits, as a broker does weeks ahead."""
        self._desk = desk
        self._venue = venue
        by_date: list[Dividend | Split] = sorted((*actions.dividends, *actions.splits), key=_order)
        self._coming = deque(by_date)
        self._done: dict[tuple[str, object], tuple[Split, datetime, Decimal]] = {}
        venue.announced = tuple(each for each in by_date if isinstance(each, Split))

    def begin(self, hours: SessionHours) -> None:
        """Do what is due before a session."""
        due: list[Dividend | Split] = []
        while self._coming and self._coming[0].ex_date <= hours.session_date:
            due.append(self._coming.popleft())
        for place, action in enumerate(due, start=1):
            if isinstance(action, Dividend):
                self._pay(action)
            else:
                later = (each for each in due[place:] if isinstance(each, Split))
                ratios = [each.new / each.old for each in later if each.symbol == action.symbol]
                self._split(action, hours, later=prod(ratios, start=ONE))

    def divided(self, ledger: PassingLedger) -> tuple[Divided, ...]:
        """Give what splits made of each strategy's positions."""
        left: dict[tuple[str, str, object], Decimal] = {}
        for event in ledger.divided:  # the first of a position takes it out whole, the next puts it in again
            key = event.strategy, event.symbol, event.split_on
            left[key] = ZERO if key not in left else left[key] + event.qty_change
        return tuple(
            Divided(split=split, ts=ts, strategy=strategy, qty_after=qty, price=price)
            for (strategy, symbol, day), qty in left.items()
            for split, ts, price in [self._done[(symbol, day)]]
        )

    def _pay(self, dividend: Dividend) -> None:
        books, symbol = self._venue.floor.books, dividend.symbol
        held = books.qty(symbol)
        cash = (held * dividend.amount).quantize(CENT, ROUND_HALF_EVEN)
        if cash != 0:
            books.cash += cash
            words = f"{DIVIDEND}: {plain(dividend.amount)} USD on {plain(held)} {symbol}, {dividend.ex_date}"
            self._desk.journal.record(CashAdjusted(at=self._desk.now(), amount=cash, cause=words))

    def _split(self, split: Split, hours: SessionHours, *, later: Decimal) -> None:
        """Divide what is held; `later` are the new shares of one that splits still due will make."""
        floor, symbol, words = self._venue.floor, split.symbol, words_of(split)
        for order in self._desk.portfolio.working_orders():
            if order.intent.symbol == symbol:
                cancel(self._desk, order, cause=words)
        before = floor.books.qty(symbol)
        floor.split(symbol, old=split.old, new=split.new)
        close, after = floor.tape.prior_close(symbol), floor.books.qty(symbol)
        if before == 0 or close is None:
            return
        price = close * later
        if is_whole(before) and not is_whole(after):
            left = after - after.to_integral_value(ROUND_DOWN)
            words = f"{IN_LIEU}: {plain(left)} {symbol}, {words}"
            cash = (left * price).quantize(CENT, ROUND_HALF_EVEN)
            floor.books.pay_out(symbol, qty=left, cash=cash)
            self._desk.journal.record(CashAdjusted(at=self._desk.now(), amount=cash, cause=words))
            price = cash / left
        self._done[(symbol, split.ex_date)] = split, hours.opens_at, price
        portfolio, broker = self._desk.portfolio, floor.books.qty(symbol)
        self._desk.journal.record(*split_adjustments(portfolio, split, broker=broker, now=self._desk.now()))


def _order(action: Dividend | Split) -> tuple[date, bool, str]:
    """Give what actions are done in order of: their dates, and of one date dividends first."""
    return action.ex_date, isinstance(action, Split), action.symbol
