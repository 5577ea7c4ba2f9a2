"""The compiled loop of the screen: bars and levels in arrays, executions out.

Theory of operation. A bar is played as the desk plays it: an order that waits executes at the bar's open;
then, at the bar's close, a level, a stop or a target may make the next one. Everything is whole numbers
(desk/research/slate.py says of what), so no last bit decides.

Two loops share every rule. `play_alone` takes the symbols one after another and is the fast one. A size that
is a share of equity couples the symbols through the account, so `play_together` goes through the minutes.
Most bars do nothing, and cost the few comparisons of `is_idle`.

Functions are compiled when the first of them is asked for (`compiled`): importing numba takes half a second,
which who plays nothing need not wait. What is compiled is kept beside this file, or not at all where nothing
can be written there. numba looks at this one file to tell whether what it kept is still true, so all that the
functions depend on, layout and constants too, is here: that is why the module is long.

Arrays are handed on one by one: numba counts references to an array each time it is taken out of a tuple,
which in the inner loop would cost a hundred times the work.
"""

from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Rule = TypeVar("Rule", bound=Callable[..., Any])

MILLION = 1_000_000
USD = 10_000  # prices: units in a dollar
CENT = 100
MICRO = 100  # millionths of a USD in a unit of price
BPS_UNITS = 100_000_000  # spreads and slippage are in 1/10,000 of a basis point
FAR = 1 << 62  # a price no close reaches

# What a size is counted in.
SHARES, NOTIONAL, EQUITY = 0, 1, 2
# Why an order waits.
NONE, ENTRY, LEVEL, PROTECTION = 0, 1, 2, 3
ALMOST_FLAT = 1e-6  # a level nearer to zero may be zero in millionths


class BlockColumns(NamedTuple):
    """What is known of a block: one symbol's bars of one session."""

    FIRST: int = 0  # rows [FIRST, END)
    END: int = 1
    SYMBOL: int = 2
    SESSION: int = 3
    ENTER_UNTIL: int = 4  # rows: what the bell forbids
    LEAVE_FROM: int = 5
    OUT: int = 6  # the row that opens when the close-out begins; -1: there is none


class SessionColumns(NamedTuple):
    """What is known of a session, and what came of it."""

    SEC: int = 0  # of sales: hundredths of a USD per million USD
    TAF: int = 1  # millionths of a USD a share sold
    TAF_CAP: int = 2  # millionths of a USD an execution
    GAIN: int = 3  # written: change of cash and positions before fees, in units of price
    FEES: int = 4  # written: millionths of a USD


class BookColumns(NamedTuple):
    """What is known of a symbol while it is played."""

    POSITION: int = 0  # signed shares
    WHY: int = 1  # the order that waits, if any
    CHANGE: int = 2  # its signed shares
    REFERENCE: int = 3  # the close it was sized at
    LOW: int = 4  # closes at or under it reach a stop or target
    HIGH: int = 5  # closes at or over it do
    STOPPED: int = 6  # the side that protection closed, while its level counts for nothing; 0: none
    STOPPED_IN: int = 7  # the session of that
    WORTH: int = 8  # of the position at the end of its last session
    CLOSE: int = 9  # its newest, where the symbols share an account


class DoneColumns(NamedTuple):
    """An execution."""

    ROW: int = 0
    CHANGE: int = 1  # signed shares
    PRICE: int = 2
    FEE: int = 3  # millionths of a USD
    REFERENCE: int = 4


BLOCK, SESSION, BOOK, DONE = BlockColumns(), SessionColumns(), BookColumns(), DoneColumns()
B, S, K, D = BLOCK, SESSION, BOOK, DONE  # as the functions below write them


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
    cash: int  # millionths of a USD


