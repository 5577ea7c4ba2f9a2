"""What reversion strategies share: enter far from a middle, leave when back at it.

    long  (1)  where it is far below
    short (-1) where it is far above      (only with allow_short)
    flat  (0)  where it is above the middle; with allow_short, where it is back at the middle from the side of
               the session's last entry, and before there was one

Elsewhere there is no opinion, so a position stays until the middle is passed. What far and middle mean is
each strategy's own.
"""

import polars as pl

from strategies.indicators import above


def reverting(
    *, value: pl.Expr, middle: pl.Expr | float, low: pl.Expr, high: pl.Expr, allow_short: bool
) -> pl.Expr:
    """Give the target by the module's rules, null where there is no opinion; needs `session`.

    Args:
        value: What reverts: a price, an index.
        middle: Where it reverts to.
        low: Where it is far below.
        high: Where it is far above.
        allow_short: Whether far above is an entry too.
    """
    over = above(value, middle)
    entered = pl.when(low).then(1.0)
    if not allow_short:
        return entered.when(over).then(0.0)
    entry = pl.when(low).then(1).when(high).then(-1).forward_fill().over("session")
    back = entry.is_null() | ((entry == 1) & over) | ((entry == -1) & above(middle, value))
    return entered.when(high).then(-1.0).when(back).then(0.0)
