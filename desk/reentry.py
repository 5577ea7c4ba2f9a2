"""After a protective exit a position is not opened again until its level was left.

A signal is a level and says "long" every minute. Without this rule the minute after a stop-loss would buy
back what the stop has just sold. So while the last thing filled for a strategy and symbol in the session
is a protective exit, levels of the closed side are not shown to the sizer, until the strategy has said flat
or the other side once. Who was stopped out is read from the books, so a restart knows it; whether the
level was left since is not, so after a restart the level has to be left again.
"""

from collections.abc import Sequence
from datetime import date

from desk.exits import is_protective
from desk.portfolio import Order, Portfolio
from desk.scribe import booking_date
from desk.sizer import Key, Level


class Reentry:
    """Keeps levels back after protective exits; remembers which were left."""

    def __init__(self, session_date: date, *, protected: bool = True) -> None:
        """Remember nothing of the day yet; where no position is ever `protected`, nothing needs to be."""
        self.session_date = session_date
        self._protected = protected
        self._left: set[str] = set()  # protective exits since which the level was left

    def admitted(self, levels: Sequence[Level], portfolio: Portfolio) -> Sequence[Level]:
        """Give the minute's levels without those that would reopen a protected position."""
        if not self._protected:
            return levels
        closed = stopped_out(portfolio, self.session_date)
        return [level for level in levels if self._admits(closed, level)] if closed else levels

    def _admits(self, closed: dict[Key, Order], level: Level) -> bool:
        order, target = closed.get((level.strategy, level.symbol)), level.target
        if order is None:
            return True
        was_long = order.intent.side.sign < 0
        if (target <= 0) if was_long else (target >= 0):
            self._left.add(order.intent.client_order_id)
        return order.intent.client_order_id in self._left


def stopped_out(portfolio: Portfolio, session_date: date) -> dict[Key, Order]:
    """Give the protective exit that closed each position, where nothing was filled since."""
    last: dict[Key, Order] = {}
    for order in portfolio.orders.of_session(session_date, before=1):  # one sent overnight fills today
        if order.filled_qty > 0 and booking_date(order.changed_at) == session_date:
            last.setdefault((order.intent.strategy, order.intent.symbol), order)
    held = portfolio.holdings()
    gone = {key: order for key, order in last.items() if key not in held}
    return {key: order for key, order in gone.items() if is_protective(order.intent, order.intent.side)}