def price_of(opened: int, buys: bool, rules: Rules) -> int:
    """Give what a share costs: the open and half the spread and the slippage, to the tick, against us."""
    if rules.spread < 0 and rules.slippage == 0:
        return opened
    tick = CENT if opened >= USD else 1
    twice = 2 * opened * rules.slippage
    if rules.spread >= 0:
        twice += max(opened * rules.spread, tick * BPS_UNITS)
    exact, step = 2 * opened * BPS_UNITS, 2 * BPS_UNITS * tick
    if buys:
        return -(-(exact + twice) // step) * tick
    return max((exact - twice) // step * tick, tick)


def fee_of(change: int, price: int, sec: int, taf: int, taf_cap: int, rules: Rules) -> int:
    """Give an execution's fees: SEC and TAF of a sale, rounded up, and the commission."""
    fee, qty = 0, abs(change)
    if change < 0:
        exact = qty * price * sec + MILLION * min(qty * taf, taf_cap)
        fee = -(-exact // MILLION)
    if rules.commission > 0:
        fee += max(qty * rules.commission, rules.commission_min)
    return fee


def part_of(amount: int, part: int) -> int:
    """Give amount x part / 10^12, rounded down; exact, though the product would not fit 64 bits."""
    high, low = amount // MILLION, amount % MILLION
    whole, rest = part // MILLION, part % MILLION
    return high * whole + (high * rest + low * whole + low * rest // MILLION) // MILLION


def shares_of(strength: int, close: int, equity: int, rules: Rules) -> int:
    """Give the whole shares of an entry at a level's strength."""
    if rules.size_kind == EQUITY:
        return part_of(max(equity, 0), rules.size * strength) // (close * MICRO)
    one_share = close * MICRO if rules.size_kind == NOTIONAL else MILLION
    return part_of(rules.size, strength * MILLION) // one_share


def near_of(price: int, position: int, rules: Rules) -> tuple[int, int]:
    """Give the closes at or under and at or over which a position is left by protection."""
    below, above = (rules.stop, rules.target) if position > 0 else (rules.target, rules.stop)
    low = tick_of(price * (MILLION - below), position > 0) if below > 0 else -1
    high = tick_of(price * (MILLION + above), position > 0) if above > 0 else FAR
    return low, high


def tick_of(exact: int, up: bool) -> int:
    """Round millionths of a money unit to the tick."""
    tick = CENT if exact >= USD * MILLION else 1
    step = tick * MILLION
    return -(-exact // step) * tick if up else exact // step * tick


def level_of(target: float) -> int:
    """Give a level in millionths."""
    return np.int64(np.rint(target * MILLION))  # type: ignore[return-value]  # an int to numba


def is_idle(target: float, position: int, close: int, low: int, high: int, stopped: int) -> bool:
    """Tell whether nothing happens at a close, the bell left aside; NaN, no opinion, is less than nothing."""
    if position == 0:
        return not (abs(target) > 0.0 or (target == 0.0 and stopped != 0))
    if close <= low or close >= high:
        return False
    return not (target <= ALMOST_FLAT if position > 0 else target >= -ALMOST_FLAT)


def execute(
    row: int,
    opened: int,
    symbol: int,
    session: int,
    count: int,
    rules: Rules,
    book: Ints,
    sessions: Ints,
    done: Ints,
) -> int:
    """Execute a symbol's order at a bar's open, as number `count`; give what it takes of cash."""
    change, before = book[symbol, K.CHANGE], book[symbol, K.POSITION]
    price = price_of(opened, change > 0, rules)
    rates = sessions[session, S.SEC], sessions[session, S.TAF], sessions[session, S.TAF_CAP]
    fee = fee_of(change, price, rates[0], rates[1], rates[2], rules)
    done[count, D.ROW], done[count, D.CHANGE], done[count, D.PRICE] = row, change, price
    done[count, D.FEE], done[count, D.REFERENCE] = fee, book[symbol, K.REFERENCE]
    book[symbol, K.STOPPED], book[symbol, K.STOPPED_IN] = 0, session
    if book[symbol, K.WHY] == PROTECTION:
        book[symbol, K.STOPPED] = 1 if before > 0 else -1
    book[symbol, K.WHY] = NONE
    book[symbol, K.POSITION] = before + change
    if before + change != 0:
        book[symbol, K.LOW], book[symbol, K.HIGH] = near_of(price, before + change, rules)
    sessions[session, S.FEES] += fee
    sessions[session, S.GAIN] -= change * price
    taken: int = change * price * MICRO + fee
    return taken


def look(
    row: int,
    target: float,
    close: int,
    equity: int,
    symbol: int,
    block: int,
    rules: Rules,
    blocks: Ints,
    book: Ints,
) -> None:
    """Make a symbol's order at a bar's close, if there is a reason for one."""
    position = book[symbol, K.POSITION]
    known = target == target  # NaN, no opinion, is not itself
    if position != 0:
        why = NONE
        if known and level_of(target) * position <= 0:
            why = LEVEL
        elif close <= book[symbol, K.LOW] or close >= book[symbol, K.HIGH]:
            why = PROTECTION
        elif row >= blocks[block, B.LEAVE_FROM]:
            why = LEVEL
        if why != NONE:
            book[symbol, K.WHY], book[symbol, K.CHANGE], book[symbol, K.REFERENCE] = why, -position, close
        return
    if not known:
        return
    level = level_of(target)
    if book[symbol, K.STOPPED] != 0 and book[symbol, K.STOPPED_IN] == blocks[block, B.SESSION]:
        if level * book[symbol, K.STOPPED] > 0:
            return
        book[symbol, K.STOPPED] = 0
    if level == 0 or row >= blocks[block, B.ENTER_UNTIL] or (level < 0 and not rules.allow_short):
        return
    qty = shares_of(abs(level), close, equity, rules)
    if qty > 0:
        book[symbol, K.WHY], book[symbol, K.REFERENCE] = ENTRY, close
        book[symbol, K.CHANGE] = qty if level > 0 else -qty


def turns(row: int, symbol: int, close: int, block: int, blocks: Ints, book: Ints) -> bool:
    """Order the exit of what an entry has just opened when the close-out begins; tell whether it did."""
    position = book[symbol, K.POSITION]
    if row != blocks[block, B.OUT] or position == 0:
        return False
    book[symbol, K.WHY], book[symbol, K.CHANGE], book[symbol, K.REFERENCE] = LEVEL, -position, close
    return True


def revalue(symbol: int, session: int, close: int, book: Ints, sessions: Ints) -> None:
    """Book what a position's worth changed by up to the end of a session."""
    worth = book[symbol, K.POSITION] * close
    sessions[session, S.GAIN] += worth - book[symbol, K.WORTH]
    book[symbol, K.WORTH] = worth


def equity_of(cash: int, book: Ints) -> int:
    """Give cash and positions at their newest closes, millionths of a USD."""
    for symbol in range(len(book)):
        cash += book[symbol, K.POSITION] * book[symbol, K.CLOSE] * MICRO
    return cash


def look_around(
    begin: int,
    end: int,
    cash: int,
    rows: Ints,
    block_of: Ints,
    targets: Floats,
    closes: Ints,
    rules: Rules,
    blocks: Ints,
    book: Ints,
) -> None:
    """Look at all bars of a minute, with the equity of the moment."""
    equity = -1  # known when somebody asks
    for place in range(begin, end):
        row, block = rows[place], block_of[rows[place]]
        symbol = blocks[block, B.SYMBOL]
        position, stopped = book[symbol, K.POSITION], book[symbol, K.STOPPED]
        low, high = book[symbol, K.LOW], book[symbol, K.HIGH]
        leaves = row >= blocks[block, B.LEAVE_FROM]
        if not leaves and is_idle(targets[row], position, closes[row], low, high, stopped):
            continue
        if position == 0 and equity < 0:
            equity = max(equity_of(cash, book), 0)
        look(row, targets[row], closes[row], equity, symbol, block, rules, blocks, book)


def spread(known: Ints, levels: Floats, asked: Ints, targets: Floats) -> int:
    """Write a symbol's levels to the rows of their minutes; give how many, up to the first without a row.

    Args:
        known: the minutes of the rows, in order.
        levels: by row; written.
        asked: the minutes of the levels, in order.
        targets: the levels.
    """
    row = 0
    for place in range(len(asked)):
        while row < len(known) and known[row] < asked[place]:
            row += 1
        if row == len(known) or known[row] != asked[place]:
            return place
        levels[row] = targets[place]
    return len(asked)


def play_alone(
    opens: Ints,
    closes: Ints,
    targets: Floats,
    rules: Rules,
    blocks: Ints,
    sessions: Ints,
    book: Ints,
    done: Ints,
) -> int:
    """Play symbol after symbol; give the number of executions.

    Args:
        opens: by row: what an order executes at.
        closes: by row: what sizes and stops look at, and what positions are worth.
        targets: by row; NaN where there is no opinion.
        rules: how it is played; not a size that is a share of equity.
        blocks: by block, columns of `Block`.
        sessions: by session, columns of `Session`; gains and fees are zero, and written.
        book: by symbol, columns of `Book`; all zero, and written.
        done: by execution, columns of `Done`; written.
    """
    count = 0
    for block in range(len(blocks)):
        symbol, session = blocks[block, B.SYMBOL], blocks[block, B.SESSION]
        begin, end, leave_from = blocks[block, B.FIRST], blocks[block, B.END], blocks[block, B.LEAVE_FROM]
        why, position, stopped = book[symbol, K.WHY], book[symbol, K.POSITION], book[symbol, K.STOPPED]
        low, high = book[symbol, K.LOW], book[symbol, K.HIGH]
        if leave_from < end:
            why = book[symbol, K.WHY] = NONE  # what was ordered for the day before ended at its bell
        for row in range(begin, end):
            if why != NONE:
                execute(row, opens[row], symbol, session, count, rules, book, sessions, done)
                count += 1
                if turns(row, symbol, closes[row - 1], block, blocks, book):
                    execute(row, opens[row], symbol, session, count, rules, book, sessions, done)
                    count += 1
                why, position, stopped = NONE, book[symbol, K.POSITION], book[symbol, K.STOPPED]
                low, high = book[symbol, K.LOW], book[symbol, K.HIGH]
            if row < leave_from and is_idle(targets[row], position, closes[row], low, high, stopped):
                continue
            look(row, targets[row], closes[row], 0, symbol, block, rules, blocks, book)
            why, stopped = book[symbol, K.WHY], book[symbol, K.STOPPED]
        revalue(symbol, session, closes[end - 1], book, sessions)
    return count


def play_together(
    opens: Ints,
    closes: Ints,
    targets: Floats,
    rules: Rules,
    blocks: Ints,
    sessions: Ints,
    book: Ints,
    done: Ints,
    rows: Ints,
    minutes: Ints,
    follows: Ints,
    block_of: Ints,
) -> int:
    """Play minute after minute, all symbols of one account; give the number of executions.

    Args:
        opens: as for `play_alone`, and so on to `done`.
        closes: the same.
        targets: the same.
        rules: the same; of any size.
        blocks: the same.
        sessions: the same.
        book: the same.
        done: the same.
        rows: by time, then symbol.
        minutes: where each minute begins in `rows`; one more at the end.
        follows: by minute: whether it begins when the one before it ends.
        block_of: by row.
    """
    count, cash, last = 0, rules.cash, len(minutes) - 2
    for minute in range(last + 1):
        begin, end = minutes[minute], minutes[minute + 1]
        # Orders that waited execute; then the minute before is looked at; then what was made executes too.
        for again in range(1 + follows[minute]):
            if again == 1:
                before = minutes[minute - 1]
                look_around(before, begin, cash, rows, block_of, targets, closes, rules, blocks, book)
            for place in range(begin, end):
                row, block = rows[place], block_of[rows[place]]
                symbol, session = blocks[block, B.SYMBOL], blocks[block, B.SESSION]
                if row == blocks[block, B.FIRST] and blocks[block, B.LEAVE_FROM] < blocks[block, B.END]:
                    book[symbol, K.WHY] = NONE  # what was ordered for the day before ended at its bell
                if book[symbol, K.WHY] == NONE:
                    continue
                cash -= execute(row, opens[row], symbol, session, count, rules, book, sessions, done)
                count += 1
                if turns(row, symbol, closes[row - 1], block, blocks, book):
                    cash -= execute(row, opens[row], symbol, session, count, rules, book, sessions, done)
                    count += 1
        for place in range(begin, end):
            row, block = rows[place], block_of[rows[place]]
            symbol = blocks[block, B.SYMBOL]
            book[symbol, K.CLOSE] = closes[row]
            if row + 1 == blocks[block, B.END]:
                revalue(symbol, blocks[block, B.SESSION], closes[row], book, sessions)
        if minute == last or follows[minute + 1] == 0:
            look_around(begin, end, cash, rows, block_of, targets, closes, rules, blocks, book)
    return count


_COMPILABLE = (
    "price_of",
    "fee_of",
    "part_of",
    "shares_of",
    "near_of",
    "tick_of",
    "level_of",
    "is_idle",
    "execute",
    "look",
    "turns",
    "revalue",
    "equity_of",
    "look_around",
    "spread",
    "play_alone",
    "play_together",
)
_COMPILED: dict[str, Callable[..., Any]] = {}
_COMPILING = Lock()  # tasks/kernel_warmth.py comes from another thread


def compiled(rule: Rule) -> Rule:
    """Give a function of this module compiled; the first call compiles them all, when each is first used."""
    with _COMPILING:
        if rule.__name__ not in _COMPILED:
            import numba

            for name in _COMPILABLE:
                # Each finds the others by their names here: compiled they take the places of the plain ones.
                globals()[name] = _COMPILED[name] = _kept(numba.njit, globals()[name])
    return cast(Rule, _COMPILED[rule.__name__])


def _kept(njit: Callable[..., Any], rule: Callable[..., Any]) -> Callable[..., Any]:
    """Have a function compiled at its first use, and the result kept where that is possible."""
    try:
        return cast(Callable[..., Any], njit(cache=True)(rule))
    except RuntimeError:  # numba's word for: neither this folder nor the user's cache can be written
        return cast(Callable[..., Any], njit(rule))
