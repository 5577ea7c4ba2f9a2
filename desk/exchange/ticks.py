"""Trades and quotes of the tape: each sound print of a minute is one of each (desk/exchange/matching.py).

What a bar does not say is made of symbol and time alone, so it is the same for whoever asks, whenever, by
whatever way: trade id, exchange, condition. The minute's volume is shared among its prints, the first of
them taking what does not divide; each has at least one share, so that the trades of a minute always have its
open, high, low and close. The sizes of a quote are what an order may take of that print.

Left out: odd-lot and other excluded conditions (every trade here makes its bar), and quotes between prints.
"""

from dataclasses import dataclass
from datetime import datetime
from zlib import crc32

from desk.exchange.matching import PRINT_SPACING, Print
from desk.exchange.tape import Tape
from schemas.market_stream import StreamQuote, StreamTrade

SIP_EXCHANGES = "QNPZKDV"  # where the large volumes print: NASDAQ, NYSE, Arca, Cboe BZX and EDGX, FINRA, IEX
IEX = "V"
TAPES = {"NYSE": "A", "NASDAQ": "C"}  # everything else reports to tape B
REGULAR = "@"
EXTENDED = "T"  # form T: outside the regular session
OPENING = "O"
QUOTE_CONDITION = "R"  # a regular, two-sided quote
IDS_A_DAY = 20_000  # a UTC day has 5,760 slots of 15 s; the upper half names corrected trades
CORRECTED = 10_000
ID_BASES = 90_000_000  # ids stay under 2^53, which JavaScript can hold


@dataclass(frozen=True, slots=True)
class Tick:
    """A sound print and the shares that traded at it."""

    seen: Print
    shares: int
    opening: bool  # the first print of the regular session


def ticks_between(tape: Tape, symbol: str, after: datetime, through: datetime) -> list[Tick]:
    """Give a symbol's prints in (after, through], in order of time."""
    found: list[Tick] = []
    for minute, volume in tape.minutes_between(symbol, after, through):
        share, rest = divmod(max(volume, 0), max(len(minute), 1))
        for place, seen in enumerate(minute):
            if after < seen.at <= through:
                shares = max(share + (rest if place == 0 else 0), 1)
                found.append(Tick(seen, shares, seen.at == tape.hours.opens_at))
    return found


def trade(symbol: str, tick: Tick, *, listed_on: str, iex_only: bool = False) -> StreamTrade:
    """Give the trade of a tick."""
    seen = tick.seen
    slot = _slot(seen.at)
    conditions = (REGULAR,) if seen.regular else (REGULAR, EXTENDED)
    return StreamTrade(
        symbol=symbol,
        ts=seen.at,
        trade_id=trade_id(symbol, seen.at),
        exchange=IEX if iex_only else SIP_EXCHANGES[(_name(symbol) + slot) % len(SIP_EXCHANGES)],
        price=float(seen.price),
        size=tick.shares,
        conditions=(REGULAR, OPENING) if tick.opening else conditions,
        tape=tape_letter(listed_on),
    )


def quote(symbol: str, seen: Print, *, listed_on: str, iex_only: bool = False) -> StreamQuote:
    """Give the best bid and ask that stand from a print on."""
    slot = _slot(seen.at)
    size = max(int(seen.liquidity), 1)
    count = len(SIP_EXCHANGES)
    return StreamQuote(
        symbol=symbol,
        ts=seen.at,
        bid_exchange=IEX if iex_only else SIP_EXCHANGES[(_name(symbol) + 3 * slot) % count],
        bid_price=float(seen.bid),
        bid_size=size,
        ask_exchange=IEX if iex_only else SIP_EXCHANGES[(_name(symbol) + 5 * slot + 1) % count],
        ask_price=float(seen.ask),
        ask_size=size,
        conditions=(QUOTE_CONDITION,),
        tape=tape_letter(listed_on),
    )


def trade_id(symbol: str, at: datetime) -> int:
    """Give the id of the trade printed at an instant: unique in its symbol and UTC day."""
    slots_a_day = 86_400 // int(PRINT_SPACING.total_seconds())
    return (_name(symbol) % ID_BASES + 1) * IDS_A_DAY + _slot(at) % slots_a_day


def tape_letter(listed_on: str) -> str:
    """Give the tape that an exchange's listings report to."""
    return TAPES.get(listed_on, "B")


def _slot(at: datetime) -> int:
    """Count the print slots since 1970."""
    return int(at.timestamp()) // int(PRINT_SPACING.total_seconds())


def _name(symbol: str) -> int:
    """Give a number that is the symbol's own."""
    return crc32(symbol.encode())
