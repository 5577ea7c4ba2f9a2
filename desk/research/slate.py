"""Bars and rules as the screen's kernel reads them: whole numbers in arrays, made once for many runs.

Theory of operation. Prices are in 1/10,000 USD (the step of the venue's tape), money in millionths of a USD,
shares whole; what is a fraction (levels, stops, sizes) in millionths. Bars lie symbol
after symbol, each symbol's in order of time, cut into blocks of one symbol and session; a row is a bar's
place in that order. What the bell forbids is two rows of each block: from `enter_until` on nothing is opened,
and from `leave_from` on what is held is closed; where there is such a row, orders stand for the day.

Left out: prices finer than a millionth of a dollar, which have no place here and are refused by name.
"""

from datetime import timedelta
from decimal import Decimal
from functools import cached_property

import numpy as np
import polars as pl

from desk.errors import DataError, NoBars
from desk.fees import sec_fee, taf_fee
from desk.hours import session_hours
from desk.research.kernel import BLOCK, CENT, MICRO, MILLION, SESSION, Floats, Ints, compiled, spread
from desk.tape import EPOCH, MINUTE_US, microseconds
from schemas.account import SessionHours

DAY_US = 24 * 60 * MINUTE_US
PRICE_MAX = 1_000_000  # USD a share; with it, every product of the kernel stays within 64 bits
ROUNDING_NOISE = 1e-2  # of a millionth: what a float of six decimals may be off by


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
        self.opens = _half_even(opens, MICRO)  # what an order executes at
        # At the nearest tick: what sizes and stops look at, and what positions are worth.
        in_cents = _half_even(closes, CENT * MICRO) * CENT
        self.closes: Ints = np.where(closes >= MILLION, in_cents, _half_even(closes, MICRO))
        self.starts = starts  # by symbol: its first row; one more at the end
        self.first: Ints = first  # by block: its first row
        self.end: Ints = np.append(first[1:], len(self.ts))
        self.session: Ints = session  # by block

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
    def minutes(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Give rows by time, then symbol; where each minute begins in them, one more at the end.

        And whether a minute begins when the one before it in the array ends; and the block of each row.
        """
        rows = np.argsort(self.ts, kind="stable")  # rows are sorted by symbol already
        ts = self.ts[rows]
        begins = np.append(np.flatnonzero(np.append(True, ts[1:] != ts[:-1])), len(ts))
        follows = np.append(0, np.diff(ts[begins[:-1]]) == MINUTE_US)
        return rows, begins, follows, np.repeat(np.arange(len(self.first)), self.end - self.first)

    def blocks(self, *, close_out: bool, close_out_minutes: int, no_entry_minutes: int) -> Ints:
        """Give the blocks with what the bell forbids; columns of `BLOCK`."""
        made = np.empty((len(self.first), len(BLOCK)), dtype=np.int64)
        made[:, BLOCK.FIRST], made[:, BLOCK.END] = self.first, self.end
        made[:, BLOCK.SYMBOL] = np.searchsorted(self.starts, self.first, side="right") - 1
        made[:, BLOCK.SESSION] = self.session
        made[:, BLOCK.ENTER_UNTIL :] = self.end[:, np.newaxis]
        made[:, BLOCK.OUT] = -1
        if close_out:
            # An order is made a minute after the left edge of its bar. An entry whose symbol has no bar
            # between its minute and the close-out would be canceled, so it is not made; but one that meets
            # the open of the close-out's very minute executes first.
            out = self._rows_before(timedelta(minutes=close_out_minutes), 0)
            bells = self._edges(timedelta(minutes=close_out_minutes))[1][self.session]
            is_met = (out < self.end) & (self.ts[np.minimum(out, self.end - 1)] == bells)
            leave_from = np.maximum(out - 1, self.first)
            until = max(no_entry_minutes, close_out_minutes)
            no_entry = self._rows_before(timedelta(minutes=until), MINUTE_US)
            made[:, BLOCK.ENTER_UNTIL] = np.minimum(no_entry, np.where(is_met, out, leave_from))
            made[:, BLOCK.LEAVE_FROM] = leave_from
            made[:, BLOCK.OUT] = np.where(is_met, out, -1)
        return made

    def _rows_before(self, before: timedelta, shift: int) -> Ints:
        """Give, by block, its first row with ts + shift at or after an instant before the bell."""
        bells = (self._edges(before)[1][self.session] - shift).tolist()
        spans = zip(self.first.tolist(), self.end.tolist(), bells, strict=True)
        return np.array([low + np.searchsorted(self.ts[low:high], bell) for low, high, bell in spans])

    def fees(self, *, regulatory: bool) -> Ints:
        """Give the sessions with the fees of sales, zeros where none are taken; columns of `SESSION`."""
        made = np.zeros((len(self.sessions), len(SESSION)), dtype=np.int64)
        if regulatory:
            many, one = Decimal(MILLION), Decimal(1)
            for place, hours in enumerate(self.sessions):
                day = hours.session_date
                made[place, SESSION.SEC] = _whole(sec_fee(qty=many, price=one, day=day) * 100)
                made[place, SESSION.TAF] = _whole(taf_fee(qty=one, day=day) * MILLION)
                made[place, SESSION.TAF_CAP] = _whole(taf_fee(qty=many * many, day=day) * MILLION)
        return made

    def targets(self, levels: pl.DataFrame) -> Floats:
        """Give levels by row, NaN where there is no opinion.

        Args:
            levels: symbol, ts and target, sorted by (symbol, ts); of bars of this slate.

        Raises:
            DataError: a level is of no bar.
        """
        write, found = compiled(spread), np.full(len(self.ts), np.nan)
        ts, target = levels["ts"].to_physical().to_numpy(), levels["target"].to_numpy()
        runs = levels["symbol"].rle().struct.unnest()
        places = {symbol: place for place, symbol in enumerate(self.symbols)}
        begin = 0
        for length, symbol in zip(runs["len"].to_list(), runs["value"].to_list(), strict=True):
            if symbol not in places:
                raise DataError(f"levels of {symbol}, which has no bars")
            low, high = self.starts[places[symbol]], self.starts[places[symbol] + 1]
            end = begin + length
            count = write(self.ts[low:high], found[low:high], ts[begin:end], target[begin:end])
            if count < length:
                raise DataError(f"levels of {symbol} at minutes without a bar, or not in order")
            begin = end
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


def _whole(number: Decimal) -> int:
    """Give a number that is whole as such."""
    assert number == int(number), "rates have at most the decimals they are kept with"
    return int(number)
