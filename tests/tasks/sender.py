"""A process that takes the account and sends orders, for tests of two: `python -m tests.tasks.sender`.

It prints a line per step. With `pause` it stops itself (SIGSTOP) between writing an order ahead and sending
it, which is the worst moment; whoever started it wakes it.
"""

import os
import signal
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from data.ledger import Ledger
from desk.adapters.alpaca_broker import connect_broker
from desk.adapters.alpaca_market import connect_market
from desk.adapters.system_clock import SystemClock
from desk.desk import Desk
from desk.dispatcher import place
from desk.errors import LeaseHeld, LeaseLost
from desk.journal import Journal
from schemas.events import OrderPlanned
from schemas.orders import Approval
from schemas.settings import BrokerSettings, Settings
from tests.makers import NOON, intent
from tests.rehearsal import Frames

HELD, LOST = 3, 4  # exit codes


class Pausing(Ledger):
    """A ledger whose process is stopped right after the first order was written ahead."""

    pauses = False

    def append(self, events: Sequence[Any]) -> int:
        seq = super().append(events)
        if self.pauses and any(isinstance(event, OrderPlanned) for event in events):
            self.pauses = False
            print("stopping", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
            print("woken", flush=True)
        return seq


def main(path: str, url: str, name: str, ahead_s: str, pause: str) -> int:
    """Take the account, send three orders, say how it ended.

    Args:
        path: the ledger file.
        url: the exchange.
        name: of this process, in its orders' ids.
        ahead_s: how far this process's clock is ahead, so that a test need not wait for a lease to run out.
        pause: "pause" to be stopped before the first order is sent.
    """
    shift = timedelta(seconds=float(ahead_s))

    def wall_clock() -> datetime:
        return SystemClock().now() + shift

    ledger = Pausing.open(f"sqlite:///{path}", "paper", wall_clock, "here", os.getpid())
    ledger.pauses = pause == "pause"
    settings = Settings(broker=BrokerSettings(trading_url=url, data_url=url), store=Path(path).parent)
    try:
        ledger.acquire(f"session {name}")
        print("holds", flush=True)
        desk = Desk(
            settings=settings,
            clock=SystemClock(),
            broker=connect_broker(settings),
            market=connect_market(settings),
            updates=None,
            journal=Journal(ledger),
            recorder=Frames(),
            strategies=(),
        )
        orders = [intent(f"mqd-{name}-{number}", qty="1", limit_price="90") for number in range(3)]
        place(
            desk,
            [(o, Approval(client_order_id=o.client_order_id, checks=(), judged_at=NOON)) for o in orders],
        )
    except LeaseHeld as error:
        print(error, flush=True)
        return HELD
    except LeaseLost as error:
        print(error, flush=True)
        return LOST
    print("sent", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
