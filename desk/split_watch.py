"""Asking for splits: which there are, what entries are kept from, which orders must go (desk/splits.py).

Splits are known by asking the market data, where that can be asked at all. Without an answer no split is
known: then a changed quantity is a break, which locks the symbol until a person looks, and an entry is
judged by its data alone (a price that jumps is refused by the inspector, SUSPECT_DATA).
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from desk.desk import Desk
from desk.errors import BrokerUnavailable, NotFound
from desk.hours import next_session
from desk.own_order import Order
from desk.ports import KnowsSplits
from desk.splits import words_of
from schemas.account import Split
from schemas.orders import TimeInForce

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SplitGuard:
    """The splits of a session's symbols that entries are kept from, each with its words."""

    today: Mapping[str, str] = field(default_factory=dict)
    ahead: Mapping[str, str] = field(default_factory=dict)  # on the next session's date


def known_splits(desk: Desk, symbols: Iterable[str], start: date, end: date) -> tuple[Split, ...]:
    """Ask for the splits of symbols with an ex-date in [start, end]; none where nobody answers."""
    return asked_splits(desk, symbols, start, end) or ()


def asked_splits(desk: Desk, symbols: Iterable[str], start: date, end: date) -> tuple[Split, ...] | None:
    """Ask for the splits of symbols with an ex-date in [start, end]; None where an answer did not come."""
    wanted = sorted(set(symbols))
    if not wanted or not isinstance(desk.market, KnowsSplits):
        return ()
    try:
        return desk.market.splits(wanted, start, end)
    except (BrokerUnavailable, NotFound) as error:
        log.warning("splits could not be asked for", extra={"cause": str(error)})
        return () if isinstance(error, NotFound) else None  # a provider without such a page knows none


def guard(desk: Desk, symbols: Sequence[str], session_date: date) -> SplitGuard:
    """Give what a session's entries are kept from."""
    following = next_session(session_date).session_date
    found = known_splits(desk, symbols, session_date, following)
    today = {each.symbol: words_of(each) for each in found if each.ex_date == session_date}
    ahead = {each.symbol: words_of(each) for each in found if session_date < each.ex_date <= following}
    if today or ahead:
        log.warning("splits ahead", extra={"today": sorted(today), "next_session": sorted(ahead)})
    if not desk.settings.session.close_out:
        today = ahead | today  # every entry may be held over the night
    return SplitGuard(today=today, ahead=ahead)


def resting_over(desk: Desk, start: date, end: date) -> tuple[tuple[Order, str], ...]:
    """Give the GTC orders of symbols with an ex-date in [start, end], each with the words of its split."""
    lasting = [
        order for order in desk.portfolio.working_orders() if order.intent.time_in_force is TimeInForce.GTC
    ]
    symbols = [order.intent.symbol for order in lasting]
    found = {each.symbol: words_of(each) for each in known_splits(desk, symbols, start, end)}
    return tuple((order, found[order.intent.symbol]) for order in lasting if order.intent.symbol in found)
