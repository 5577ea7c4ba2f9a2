"""zipline-reloaded: bars are ingested into a bundle in a temporary folder, then a simulation is run.

Its data portal fills minutes that lack from the minute before; a strategy that means bars looks at a symbol
only where it has volume, and keeps its own newest closes. Its fills are at closes: the slippage model here
takes the next bar's open. It wants a benchmark: zero returns.
"""

import os
import warnings
from collections.abc import Callable
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from contest import CASH, FAST, SHARES, SLOW, TIE, Contest
from zipline import run_algorithm
from zipline.api import order, set_commission, set_slippage, symbols
from zipline.data.bundles import ingest, register
from zipline.finance.commission import NoCommission
from zipline.finance.metrics.metric import Transactions
from zipline.finance.slippage import SlippageModel

warnings.filterwarnings("ignore")
COLUMNS = ["open", "high", "low", "close", "volume"]
BUNDLE = "contest"
MINUTE = pd.Timedelta(minutes=1)


class NextOpen(SlippageModel):
    """Fill everything at the open of the bar after the order."""

    def process_order(self, data: object, asked: object) -> tuple[float, int]:
        """Give price and quantity."""
        return data.current(asked.asset, "open"), asked.amount


def bundle_of(bars: pd.DataFrame) -> Callable[..., None]:
    """Give what writes the bars into a bundle."""
    names = sorted(bars["symbol"].unique())

    def write(environ, assets, minutes, days, adjustments, calendar, start, end, *rest) -> None:
        first, last = (bars["ts"].agg(how).normalize().tz_localize(None) for how in ("min", "max"))
        listed = {"symbol": names, "start_date": first, "end_date": last, "exchange": "XNYS"}
        assets.write(equities=pd.DataFrame(listed))
        minutes.write((number, ended(of(name))) for number, name in enumerate(names))
        days.write((number, daily(of(name))) for number, name in enumerate(names))
        adjustments.write()

    parts = dict(iter(bars.set_index("ts").groupby("symbol")))

    def of(name: str) -> pd.DataFrame:
        return parts[name]

    return write


def ended(part: pd.DataFrame) -> pd.DataFrame:
    """Give a symbol's minutes by their ends, as its calendar names them."""
    return part[COLUMNS].set_axis(part.index + MINUTE)


def daily(part: pd.DataFrame) -> pd.DataFrame:
    """Give the days of a symbol."""
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    days = part[COLUMNS].groupby(part.index.normalize()).agg(how)
    days.index = days.index.tz_localize(None)
    return days


def initialize(names: list[str]) -> Callable[[object], None]:
    """Give what a simulation begins with."""

    def begin(context: object) -> None:
        set_commission(NoCommission())
        set_slippage(NextOpen())
        context.assets = symbols(*names)
        context.closes = np.full((SLOW, len(names)), np.nan)
        context.count = np.zeros(len(names), dtype=int)
        context.held = np.zeros(len(names), dtype=bool)

    return begin


def handle(context: object, data: object) -> None:
    """Look at the symbols that have a new bar."""
    seen = data.current(context.assets, ["close", "volume"])
    new = seen["volume"].to_numpy() > 0
    closes, count = context.closes, context.count
    closes[:-1, new] = closes[1:, new]
    closes[-1, new] = seen["close"].to_numpy()[new]
    count[new] += 1
    apart = closes[-FAST:].mean(axis=0) - closes.mean(axis=0)
    able = new & (count >= SLOW)
    for place in np.flatnonzero(able & (apart > TIE) & ~context.held):
        order(context.assets[place], SHARES)
        context.held[place] = True
    for place in np.flatnonzero(able & (apart < -TIE) & context.held):
        order(context.assets[place], -SHARES)
        context.held[place] = False


def main() -> None:
    """Play a file."""
    contest = Contest()
    contest.imported()
    with TemporaryDirectory() as root:
        os.environ["ZIPLINE_ROOT"] = root
        bars = pd.read_parquet(contest.path, columns=["symbol", "ts", *COLUMNS])
        days = pd.DatetimeIndex(bars["ts"].dt.normalize().unique()).tz_localize(None).sort_values()
        register(BUNDLE, bundle_of(bars), calendar_name="XNYS", start_session=days[0], end_session=days[-1])
        ingest(BUNDLE, show_progress=False)
        contest.loaded()
        done = run_algorithm(
            start=days[0],
            end=days[-1],
            initialize=initialize(sorted(bars["symbol"].unique())),
            handle_data=handle,
            capital_base=CASH,
            data_frequency="minute",
            bundle=BUNDLE,
            metrics_set={Transactions()},
            benchmark_returns=pd.Series(0.0, index=days.tz_localize("UTC")),
        )
        contest.played()
    contest.tell(
        (
            (pd.Timestamp(each["dt"]) - MINUTE).strftime("%Y-%m-%dT%H:%M:%S"),
            each["sid"].symbol,
            "buy" if each["amount"] > 0 else "sell",
            abs(int(each["amount"])),
            each["price"],
        )
        for day in done["transactions"]
        for each in day
    )


if __name__ == "__main__":
    main()
