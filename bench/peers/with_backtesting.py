"""backtesting.py: one instrument a run, so the symbols are played one after another."""

import warnings
from collections.abc import Iterator

import pandas as pd
from backtesting import Backtest, Strategy
from contest import CASH, FAST, SHARES, SLOW, TIE, Contest, Fill

warnings.filterwarnings("ignore", message=".*trades remain open.*")


def apart(close: pd.Series) -> pd.Series:
    """Give how far the averages are apart; 0, a tie, while the longer one is not known.

    An unknown value would have the library begin a bar after it is known, one later than the others.
    """
    closes = pd.Series(close)
    return (closes.rolling(FAST).mean() - closes.rolling(SLOW).mean()).fillna(0.0)


class Crossover(Strategy):
    """Hold while the shorter average is above the longer one."""

    def init(self) -> None:
        """Compute the averages once."""
        self.apart = self.I(apart, self.data.Close, plot=False)

    def next(self) -> None:
        """Look at the newest bar; a market order fills at the next bar's open."""
        if self.apart[-1] > TIE:
            if not self.position:
                self.buy(size=SHARES)
        elif self.apart[-1] < -TIE and self.position:
            self.position.close()


def main() -> None:
    """Play a file."""
    contest = Contest()
    contest.imported()
    names = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"}
    bars = pd.read_parquet(contest.path, columns=["symbol", "ts", *names]).rename(columns=names)
    parts = {symbol: part.drop(columns="symbol").set_index("ts") for symbol, part in bars.groupby("symbol")}
    contest.loaded()
    done = {symbol: Backtest(part, Crossover, cash=CASH).run() for symbol, part in parts.items()}
    contest.played()
    contest.tell(
        fill for symbol, stats in done.items() for fill in _fills(symbol, stats, parts[symbol].index)
    )


def _fills(symbol: str, stats: pd.Series, index: pd.DatetimeIndex) -> Iterator[Fill]:
    """Give the executions; a trade still open has no exit."""
    played = stats["_strategy"]
    for trade in (*played.closed_trades, *played.trades):
        yield _ts(index[trade.entry_bar]), symbol, "buy", SHARES, trade.entry_price
        if trade.exit_bar is not None:
            yield _ts(index[trade.exit_bar]), symbol, "sell", SHARES, trade.exit_price


def _ts(moment: pd.Timestamp) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


if __name__ == "__main__":
    main()
