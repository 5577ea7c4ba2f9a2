"""The compiled loop of the screen: bars and levels in arrays, executions out.

Theory of operation. A bar is played as the desk plays it: an order that waits executes at the bar's open;
then, at the bar's close, a level, a stop or a target may make the next one. Everything is whole numbers
(desk/research/slate.py says of what), so no last bit decides.

Two loops share every rule. `play_alone` takes the symbols one after another and is the fast one. A size that
is a share of equity couples the symbols through the account, so `play_together` goes through the minutes.
Most bars do nothing, and cost the few comparisons of `is_idle`.

Importing this module imports numba, which takes half a second: only `desk/research/screen.py` does, when it
plays. Functions are compiled at their first call and kept beside this file, or not at all where nothing can
be written there. Arrays are handed on one by one: numba counts references to an array each time it is taken
out of a tuple, which in the inner loop would cost a hundred times the work.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np

from desk.research.slate import BLOCK as B
from desk.research.slate import BOOK as K
from desk.research.slate import (
    BPS_UNITS,
    CENT,
    EQUITY,
    FAR,
    MICRO,
    MILLION,
    NOTIONAL,
    USD,
    Floats,
    Ints,
    Rules,
)
from desk.research.slate import DONE as D
from desk.research.slate import SESSION as S

Rule = TypeVar("Rule", bound=Callable[..., object])

# Why an order waits.
NONE, ENTRY, LEVEL, PROTECTION = 0, 1, 2, 3
ALMOST_FLAT = 1e-6  # a level nearer to zero may be zero in millionths


def compiled(rule: Rule) -> Rule:
    """Have numba compile a function at its first call, and keep the result where that is possible."""
    try:
        return cast(Rule, numba.njit(cache=True)(rule))
    except RuntimeError:  # numba's word for: neither this folder nor the user's cache can be written
        return cast(Rule, numba.njit(rule))


@compiled
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


@compiled
def fee_of(change: int, price: int, sec: int, taf: int, taf_cap: int, rules: Rules) -> int:
    """Give an execution's fees: SEC and TAF of a sale, rounded up, and the commission."""
    fee, qty = 0, abs(change)
    if change < 0:
        exact = qty * price * sec + MILLION * min(qty * taf, taf_cap)
        fee = -(-exact // MILLION)
    if rules.commission > 0:
        fee += max(qty * rules.commission, rules.commission_min)
    return fee


@compiled
def part_of(amount: int, part: int) -> int:
    """Give amount x part / 10^12, rounded down; exact, though the product would not fit 64 bits."""
    high, low = amount // MILLION, amount % MILLION
    whole, rest = part // MILLION, part % MILLION
    return high * whole + (high * rest + low * whole + low * rest // MILLION) // MILLION


@compiled
def shares_of(strength: int, close: int, equity: int, rules: Rules) -> int:
    """Give the whole shares of an entry at a level's strength."""
    if rules.size_kind == EQUITY:
        return part_of(max(equity, 0), rules.size * strength) // (close * MICRO)
    one_share = close * MICRO if rules.size_kind == NOTIONAL else MILLION
    return part_of(rules.size, strength * MILLION) // one_share


@compiled
def near_of(price: int, position: int, rules: Rules) -> tuple[int, int]:
    """Give the closes at or under and at or over which a position is left by protection."""
    below, above = (rules.stop, rules.target) if position > 0 else (rules.target, rules.stop)
    low = tick_of(price * (MILLION - below), position > 0) if below > 0 else -1
    high = tick_of(price * (MILLION + above), position > 0) if above > 0 else FAR
    return low, high


@compiled
def tick_of(exact: int, up: bool) -> int:
    """Round millionths of a money unit to the tick."""
    tick = CENT if exact >= USD * MILLION else 1
    step = tick * MILLION
    return -(-exact // step) * tick if up else exact // step * tick


@compiled
def level_of(target: float) -> int:
    """Give a level in millionths."""
    return np.int64(np.rint(target * MILLION))  # type: ignore[return-value]  # an int to numba


@compiled
def is_idle(target: float, position: int, close: int, low: int, high: int, stopped: int) -> bool:
    """Tell whether nothing happens at a close, the bell left aside; NaN, no opinion, is less than nothing."""
    if position == 0:
        return not (abs(target) > 0.0 or (target == 0.0 and stopped != 0))
    if close <= low or close >= high:
        return False
    return not (target <= ALMOST_FLAT if position > 0 else target >= -ALMOST_FLAT)


@compiled
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


@compiled
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


@compiled
def turns(row: int, symbol: int, close: int, block: int, blocks: Ints, book: Ints) -> bool:
    """Order the exit of what an entry has just opened when the close-out begins; tell whether it did."""
    position = book[symbol, K.POSITION]
    if row != blocks[block, B.OUT] or position == 0:
        return False
    book[symbol, K.WHY], book[symbol, K.CHANGE], book[symbol, K.REFERENCE] = LEVEL, -position, close
    return True


@compiled
def revalue(symbol: int, session: int, close: int, book: Ints, sessions: Ints) -> None:
    """Book what a position's worth changed by up to the end of a session."""
    worth = book[symbol, K.POSITION] * close
    sessions[session, S.GAIN] += worth - book[symbol, K.WORTH]
    book[symbol, K.WORTH] = worth


@compiled
def equity_of(cash: int, book: Ints) -> int:
    """Give cash and positions at their newest closes, millionths of a USD."""
    for symbol in range(len(book)):
        cash += book[symbol, K.POSITION] * book[symbol, K.CLOSE] * MICRO
    return cash


@compiled
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


@compiled
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


@compiled
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


@compiled
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
