"""The compiled loop of the screen: bars and levels in arrays, executions out.

Theory of operation. A bar is played as the desk plays it: an order that waits executes at the bar's open;
then, at the bar's close, a level, a stop or a target may make the next one. Everything is whole numbers
(desk/research/slate.py says of what), so no last bit decides.

Two loops share every rule. `play_alone` takes the symbols one after another and is the fast one. A size that
is a share of equity couples the symbols through the account, so `play_together` goes through the minutes.

Importing this module imports numba, which takes half a second: only `desk/research/screen.py` does, when it
plays. Functions are compiled at their first call and kept beside this file, or not at all where nothing can
be written there.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np

from desk.research.slate import (
    BPS_UNITS,
    CENT,
    EQUITY,
    FAR,
    MICRO_PER_CENT,
    MILLION,
    NOTIONAL,
    USD,
    Book,
    Done,
    Edges,
    Floats,
    Order,
    Rates,
    Rules,
    Tape,
)

Rule = TypeVar("Rule", bound=Callable[..., object])

# Why an order waits.
NONE, ENTRY, LEVEL, PROTECTION = 0, 1, 2, 3
EQUITY_OVERFLOW = -1  # instead of a number of executions: equity x size does not fit 64 bits


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
def fee_of(change: int, price: int, session: int, rates: Rates, rules: Rules) -> int:
    """Give an execution's fees: SEC and TAF of a sale, rounded up, and the commission."""
    fee, qty = 0, abs(change)
    if change < 0:
        exact = qty * price * rates.sec[session] + MILLION * min(
            qty * rates.taf[session], rates.taf_cap[session]
        )
        fee = -(-exact // MILLION)
    if rules.commission > 0:
        fee += max(qty * rules.commission, rules.commission_min)
    return fee


@compiled
def shares_of(strength: int, close: int, equity: int, rules: Rules) -> int:
    """Give the whole shares of an entry at a level's strength; each product stays within 64 bits."""
    amount, one_share = rules.size, MILLION
    if rules.size_kind == NOTIONAL:
        one_share = close * (MILLION // USD)
    elif rules.size_kind == EQUITY:
        amount, one_share = max(equity, 0) * rules.size, close * MILLION
    whole, rest = amount // MILLION, amount % MILLION
    return (whole * strength + rest * strength // MILLION) // one_share


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
def execute(
    row: int,
    symbol: int,
    session: int,
    count: int,
    tape: Tape,
    rates: Rates,
    rules: Rules,
    book: Book,
    done: Done,
) -> int:
    """Execute a symbol's order at a bar's open, as number `count`; give what it takes from cash."""
    change, before = book.change[symbol], book.position[symbol]
    price = price_of(tape.opens[row], change > 0, rules)
    fee = fee_of(change, price, session, rates, rules)
    done.row[count], done.change[count], done.price[count] = row, change, price
    done.fee[count], done.reference[count] = fee, book.reference[symbol]
    done.fees[session] += fee
    book.stopped[symbol], book.stopped_in[symbol] = 0, session
    if book.why[symbol] == PROTECTION:
        book.stopped[symbol] = 1 if before > 0 else -1
    book.why[symbol] = NONE
    book.position[symbol] = before + change
    if before + change != 0:
        book.low[symbol], book.high[symbol] = near_of(price, before + change, rules)
    taken: int = change * price
    return taken


@compiled
def look(
    row: int,
    symbol: int,
    block: int,
    target: float,
    equity: int,
    tape: Tape,
    edges: Edges,
    rules: Rules,
    book: Book,
) -> None:
    """Make a symbol's order at a bar's close, if there is a reason for one."""
    position, close = book.position[symbol], tape.closes[row]
    known = target == target  # NaN, no opinion, is not itself
    looks = row < edges.decide_until[block]
    if position != 0:
        why = NONE
        if looks and known and level_of(target) * position <= 0:
            why = LEVEL
        elif looks and (close <= book.low[symbol] or close >= book.high[symbol]):
            why = PROTECTION
        elif row >= edges.leave_from[block]:
            why = LEVEL
        if why != NONE:
            book.why[symbol], book.change[symbol], book.reference[symbol] = why, -position, close
        return
    if not looks or not known:
        return
    level = level_of(target)
    if book.stopped[symbol] != 0 and book.stopped_in[symbol] == tape.session[block]:
        if level * book.stopped[symbol] > 0:
            return
        book.stopped[symbol] = 0
    if level == 0 or row >= edges.enter_until[block] or (level < 0 and not rules.allow_short):
        return
    qty = shares_of(abs(level), close, equity, rules)
    if qty > 0:
        book.why[symbol], book.reference[symbol] = ENTRY, close
        book.change[symbol] = qty if level > 0 else -qty


@compiled
def play_alone(
    tape: Tape, edges: Edges, rates: Rates, rules: Rules, targets: Floats, book: Book, done: Done
) -> int:
    """Play symbol after symbol; give the number of executions.

    Args:
        tape: the bars.
        edges: what the bell forbids.
        rates: fees by session.
        rules: how it is played; not a size that is a share of equity.
        targets: by row; NaN where there is no opinion.
        book: of every symbol, all zero; written.
        done: written; `gain` and `fees` begin at zero.
    """
    count = 0
    for symbol in range(len(tape.blocks) - 1):
        cash, worth = 0, 0
        for block in range(tape.blocks[symbol], tape.blocks[symbol + 1]):
            session = tape.session[block]
            for row in range(tape.first[block], tape.first[block + 1]):
                if book.why[symbol] != NONE:
                    cash -= execute(row, symbol, session, count, tape, rates, rules, book, done)
                    count += 1
                look(row, symbol, block, targets[row], 0, tape, edges, rules, book)
            now = cash + book.position[symbol] * tape.marks[tape.first[block + 1] - 1]
            done.gain[session] += now - worth
            worth = now
    return count


@compiled
def play_together(
    tape: Tape,
    order: Order,
    edges: Edges,
    rates: Rates,
    rules: Rules,
    targets: Floats,
    book: Book,
    done: Done,
) -> int:
    """Play minute after minute, all symbols of one account; give the number of executions.

    Args:
        tape: the bars.
        order: the minutes.
        edges: what the bell forbids.
        rates: fees by session.
        rules: how it is played.
        targets: by row; NaN where there is no opinion.
        book: of every symbol, all zero; written.
        done: written; `gain` and `fees` begin at zero.
    """
    count, cash, gross, worth, session = 0, rules.cash, 0, rules.cash, -1
    room = FAR // rules.size  # what equity times the size may come to
    for minute in range(len(order.minutes) - 1):
        begin, end = order.minutes[minute], order.minutes[minute + 1]
        now = tape.session[order.block[order.rows[begin]]]
        if now != session:
            if session >= 0:
                done.gain[session] = cash + gross - worth
                # A session's fees leave cash at its end, rounded up to the cent.
                cash -= -(-done.fees[session] // MICRO_PER_CENT) * CENT
                worth = cash + gross
            session = now
        for place in range(begin, end):
            row = order.rows[place]
            symbol = order.symbol[row]
            if book.why[symbol] != NONE:
                cash -= execute(row, symbol, session, count, tape, rates, rules, book, done)
                count += 1
            value = book.position[symbol] * tape.marks[row]
            gross += value - book.value[symbol]
            book.value[symbol] = value
        if cash + gross > room:
            return EQUITY_OVERFLOW
        for place in range(begin, end):
            row = order.rows[place]
            symbol, block = order.symbol[row], order.block[row]
            look(row, symbol, block, targets[row], cash + gross, tape, edges, rules, book)
    if session >= 0:
        done.gain[session] = cash + gross - worth
    return count
