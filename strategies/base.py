"""What a strategy is: a name, checked parameters, symbols, a warm-up, and an idea in one of two styles.

Expressions: override `levels`, a pure function from bars to signal levels in polars. Stateful: subclass
`StatefulStrategy` and answer `on_start` and `on_bar`. Either way the desk calls `signals(bars)` with
everything known so far. The stateful style replays its bars through a fresh state each time: a restart at
noon reaches the state of a process that ran since the morning, because there is no other way to reach it.

Rules every strategy is held to by tests: a signal at a bar depends on that bar and earlier ones only
(signals of a prefix equal signals of the whole, exactly); symbols do not influence each other through
their order; no bars, no signals. Bars are those of the regular session (`schemas.bars.RAW_SCHEMA`,
sorted by (symbol, ts)). Sizes, prices of orders, stops and risk are not a strategy's business.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import ClassVar, NamedTuple, cast

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.signals import SIGNAL_SCHEMA
from strategies.indicators import minute_of_session, session_day, with_session

TIMEFRAME = "1Min"
TARGETS = ("symbol", "ts", "target")


class StrategyError(ValueError):
    """A strategy's name, parameter or answer is wrong; `str()` is one line fit to show a person."""


class Params(BaseModel):
    """A strategy's parameters: frozen, an unknown one is an error, each with a description."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NoParams(Params):
    """For a strategy without parameters."""


class Strategy(ABC):
    """A strategy as the session sees it; satisfies `desk.ports.StrategyRunner`.

    Attributes:
        name: Lower-case words joined by underscores; part of client order ids.
        timeframe: The bars it wants.
        lazy: Whether `levels` takes a LazyFrame as well as a DataFrame and gives the same of both: it uses
            expressions only, and never looks at a value. Then a search need not wait for reasons.
        session_anchored: Whether its values start anew each session. Then it needs the session so far
            and, of the days before, nothing.
        symbols: What it trades, sorted.
        warm_up: Bars of a symbol before its first signal. With `session_anchored` false, a window of the
            last `warm_up` bars gives the same signal as all history, to 1e-9.
    """

    name: ClassVar[str]
    params_model: ClassVar[type[Params]] = NoParams
    timeframe: ClassVar[str] = TIMEFRAME
    lazy: ClassVar[bool] = False
    session_anchored: ClassVar[bool] = False
    symbols: tuple[str, ...]
    warm_up: int

    def __init__(self, symbols: Iterable[str], params: Mapping[str, object] | None = None) -> None:
        """Check and keep parameters.

        Raises:
            StrategyError: No symbols, an unknown parameter or a value outside its bounds.
        """
        self.symbols = tuple(sorted(set(symbols)))
        if not self.symbols:
            raise StrategyError(f"strategy {self.name}: no symbols; at least one is needed")
        self.checked = checked_params(self.name, self.params_model, {} if params is None else params)
        self.warm_up = self.bars_needed()

    @abstractmethod
    def bars_needed(self) -> int:
        """Give `warm_up` for the parameters."""

    @abstractmethod
    def levels(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Give symbol, ts, target, price and reason for bars with an opinion; pure.

        Args:
            bars: `RAW_SCHEMA` and `session` (see `strategies.indicators.with_session`), sorted by
                (symbol, ts), this strategy's symbols only, at least one row.
        """

    def signals(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Give the signals for all bars given, `SIGNAL_SCHEMA`, sorted by (symbol, ts); any order in."""
        mine = bars.filter(pl.col("symbol").is_in(list(self.symbols))).sort("symbol", "ts")
        if mine.height == 0:
            return pl.DataFrame(schema=SIGNAL_SCHEMA)
        said = self.levels(with_session(mine)).with_columns(pl.lit(self.name).alias("strategy"))
        return said.select(
            *(pl.col(name).cast(dtype) for name, dtype in SIGNAL_SCHEMA.items()),
        ).sort("symbol", "ts")

    def targets(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Give symbol, ts and target of `signals(bars)` and nothing else: what a search of parameters asks.

        Args:
            bars: as `signals` takes them, and sorted by (symbol, ts), of this strategy's symbols only.
        """
        if not self.lazy:
            return self.signals(bars).select(TARGETS)
        levels = cast(Callable[[pl.LazyFrame], pl.LazyFrame], self.levels)
        return levels(with_session(bars.lazy())).select(TARGETS).collect()


class SeenBar(NamedTuple):
    """A bar as the stateful style sees it; prices USD, volume shares."""

    symbol: str
    ts: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int
    day: date  # the session's, New York
    minute: int  # minutes after 09:30 New York, 0 for the first of a regular session


class Level(NamedTuple):
    """What a stateful strategy wants to hold of a bar's symbol: -1, 0, 1, or a fraction."""

    target: float
    reason: str


class StatefulStrategy(Strategy):
    """The stateful style: one method a moment, state in attributes made by `on_start`.

    The state of a symbol may depend on all bars before it in time, of any symbol; bars of one minute come
    in order of symbol. There is no moment of a fill or of the session's end: levels are a function of bars,
    so that a restart, a rehearsal and a backtest agree, and nothing learned there could be used.
    """

    @abstractmethod
    def on_start(self) -> None:
        """Make a fresh state; called before every replay."""

    @abstractmethod
    def on_bar(self, bar: SeenBar) -> Level | None:
        """Take in one bar; give a level, or None for no opinion."""

    def levels(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Replay the bars in time order through a fresh state."""
        self.on_start()
        ordered = bars.sort("ts", "symbol").with_columns(pl.col("ts").rle_id().alias("instant"))
        # Instants are made Python objects once a minute and not once a bar: that is most of a replay's cost.
        instants = (
            ordered.select("ts", session_day().alias("day"), minute_of_session().alias("minute"), "instant")
            .unique("instant", keep="first", maintain_order=True)
            .drop("instant")
            .rows()
        )
        rows, targets, reasons = [], [], []
        columns = ("symbol", "open", "high", "low", "close", "volume", "instant")
        for row, (symbol, first, high, low, close, volume, instant) in enumerate(
            ordered.select(columns).iter_rows()
        ):
            ts, day, minute = instants[instant]
            level = self.on_bar(SeenBar(symbol, ts, first, high, low, close, volume, day, minute))
            if level is not None:
                rows.append(row)
                targets.append(level.target)
                reasons.append(level.reason)
        return ordered[rows].select(
            "symbol",
            "ts",
            pl.Series("target", targets, pl.Float64),
            pl.col("close").alias("price"),
            pl.Series("reason", reasons, pl.String),
        )


def checked_params(name: str, model: type[Params], given: Mapping[str, object]) -> Params:
    """Give the parameters as a checked record.

    Raises:
        StrategyError: Names the key, the value and what is allowed; several mistakes in one line.
    """
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        mistakes = "; ".join(_mistake(model, dict(item)) for item in error.errors())
        raise StrategyError(f"strategy {name}: {mistakes}") from None


def _mistake(model: type[Params], item: Mapping[str, object]) -> str:
    location = item["loc"]
    key = ".".join(str(part) for part in location) if isinstance(location, tuple) else ""
    if item["type"] == "extra_forbidden":
        allowed = ", ".join(sorted(model.model_fields)) or "none"
        return f"unknown parameter {key} = {item['input']!r}; allowed: {allowed}"
    if not key:
        return str(item["msg"]).removeprefix("Value error, ")
    return f"parameter {key} = {item['input']!r}: {str(item['msg']).lower()}"
