"""NautilusTrader, the stable line: bars by its wrangler, its own indicators, one strategy for all symbols.

A market order sent while a bar is handled fills at once, at that bar's close: its way with bars. Logging, the
trader's reports and the analysis afterwards are off. Each holding is a position of its own (HEDGING): with
NETTING it keeps a snapshot each time a position is reopened and reads them all again, which takes twice as
long on a year. What is left of that is its record of trades, a pandas concatenation each.
"""

from decimal import Decimal

import pandas as pd
from contest import CASH, FAST, SHARES, SLOW, TIE, Contest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, RiskEngineConfig, StrategyConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("XNAS")
MINUTE = pd.Timedelta(minutes=1)
EVERY_ORDER = "1000000/00:00:01"  # its throttle, out of reach


class Crossover(Strategy):
    """Hold while the shorter average is above the longer one."""

    def __init__(self, bar_types: list[BarType]) -> None:
        """Keep what is to be watched."""
        super().__init__(StrategyConfig())
        self.averages = {each: (SimpleMovingAverage(FAST), SimpleMovingAverage(SLOW)) for each in bar_types}
        self.held = dict.fromkeys(bar_types, False)
        self.lot = Quantity.from_int(SHARES)

    def on_start(self) -> None:
        """Ask for the bars."""
        for each, averages in self.averages.items():
            for average in averages:
                self.register_indicator_for_bars(each, average)
            self.subscribe_bars(each)

    def on_bar(self, bar: Bar) -> None:
        """Look at the newest bar."""
        kind = bar.bar_type
        quick, slow = self.averages[kind]
        if not slow.initialized:
            return
        apart = quick.value - slow.value
        if apart > TIE and not self.held[kind]:
            self.held[kind] = True
            self.submit_order(self.order_factory.market(kind.instrument_id, OrderSide.BUY, self.lot))
        elif apart < -TIE and self.held[kind]:
            self.held[kind] = False
            self.close_all_positions(kind.instrument_id)


def engine_of(bars: pd.DataFrame) -> BacktestEngine:
    """Give an engine with instruments, bars and strategy."""
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True),
            risk_engine=RiskEngineConfig(max_order_submit_rate=EVERY_ORDER),
            run_analysis=False,
        )
    )
    engine.add_venue(VENUE, OmsType.HEDGING, AccountType.CASH, [Money(CASH, USD)], base_currency=USD)
    kinds = []
    for symbol, part in bars.groupby("symbol"):
        equity = equity_of(symbol)
        engine.add_instrument(equity)
        kinds.append(BarType.from_str(f"{equity.id}-1-MINUTE-LAST-EXTERNAL"))
        rows = part.drop(columns="symbol").set_index("ts")
        rows.index += MINUTE  # a bar is known when it is over
        engine.add_data(BarDataWrangler(kinds[-1], equity).process(rows), sort=False)
    engine.sort_data()
    engine.add_strategy(Crossover(kinds))
    return engine


def equity_of(symbol: str) -> Equity:
    """Give a share in cents, in lots of one."""
    return Equity(
        instrument_id=InstrumentId(Symbol(symbol), VENUE),
        raw_symbol=Symbol(symbol),
        currency=USD,
        price_precision=2,
        price_increment=Price.from_str("0.01"),
        lot_size=Quantity.from_int(1),
        margin_init=Decimal(0),
        margin_maint=Decimal(0),
        maker_fee=Decimal(0),
        taker_fee=Decimal(0),
        ts_event=0,
        ts_init=0,
    )


def main() -> None:
    """Play a file."""
    contest = Contest()
    contest.imported()
    columns = ["symbol", "ts", "open", "high", "low", "close", "volume"]
    bars = pd.read_parquet(contest.path, columns=columns)
    engine = engine_of(bars)
    contest.loaded()
    engine.run()
    contest.played()
    orders = engine.cache.orders()
    assert all(order.is_closed for order in orders), "an order was left open"
    contest.tell(
        (
            # Told by the bar that gave the signal, as other contestants name a bar: by its left edge.
            (pd.Timestamp(order.ts_last, unit="ns") - MINUTE).strftime("%Y-%m-%dT%H:%M:%S"),
            order.instrument_id.symbol.value,
            "buy" if order.side == OrderSide.BUY else "sell",
            int(order.filled_qty),
            float(order.avg_px),
        )
        for order in orders
        if order.filled_qty > 0
    )


if __name__ == "__main__":
    main()
