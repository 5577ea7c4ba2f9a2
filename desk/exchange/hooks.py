"""What a fault plan, a simulation or a test may do to a floor: one list, all in venue time, deterministic.

- `cancel_takes`, `replace_takes`, `arrival_takes`: how long a cancel, a replacement, a new order is under way
  (`pending_cancel`, `pending_replace`, `pending_new`); none by default.
- `at(instant, act)`: run something when time gets there.
- `halt(symbol, code)`, `unhalt(symbol)`; `status_listeners` hear a `HaltNotice` of each.
- `split(symbol, old, new)`: adjust position and open orders.
- `trade_by_hand`, `cancel_by_hand`: a person at the broker.
- `refuse_later(order_id, reason)`: reject an order already taken; `refuse_next(reason)`: take, answer and
  then reject the next order that arrives.
- `refuse_cancel(order_id)`, `refuse_replace(order_id)`: the one under way fails.
- `park_next(status)`: the next order taken waits in `pending_new`, `accepted`, `pending_review` or
  `accepted_for_bidding`; `put(order_id, status)` moves it on, or a working one to `stopped`, `suspended`,
  `calculated`, `done_for_day` and back to `new`.
- `standing`: what the broker lets the account do (`trading_blocked`, `liquidation_only`); `configure`: what
  its owner does (`suspend_trade`, `no_shorting`, ...).
"""

from datetime import datetime, timedelta
from decimal import Decimal

from desk.exchange.admission import Standing
from desk.exchange.asking import Asking
from desk.exchange.crossing import Crossing
from desk.exchange.hand import WAITING, Hand
from desk.exchange.lives import Lives
from desk.exchange.orders import SplitDone, Status, VenueOrder
from desk.exchange.splits import apply_split
from desk.exchange.timeline import Act, Timeline


class Hooks:
    """The hooks of a floor, over the parts a floor puts together."""

    timeline: Timeline
    lives: Lives
    crossing: Crossing
    asking: Asking
    hand: Hand
    standing: Standing
    splits: list[SplitDone]
    parked: list[Status]  # statuses in which the next orders taken are left
    arrival_takes: timedelta

    def at(self, instant: datetime, act: Act) -> None:
        """Plan an act of a fault plan or a test; it sees the floor as it is at that instant."""
        self.timeline.at(instant, act)

    @property
    def cancel_takes(self) -> timedelta:
        """Give how long a cancel is under way."""
        return self.asking.cancel_takes

    @cancel_takes.setter
    def cancel_takes(self, takes: timedelta) -> None:
        self.asking.cancel_takes = takes

    @property
    def replace_takes(self) -> timedelta:
        """Give how long a replacement is under way."""
        return self.asking.replace_takes

    @replace_takes.setter
    def replace_takes(self, takes: timedelta) -> None:
        self.asking.replace_takes = takes

    def halt(self, symbol: str, code: str = "T1") -> None:
        """Stop a symbol's trading: nothing of it fills, new orders wait as accepted."""
        self.crossing.halt(symbol, code)

    def unhalt(self, symbol: str) -> None:
        """Let a halted symbol trade again from its next print on."""
        self.crossing.unhalt(symbol)

    def split(self, symbol: str, old: Decimal, new: Decimal) -> SplitDone:
        """Split a symbol's shares now: `old` become `new` (see desk/exchange/splits.py)."""
        self.splits.append(apply_split(self.lives, symbol=symbol, old=old, new=new))
        return self.splits[-1]

    def refuse_later(self, order_id: str, reason: str) -> VenueOrder:
        """Reject an open order that was taken already."""
        return self.hand.reject(order_id, reason)

    def refuse_next(self, reason: str) -> None:
        """Take and answer the next order that arrives, then reject it."""
        self.crossing.refuse_next.append(reason)

    def refuse_cancel(self, order_id: str) -> VenueOrder:
        """Fail a cancel under way."""
        return self.asking.refuse_cancel(order_id)

    def refuse_replace(self, order_id: str) -> VenueOrder:
        """Fail a replacement under way; the id is the old order's."""
        return self.asking.refuse_replace(order_id)

    def park_next(self, status: Status) -> None:
        """Answer the next order taken with a waiting status and leave it there until `put` moves it.

        Raises:
            ValueError: the status is not one an order waits in.
        """
        if status not in WAITING:
            raise ValueError(f"an order waits in {', '.join(sorted(WAITING))}, not in {status}")
        self.parked.append(status)

    def put(self, order_id: str, status: Status) -> VenueOrder:
        """Put an open order into another status along ALPACA.md section 2.5."""
        return self.hand.put(order_id, status)

    def cancel_by_hand(self, order_id: str) -> VenueOrder:
        """Cancel an open order at once, as a person at the broker would."""
        return self.hand.cancel(order_id)
