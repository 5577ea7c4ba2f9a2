"""backtrader: one engine with a feed a symbol, indicators computed at once (its default), no observers."""

from datetime import UTC

import backtrader as bt
import pandas as pd
from contest import CASH, FAST, SHARES, SLOW, TIE, Contest, Fill


class Crossover(bt.Strategy):
    """Hold while the shorter average is above the longer one."""

    def __init__(self) -> None:
        """Declare the averages of every feed."""
        self.apart = {data: bt.ind.SMA(data.close, period=FAST) - bt.ind.SMA(data.close, period=SLOW)
                      for data in self.datas}  # fmt: skip
        self.seen = dict.fromkeys(self.datas, 0)
        self.told: list[Fill] = []

    def prenext(self) -> None:
        """Trade what is known already: feeds that lack a minute are behind the others."""
        self.next()

    def next(self) -> None:
        """Look at the feeds that have a new bar; a market order fills at the feed's next open."""
        for data in self.datas:
            count = len(data)
            if count == self.seen[data]:
                continue
            self.seen[data] = count
            if count < SLOW:
                continue
            apart = self.apart[data][0]
            if apart > TIE:
                if not self.getposition(data).size:
                    self.buy(data=data, size=SHARES)
            elif apart < -TIE and self.getposition(data).size:
                self.sell(data=data, size=SHARES)

    def notify_order(self, order: bt.Order) -> None:
        """Note an execution."""
        assert order.status not in (order.Margin, order.Rejected), "an order was refused"
        if order.status == order.Completed:
            done, side = order.executed, "buy" if order.isbuy() else "sell"
            moment = bt.num2date(done.dt).replace(tzinfo=UTC)
            # Its time is a float of days: rounded to the second it stands for.
            ts = pd.Timestamp(moment).round("s").strftime("%Y-%m-%dT%H:%M:%S")
            self.told.append((ts, order.data._name, side, abs(int(done.size)), done.price))


def main() -> None:
    """Play a file."""
    contest = Contest()
    contest.imported()
    columns = ["open", "high", "low", "close", "volume"]
    bars = pd.read_parquet(contest.path, columns=["symbol", "ts", *columns])
    bars["ts"] = bars["ts"].dt.tz_localize(None)
    engine = bt.Cerebro(stdstats=False)
    for symbol, part in bars.groupby("symbol"):
        engine.adddata(bt.feeds.PandasData(dataname=part.set_index("ts")[columns]), name=symbol)
    engine.addstrategy(Crossover)
    engine.broker.setcash(CASH)
    contest.loaded()
    played = engine.run()[0]
    contest.played()
    contest.tell(played.told)


if __name__ == "__main__":
    main()
