"""What a person should know before believing a backtest, in plain sentences.

Theory of operation. Each rule looks at numbers that are there and says what it saw, with the limit it is
compared to. None of them proves anything: they name the commonest reasons why a backtest does not come true.
"""

from collections.abc import Iterator

import polars as pl

from desk.research.performance import Performance
from schemas.research import NO_COSTS, Run

TRADES_FEW = 100  # under it the mean result's error is a tenth of a trade's deviation or more
SESSIONS_FEW = 63  # a quarter: one kind of market
SHARE_LARGE = 0.5  # of the profit, made by one symbol or on one day
COSTS_LARGE = 0.5  # of the profit before them
DIFFERENCE_USD = 0.01  # between the curve's end and the engine's own final equity


def cautions(run: Run, performance: Performance, by_symbol: pl.DataFrame) -> tuple[str, ...]:
    """Give the warnings that apply, the gravest first.

    Args:
        run: the run's record.
        performance: its numbers.
        by_symbol: `desk.research.breakdown.by_key` over symbols.
    """
    return tuple(
        [*_books(run, performance), *_profit(performance, by_symbol), *_conditions(run, performance)]
    )


def _books(run: Run, performance: Performance) -> Iterator[str]:
    """Name what makes the numbers themselves doubtful."""
    gap = performance.account.equity_end - float(run.final_equity)
    if abs(gap) > DIFFERENCE_USD:
        yield (
            f"The curve ends {gap:+,.2f} USD from the equity the engine reported ({run.final_equity:,.2f}): "
            "these numbers and that run are not of the same money."
        )
    if run.code_version.endswith("+"):
        yield (
            "The code had changes that are in no commit: nobody can run just this again "
            f"(version {run.code_version})."
        )


def _profit(performance: Performance, by_symbol: pl.DataFrame) -> Iterator[str]:
    """Name what the profit hangs on."""
    account, costs = performance.account, performance.costs
    before = costs.profit_before_costs_usd
    if before > 0 and costs.charged_usd >= COSTS_LARGE * before:
        left = "a little more slippage and nothing is left" if account.profit_usd > 0 else "nothing is left"
        yield (
            f"Costs took {costs.charged_usd / before * 100:,.0f} % of the profit before costs "
            f"({costs.charged_usd:,.2f} of {before:,.2f} USD): {left}."
        )
    if account.profit_usd <= 0:
        return
    if by_symbol.height > 1 and by_symbol["pnl"][0] >= SHARE_LARGE * account.profit_usd:
        yield (
            f"One symbol, {by_symbol['symbol'][0]}, made {by_symbol['pnl'][0]:,.2f} of "
            f"{account.profit_usd:,.2f} USD; without it this is another strategy."
        )
    if account.sessions > 1 and (account.best_day_usd or 0.0) >= SHARE_LARGE * account.profit_usd:
        yield (
            f"One day, {account.best_day}, made {account.best_day_usd or 0.0:,.2f} of "
            f"{account.profit_usd:,.2f} USD."
        )


def _conditions(run: Run, performance: Performance) -> Iterator[str]:
    """Name under what conditions the run was played."""
    trades, account = performance.trades, performance.account
    if trades.trades < TRADES_FEW:
        yield (
            f"{trades.trades} closed trades; under {TRADES_FEW} an average says little about the next one."
        )
    if account.sessions < SESSIONS_FEW:
        yield (
            f"{account.sessions} session{'' if account.sessions == 1 else 's'}; under {SESSIONS_FEW} "
            "yearly ratios are an extrapolation from one kind of market."
        )
    if run.costs == NO_COSTS and trades.trades:
        yield "No costs were charged: fills at the print, no spread, no fees. A broker gives less."
    if not run.gate:
        yield "The gate was off: orders that limits would deny were played."
    if trades.still_open:
        yield (
            f"{trades.still_open} position{'' if trades.still_open == 1 else 's'} still open at the end, "
            "valued at the last close."
        )
    yield (
        "In-sample unless these dates were kept aside while the parameters were chosen; nothing on this page "
        "can tell."
    )
