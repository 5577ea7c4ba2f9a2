"""What a backtest is asked and what it gives: sizes, costs, the run's record, and its frames."""

from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated

import polars as pl
from pydantic import BeforeValidator, ConfigDict, Field

from schemas.bars import UTC_US
from schemas.record import Record

PRICE = pl.Decimal(18, 6)
QTY = pl.Decimal(19, 9)  # 19 and not 18 digits: DuckDB multiplies what is wider than 18 without overflow
USD = pl.Decimal(18, 6)

# One row per execution, in order of time.
FILL_SCHEMA: dict[str, pl.DataType] = {
    "ts": UTC_US,  # left edge of the bar that filled
    "filled_at": UTC_US,
    "strategy": pl.String(),
    "symbol": pl.String(),
    "side": pl.String(),  # buy or sell
    "qty": QTY,  # positive
    "price": PRICE,
    "fee": USD,  # regulatory fees and commission, positive
    "reference_price": PRICE,  # what the order was sized at: slippage is measured against it
    "client_order_id": pl.String(),
}

# Money that came or went without a fill: borrow, dividends, shares paid in cash. In order of time.
FLOW_SCHEMA: dict[str, pl.DataType] = {
    "ts": UTC_US,  # in a minute of a session; after its last minute it counts with that one
    "kind": pl.String(),  # borrow, dividend, ...
    "amount": USD,  # positive came in
}

# One row per minute in which the account's value may have changed, in order of time.
EQUITY_SCHEMA: dict[str, pl.DataType] = {
    "ts": UTC_US,  # left edge of the minute; the value is at its end
    "session_date": pl.Date(),
    "equity": pl.Float64(),  # USD: cash and positions at the newest closes
    "gross": pl.Float64(),  # USD: sum of absolute positions
    "net": pl.Float64(),
}

# One row per round trip: a strategy's position in a symbol from flat to flat, or through zero.
TRADE_SCHEMA: dict[str, pl.DataType] = {
    "strategy": pl.String(),
    "symbol": pl.String(),
    "side": pl.String(),  # long or short
    "entered_at": UTC_US,
    "left_at": UTC_US,  # null: still open at the end
    "qty": pl.Float64(),  # the most that was held, positive
    "entry_price": pl.Float64(),  # mean of the executions that opened
    "exit_price": pl.Float64(),  # mean of those that closed; of an open trade the last close
    "pnl": pl.Float64(),  # USD, after fees
    "fees": pl.Float64(),
    "mae": pl.Float64(),  # USD, zero or negative: the worst it stood at a bar's low (high, if short)
    "mfe": pl.Float64(),  # USD, zero or positive: the best
    "bars": pl.Int64(),  # minutes held
}


class SizeKind(StrEnum):
    """What an entry's size is counted in."""

    SHARES = "shares"
    NOTIONAL = "notional"  # USD
    EQUITY = "equity"  # fraction of the account's equity


class Size(Record):
    """How large an entry is at a target of one; written `shares:100`, `notional:1000` or `equity:0.1`.

    The number of shares is floored to the lot, at the newest close known when the order is made.
    """

    model_config = ConfigDict(strict=False)

    kind: SizeKind
    amount: Decimal = Field(gt=0)

    @classmethod
    def parse(cls, words: object) -> object:
        """Read `kind:amount`; anything that is not text is left to the model.

        Raises:
            ValueError: names what was given and what may be.
        """
        if not isinstance(words, str):
            return words
        kind, _, amount = words.partition(":")
        try:
            return cls(kind=SizeKind(kind), amount=Decimal(amount))
        except (ValueError, InvalidOperation):
            raise ValueError(
                f"size {words!r}: write shares:100, notional:1000 or equity:0.1, with a positive number"
            ) from None

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.amount:f}"


SizeWords = Annotated[Size, BeforeValidator(Size.parse)]


class Costs(Record):
    """What a fill costs beside its print; the defaults are no cost at all.

    - Buys pay the print plus half the spread plus the slippage, sells get it less both; each rounded to the
      tick against the trader: half = max(price x spread_bps / 10,000, one tick) / 2 where there is a spread.
    - One print gives at most `participation` of its volume, a quarter of its minute's; None: all that is
      asked, whatever the volume.
    - An order reaches the market `latency_bars` minutes after it was decided.
    - Fees: SEC and TAF of the date on sells (desk/fees.py), and a commission per share with a minimum an
      execution, both sides.
    - Borrow: a year's fraction of a short position's value, charged by the day (1/360) at each close.
    """

    model_config = ConfigDict(strict=False)

    spread_bps: Decimal | None = Field(None, ge=0, le=1000)
    slippage_bps: Decimal = Field(Decimal(0), ge=0, le=1000)
    participation: Decimal | None = Field(None, gt=0, le=1)
    latency_bars: int = Field(0, ge=0, le=60)
    regulatory_fees: bool = False
    commission_per_share: Decimal = Field(Decimal(0), ge=0, le=1)
    commission_min: Decimal = Field(Decimal(0), ge=0, le=100)
    borrow_annual_frac: Decimal = Field(Decimal(0), ge=0, le=10)


NO_COSTS = Costs()
# What the simulated exchange does unless told otherwise (desk/exchange/matching.py), and Alpaca's fees.
ALPACA_COSTS = Costs(spread_bps=Decimal(2), participation=Decimal("0.10"), regulatory_fees=True)
COSTS_BY_NAME = {"none": NO_COSTS, "alpaca": ALPACA_COSTS}


class Engine(StrEnum):
    """Who plays the backtest."""

    EXACT = "exact"  # the desk's own session, gate, order machine and ledger
    SCREEN = "screen"  # a compiled kernel, for searching parameters


class Run(Record):
    """A backtest's identity: the same record gives the same run again."""

    run_id: str  # a function of all below but started_at
    engine: Engine
    strategy: str  # a registered name, or path/to/file.py:Class
    params: tuple[tuple[str, str], ...]  # by name, sorted; values as JSON
    symbols: tuple[str, ...]
    first: date
    last: date
    cash: Decimal
    size: str  # as `Size` writes it; empty: the settings' allocation and slots
    costs: Costs
    gate: bool
    close_out: bool
    settings_hash: str
    code_version: str  # of git, with + where the checkout differs
    data_hash: str  # fingerprint of the bars
    seed: int
    started_at: datetime
    seconds: float
    bars: int
    orders: int
    fills: int
    denied: int
    orders_hash: str  # of every order sent, in order
    ledger_hash: str  # of every event; empty for the screen
    final_equity: Decimal
