"""NautilusTrader 2.0, a pre-release: the Rust core with its own Python face; what with_nautilus.py does.

Its wrangler takes Arrow with decimals of sixteen places. It fills at the signal bar's close, as 1.x does.
"""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from contest import CASH, FAST, SHARES, SLOW, TIE, Contest
from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model import (
    AccountType,
    Bar,
    BarType,
    Currency,
    Equity,
    InstrumentId,
    Money,
    OmsType,
    OrderSide,
    Price,
    Quantity,
    Symbol,
    Venue,
)
from nautilus_trader.persistence import BarDataWrangler
from nautilus_trader.risk import RiskEngineConfig
from nautilus_trader.trading import Strategy, StrategyConfig

VENUE = Venue("XNAS")
MINUTE_NS = 60_000_000_000
CENTS, EXACT, NS = pa.decimal128(18, 2), pa.decimal128(38, 16), pa.timestamp("ns", "UTC")
EVERY_ORDER = "1000000/00:00:01"  # its throttle, out of reach


class Crossover(Strategy):
    """Hold while the shorter average is above the longer one."""

    def __init__(self, config: StrategyConfig) -> None:
        """Keep nothing yet: the base class is made of the config alone."""
        super().__init__()
        self.lot = Quantity.from_int(SHARES)

    def watch(self, bar_types: list[BarType]) -> "Crossover":
        """Say what is to be watched."""
        self.averages = {
            str(each): (SimpleMovingAverage(FAST), SimpleMovingAverage(SLOW)) for each in bar_types
        }
        self.bar_types = bar_types
        self.held = dict.fromkeys(self.averages, False)
        return self

    def on_start(self) -> None:
        """Ask for the bars."""
        for each in self.bar_types:
            for average in self.averages[str(each)]:
                self.register_indicator_for_bars(each, average)
            self.subscribe_bars(each)

    def on_bar(self, bar: Bar) -> None:
        """Look at the newest bar."""
        name = str(bar.bar_type)
        quick, slow = self.averages[name]
        if not slow.initialized:
            return
        apart = quick.value - slow.value
        if apart > TIE and not self.held[name]:
            self._send(bar, name, OrderSide.BUY)
        elif apart < -TIE and self.held[name]:
            self._send(bar, name, OrderSide.SELL)

    def _send(self, bar: Bar, name: str, side: OrderSide) -> None:
        self.held[name] = side == OrderSide.BUY
        self.submit_order(self.order_factory.market(bar.bar_type.instrument_id, side, self.lot))


def engine_of(bars: pa.Table) -> BacktestEngine:
    """Give an engine with instruments, bars and strategy."""
    usd = Currency.from_str("USD")
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggerConfig(bypass_logging=True),
            run_analysis=False,
            risk_engine=RiskEngineConfig(max_order_submit_rate=EVERY_ORDER),
        )
    )
    engine.add_venue(
        VENUE,
        OmsType.NETTING,
        AccountType.CASH,
        [Money(CASH, usd)],
        base_currency=usd,
        fee_model=MakerTakerFeeModel(maker_rate=Decimal(0), taker_rate=Decimal(0)),
    )
    kinds = []
    for symbol in pc.unique(bars["symbol"]).to_pylist():
        equity = equity_of(symbol, usd)
        engine.add_instrument(equity)
        kinds.append(BarType.from_str(f"{equity.id}-1-MINUTE-LAST-EXTERNAL"))
        rows = wrangled(bars.filter(pc.equal(bars["symbol"], symbol)), str(kinds[-1]))
        engine.add_data(rows, sort=False)
    engine.sort_data()
    engine.add_strategy(Crossover(StrategyConfig()).watch(kinds))
    return engine


def wrangled(part: pa.Table, kind: str) -> list[Bar]:
    """Give a symbol's bars as the engine's own."""
    known = pc.add(part["ts"].cast(NS).cast(pa.int64()), MINUTE_NS).cast(NS)  # a bar is known when it is over
    columns = {name: part[name].cast(CENTS).cast(EXACT) for name in ("open", "high", "low", "close")}
    columns |= {"volume": part["volume"].cast(EXACT), "ts_event": known, "ts_init": known}
    told = {"bar_type": kind, "price_precision": "2", "size_precision": "0"}
    table = pa.table(columns).replace_schema_metadata(told)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    wrangler = BarDataWrangler(kind, 2, 0)
    return wrangler.process_record_batch_bytes(sink.getvalue().to_pybytes())


def equity_of(symbol: str, usd: Currency) -> Equity:
    """Give a share in cents, in lots of one."""
    return Equity(
        instrument_id=InstrumentId(Symbol(symbol), VENUE),
        raw_symbol=Symbol(symbol),
        currency=usd,
        price_precision=2,
        price_increment=Price.from_str("0.01"),
        lot_size=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
    )


def moment(seconds: int) -> str:
    """Give an instant as contestants tell it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def main() -> None:
    """Play a file."""
    contest = Contest()
    contest.imported()
    bars = pq.read_table(contest.path, columns=["symbol", "ts", "open", "high", "low", "close", "volume"])
    engine = engine_of(bars)
    contest.loaded()
    engine.run()
    contest.played()
    orders = engine.cache.orders()
    assert all(order.is_closed for order in orders), "an order was left open"
    contest.tell(
        (
            # Told by the bar that gave the signal, as other contestants name a bar: by its left edge.
            moment((order.ts_last - MINUTE_NS) // 1_000_000_000),
            order.instrument_id.symbol.value,
            "buy" if order.side == OrderSide.BUY else "sell",
            int(float(str(order.filled_qty))),
            float(order.avg_px),
        )
        for order in orders
    )


if __name__ == "__main__":
    main()
