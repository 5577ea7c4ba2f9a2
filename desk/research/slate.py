"""Bars and rules as the screen's kernel reads them: whole numbers in arrays, made once for many runs.

Theory of operation. Prices, cash and equity are in 1/10,000 USD (the step of the venue's tape), fees in
millionths of a USD, shares whole; what is a fraction (levels, stops, sizes) in millionths. Bars lie symbol
after symbol, each symbol's in order of time, cut into blocks of one symbol and session; a row is a bar's
place in that order. What the bell forbids is three rows of each block: from `enter_until` on nothing is
opened, from `decide_until` on no level is looked at, and from `leave_from` on what is held is closed.

Left out: prices finer than a millionth of a dollar, which have no place here and are refused by name.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from desk.errors import DataError, NoBars
from desk.fees import sec_fee, taf_fee
from desk.hours import session_hours
from desk.tape import EPOCH, MINUTE_US, microseconds
from schemas.account import SessionHours

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MILLION = 1_000_000
USD = 10_000  # money units in a dollar
CENT = 100
BPS_UNITS = 100_000_000  # spreads and slippage are in 1/10,000 of a basis point
MICRO_PER_CENT = 10_000
FAR = 1 << 62  # a price no close reaches

DAY_US = 24 * 60 * MINUTE_US
PRICE_MAX = 1_000_000  # USD a share; with it, every product of the kernel stays within 64 bits
ROUNDING_NOISE = 1e-2  # of a millionth: what a float of six decimals may be off by

# What a size is counted in.
SHARES, NOTIONAL, EQUITY = 0, 1, 2


class Tape(NamedTuple):
    """Bars in arrays; by row unless said."""

    opens: Ints  # what an order executes at
    closes: Ints  # at the nearest tick: what sizes and stops look at
    marks: Ints  # the close as printed: what positions are worth
    first: Ints  # by block: its first row; one more at the end
    session: Ints  # by block
    blocks: Ints  # by symbol: its first block; one more at the end


class Order(NamedTuple):
    """The order in which minutes are played."""

    rows: Ints  # by time, then symbol
    minutes: Ints  # where each minute begins in `rows`; one more at the end
    block: Ints  # by row
    symbol: Ints  # by row


class Edges(NamedTuple):
    """What the bell forbids, by block: rows."""

    enter_until: Ints
    decide_until: Ints
    leave_from: Ints


class Rates(NamedTuple):
    """Regulatory fees of sales, by session."""

    sec: Ints  # hundredths of a USD per million USD
    taf: Ints  # millionths of a USD a share
    taf_cap: Ints  # millionths of a USD an execution


class Rules(NamedTuple):
    """How it is played."""

    size_kind: int
    size: int  # millionths of a share, of a USD or of equity
    spread: int  # 1/10,000 bps; -1: none
    slippage: int  # 1/10,000 bps
    commission: int  # millionths of a USD a share
    commission_min: int  # millionths of a USD an execution
    stop: int  # millionths of the entry's price; 0: none
    target: int  # the same
    allow_short: bool
    cash: int


class Book(NamedTuple):
    """What is known of every symbol while it is played; by symbol."""

    position: Ints  # signed shares
    value: Ints  # of the position at its newest mark
    why: Ints  # the order that waits, or NONE
    change: Ints  # its signed shares
    reference: Ints  # the close it was sized at
    low: Ints  # closes at or under it reach a stop or target
    high: Ints  # closes at or over it do
    stopped: Ints  # the side that protection closed, while its level counts for nothing; 0: none
    stopped_in: Ints  # the session of that


class Done(NamedTuple):
    """What was executed, by execution; and what it did, by session."""

    row: Ints
    change: Ints  # signed shares
    price: Ints
    fee: Ints  # millionths of a USD
    reference: Ints
    gain: Ints  # by session: change of cash and positions, before fees
    fees: Ints  # by session: millionths of a USD


class Slate:
    """The bars of many runs."""

    def __init__(self, bars: pl.DataFrame) -> None:
        """Cut a frame into arrays.

        Args:
            bars: columns of `RAW_SCHEMA`, judged, of the regular session, sorted by (symbol, ts), unique.

        Raises:
            NoBars: there is no row.
            DataError: rows out of order or outside a session, or a price finer than a millionth.
        """
        if bars.height == 0:
            raise NoBars("a screen needs at least one bar")
        self.ts: Ints = bars["ts"].to_physical().to_numpy()
        runs = bars["symbol"].rle().struct.unnest()
        self.symbols: tuple[str, ...] = tuple(runs["value"].to_list())
        starts = np.concatenate(([0], np.cumsum(runs["len"].to_numpy()))).astype(np.int64)
        days = self.ts // DAY_US  # a regular session lies within one UTC day
        is_first = np.empty(len(self.ts), dtype=np.bool_)
        is_first[0], is_first[1:] = True, days[1:] != days[:-1]
        is_first[starts[:-1]] = True
        first = np.flatnonzero(is_first)
        known, session = np.unique(days[first], return_inverse=True)
        self.sessions = tuple(_session(int(day)) for day in known)
        self._check(starts, first, session)
        opens, closes = _millionths(bars["open"]), _millionths(bars["close"])
        marks = _half_even(closes, MILLION // USD)
        self.tape = Tape(
            opens=_half_even(opens, MILLION // USD),
            closes=np.where(closes >= MILLION, _half_even(closes, MICRO_PER_CENT) * CENT, marks),
            marks=marks,
            first=np.append(first, len(self.ts)).astype(np.int64),
            session=session.astype(np.int64),
            blocks=np.searchsorted(first, starts).astype(np.int64),
        )

    def _check(self, starts: Ints, first: Ints, session: Ints) -> None:
        """Refuse what would be played wrongly.

        Raises:
            DataError: names what is wrong.
        """
        if len(set(self.symbols)) < len(self.symbols) or list(self.symbols) != sorted(self.symbols):
            raise DataError("bars are not sorted by symbol")
        later = self.ts[1:] > self.ts[:-1]
        later[starts[1:-1] - 1] = True
        if not later.all():
            row = int(np.flatnonzero(~later)[0]) + 1
            raise DataError(f"bars are not sorted by time, or twice there, at {_instant(self.ts[row])}")
        opens, closes = self._edges(timedelta(0))
        last = np.append(first[1:], len(self.ts)) - 1
        outside = (self.ts[first] < opens[session]) | (self.ts[last] >= closes[session])
        if outside.any():
            row = int(first[np.flatnonzero(outside)[0]])
            raise DataError(f"bars of {_instant(self.ts[row]):%Y-%m-%d} lie outside the regular session")

    def _edges(self, before: timedelta) -> tuple[Ints, Ints]:
        """Give the opens and the instants so long before the closes, by session."""
        opens = [microseconds(hours.opens_at) for hours in self.sessions]
        closes = [microseconds(hours.closes_at - before) for hours in self.sessions]
        return np.array(opens, dtype=np.int64), np.array(closes, dtype=np.int64)

    @cached_property
    def order(self) -> Order:
        """Give the minutes in order, for accounts that couple the symbols."""
        rows = np.argsort(self.ts, kind="stable")  # rows are sorted by symbol already
        ts = self.ts[rows]
        minutes = np.append(np.flatnonzero(np.append(True, ts[1:] != ts[:-1])), len(ts))
        lengths, of_symbol = np.diff(self.tape.first), np.diff(self.tape.first[self.tape.blocks])
        return Order(
            rows=rows.astype(np.int64),
            minutes=minutes.astype(np.int64),
            block=np.repeat(np.arange(len(lengths), dtype=np.int64), lengths),
            symbol=np.repeat(np.arange(len(of_symbol), dtype=np.int64), of_symbol),
        )

    def edges(self, *, close_out: bool, close_out_minutes: int, no_entry_minutes: int) -> Edges:
        """Give what the bell forbids."""
        first, end = self.tape.first[:-1], self.tape.first[1:]
        if not close_out:
            return Edges(enter_until=end, decide_until=end, leave_from=end)
        out = self._rows_before(timedelta(minutes=close_out_minutes), 0)
        # An order is made a minute after the left edge of its bar. An entry whose symbol has no bar between
        # its minute and the close-out would be canceled, so it is not made.
        leave_from = np.maximum(out - 1, first)
        no_entry = self._rows_before(timedelta(minutes=max(no_entry_minutes, close_out_minutes)), MINUTE_US)
        return Edges(
            enter_until=np.minimum(no_entry, leave_from),
            decide_until=self._rows_before(timedelta(minutes=close_out_minutes), MINUTE_US),
            leave_from=leave_from,
        )

    def _rows_before(self, before: timedelta, shift: int) -> Ints:
        """Give, by block, its first row with ts + shift at or after an instant before the bell."""
        tape = self.tape
        bell = self._edges(before)[1][tape.session] - shift
        found = [
            first + np.searchsorted(self.ts[first:end], at)
            for first, end, at in zip(tape.first[:-1].tolist(), tape.first[1:].tolist(), bell, strict=True)
        ]
        return np.array(found, dtype=np.int64)

    def rates(self, *, regulatory: bool) -> Rates:
        """Give the fees of sales by session; zeros where none are taken."""
        days = [hours.session_date for hours in self.sessions]
        if not regulatory:
            nothing = np.zeros(len(days), dtype=np.int64)
            return Rates(nothing, nothing, nothing)
        many = Decimal(MILLION)
        return Rates(
            sec=_whole([sec_fee(qty=many, price=Decimal(1), day=day) * 100 for day in days]),
            taf=_whole([taf_fee(qty=Decimal(1), day=day) * MILLION for day in days]),
            taf_cap=_whole([taf_fee(qty=many * many, day=day) * MILLION for day in days]),
        )

    def targets(self, levels: pl.DataFrame) -> Floats:
        """Give levels by row, NaN where there is no opinion.

        Args:
            levels: symbol, ts and target, sorted by (symbol, ts); of bars of this slate.

        Raises:
            DataError: a level is of no bar.
        """
        found = np.full(len(self.ts), np.nan)
        ts, target = levels["ts"].to_physical().to_numpy(), levels["target"].to_numpy()
        runs = levels["symbol"].rle().struct.unnest()
        starts = self.tape.first[self.tape.blocks]
        places = {symbol: place for place, symbol in enumerate(self.symbols)}
        begin = 0
        for length, symbol in zip(runs["len"].to_list(), runs["value"].to_list(), strict=True):
            if symbol not in places:
                raise DataError(f"levels of {symbol}, which has no bars")
            low, high = starts[places[symbol]], starts[places[symbol] + 1]
            said = ts[begin : begin + length]
            rows = low + _places(self.ts[low:high], said)
            if not np.array_equal(self.ts[np.minimum(rows, high - 1)], said):
                raise DataError(f"levels of {symbol} at minutes without a bar")
            found[rows] = target[begin : begin + length]
            begin += length
        return found


def _places(known: Ints, asked: Ints) -> Ints:
    """Give where the asked instants stand among the known; at once where they are its end."""
    if len(asked) <= len(known) and np.array_equal(known[len(known) - len(asked) :], asked):
        return np.arange(len(known) - len(asked), len(known), dtype=np.int64)
    found: Ints = np.searchsorted(known, asked)
    return found


def _session(day: int) -> SessionHours:
    """Give the session of a day since 1970.

    Raises:
        DataError: there is none.
    """
    at = EPOCH + timedelta(days=day)
    hours = session_hours(at.date())
    if hours is None:
        raise DataError(f"bars of {at:%Y-%m-%d}, which is not a trading day")
    return hours


def _instant(ts: int) -> object:
    return EPOCH + timedelta(microseconds=int(ts))


def _millionths(prices: pl.Series) -> Ints:
    """Give prices in millionths of a USD.

    Raises:
        DataError: a price is not positive, or finer.
    """
    exact = prices.to_numpy() * MILLION
    whole = np.rint(exact)
    wrong = ~((np.abs(exact - whole) < ROUNDING_NOISE) & (exact > 0) & (exact < PRICE_MAX * MILLION))
    if wrong.any():
        value = prices[int(np.flatnonzero(wrong)[0])]
        raise DataError(
            f"the screen takes prices of whole millionths of a USD up to {PRICE_MAX:,} USD, got {value!r}"
        )
    millionths: Ints = whole.astype(np.int64)
    return millionths


def _half_even(values: Ints, step: int) -> Ints:
    """Divide by an even step, rounding half to even."""
    whole, rest = np.divmod(values, step)
    up = (rest > step // 2) | ((rest == step // 2) & (whole % 2 == 1))
    rounded: Ints = whole + up
    return rounded


def _whole(numbers: Sequence[Decimal]) -> Ints:
    """Give numbers that are whole as such."""
    assert all(number == int(number) for number in numbers), (
        "rates have at most the decimals they are kept with"
    )
    return np.array([int(number) for number in numbers], dtype=np.int64)
