"""The tear sheet: a backtest in one HTML file that needs nothing but a browser.

    write_tear_sheet(run, fills=fills, bars=bars, curve=curve, trades=trades, path=Path("report.html"))

with `curve` from `desk.research.curve.equity_curve` and `trades` from `desk.research.trades.round_trips`.
Hand `flows` in where there were any, `tries` where the run was chosen among others (the page then says how
much of it is luck), and `performance` where it was measured already. The same run gives the same bytes but
for `started_at` and `seconds`, which the record has. Long series are thinned, and the page says so: a
year of a hundred symbols is 2.5 MB, 2 MB of which is plotly.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from desk.research.overfitting import Tries
from desk.research.performance import Performance, measure
from schemas.research import Run
from tasks.page.backtest import render_tear_sheet
from tasks.page.template import put_page


def write_tear_sheet(
    run: Run,
    *,
    fills: pl.DataFrame,
    bars: pl.DataFrame,
    curve: pl.DataFrame,
    trades: pl.DataFrame,
    path: Path,
    flows: pl.DataFrame | None = None,
    performance: Performance | None = None,
    tries: Tries | None = None,
    symbol: str | None = None,
    doubts: Sequence[str] = (),
) -> Performance:
    """Write a run's page, whole or not at all, and give the numbers on it.

    Args:
        run: the run's record.
        fills: FILL_SCHEMA.
        bars: RAW_SCHEMA, regular sessions; with `performance` given, those of the drawn symbol are enough.
        curve: EQUITY_SCHEMA.
        trades: TRADE_SCHEMA.
        path: the file; its folder is made.
        flows: FLOW_SCHEMA; None for none.
        performance: None: measured here.
        tries: what the run was chosen from; None: it is the only one.
        symbol: whose price is drawn; None: the most traded.
        doubts: what is doubtful about the data, in sentences; they come first among the cautions.

    Raises:
        OSError: the file cannot be written; an earlier one is untouched.
    """
    if performance is None:
        performance = measure(cash=run.cash, curve=curve, trades=trades, fills=fills, bars=bars, flows=flows)
    page = render_tear_sheet(
        run,
        performance=performance,
        fills=fills,
        bars=bars,
        curve=curve,
        trades=trades,
        tries=tries,
        symbol=symbol,
        doubts=doubts,
    )
    put_page(path, page.encode())
    return performance
