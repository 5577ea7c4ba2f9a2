"""vectorbt: its own averages and `Portfolio.from_signals`, all symbols at once, one column each.

Rows are a symbol's bars by number, not by minute: symbols lack minutes here and there, an average over a gap
would be unknown for fifty bars, and columns that share nothing need not share a clock.
By numba, or with `rust` by the engine of its extra, compiled beforehand. The run is done again after it is
told: compiled, as in a notebook that is open.
"""

import sys

import numpy as np
import pandas as pd
import vectorbt as vbt
from contest import CASH, FAST, SHARES, SLOW, TIE, Contest


def play(close: pd.DataFrame, opened: pd.DataFrame) -> vbt.Portfolio:
    """Give the portfolio: signals of a bar, filled at the next bar's open."""
    quick, slow = vbt.MA.run(close, FAST).ma.to_numpy(), vbt.MA.run(close, SLOW).ma.to_numpy()
    apart = np.full(close.shape, np.nan)
    apart[1:] = (quick - slow)[:-1]  # known at the end of the bar before
    return vbt.Portfolio.from_signals(
        close=close,
        entries=apart > TIE,
        exits=apart < -TIE,
        price=opened,
        size=SHARES,
        init_cash=CASH,
        freq="1min",
    )


def main() -> None:
    """Play a file."""
    contest = Contest()
    vbt.settings["engine"] = "rust" if "rust" in sys.argv[2:] else "numba"
    contest.imported()
    bars = pd.read_parquet(contest.path, columns=["symbol", "ts", "open", "close"])
    bars["number"] = bars.groupby("symbol").cumcount()
    close, opened = (bars.pivot(index="number", columns="symbol", values=name) for name in ("close", "open"))
    contest.loaded()
    done = play(close, opened).orders.records
    contest.played()
    contest.again("again_s", lambda: play(close, opened).orders.records)
    ts = bars.pivot(index="number", columns="symbol", values="ts")
    contest.tell(
        (
            ts.iat[order.idx, order.col].strftime("%Y-%m-%dT%H:%M:%S"),
            ts.columns[order.col],
            "buy" if order.side == 0 else "sell",
            int(order.size),
            order.price,
        )
        for order in done.itertuples()
    )


if __name__ == "__main__":
    main()
