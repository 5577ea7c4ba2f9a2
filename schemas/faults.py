"""Fault plans: which lies the simulated exchange tells, when, about what, and how often.

A plan is a seed and rules. A rule names one fault, WHEN it strikes (`chance` of each occasion, every n-th
occasion, or from `at` on), WHERE (`calls`, `symbols`) and how often at most (`times`). What an occasion is
depends on the fault's family:

| family | an occasion is |
| --- | --- |
| call | one request of a client |
| order | an order taken, canceled, replaced, or about to be filled |
| frame | one event of the user stream, before it is sent |
| connection | one client connecting to a stream |
| bar | one symbol's bar of one minute |
| moment | a minute of the venue's time; something is done then, or begins and lasts `for_s` |

`at`, `for_s` and `every_s` fence a window of the venue's time: the rule strikes only inside it, and with
neither `chance` nor `every` at every occasion inside it. A moment's rule with `at` strikes then, to the
second, and again each `every_s`.

Faults of the catalogue that are not the exchange's to commit, and where they are tried:

| fault | whose | tried by |
| --- | --- | --- |
| process killed at every durable write and answer | the machine's | desk simulate; soak |
| disk full | the machine's | tests/data, desk simulate |
| DuckDB locked or its WAL unreadable | the warehouse's | tests/data |
| Prefect API down or slow | the orchestrator's | tests/flows |
| Discord down or rate-limited | the notifier's | tests/desk/adapters/test_discord.py |
| daylight-saving night, early close | the calendar's | tests/desk/test_hours.py; desk simulate's dates |
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from schemas.orders import Side

SYMBOL = r"^[A-Z]{1,5}(\.[A-Z]{1,2})?$"
RULES_MAX = 500  # a plan is read by people; each rule is asked at each of its occasions
MINUTES_A_DAY = 1440
SECONDS_MAX = 30 * 86_400.0  # a month: longer than any venue plays in one go


class Family(StrEnum):
    """What an occasion of a fault is."""

    CALL = "call"
    ORDER = "order"
    FRAME = "frame"
    CONNECTION = "connection"
    BAR = "bar"
    MOMENT = "moment"


class Call(StrEnum):
    """What a client asks for."""

    SUBMIT = "submit"
    REPLACE = "replace"
    CANCEL = "cancel"
    CANCEL_ALL = "cancel_all"
    CLOSE = "close"  # DELETE of one or all positions
    ORDER = "order"  # one order by id
    ORDER_BY_CLIENT_ID = "order_by_client_id"
    ORDERS = "orders"
    POSITIONS = "positions"
    ACCOUNT = "account"
    FILLS = "fills"  # account activities
    CLOCK = "clock"
    CALENDAR = "calendar"
    ASSETS = "assets"
    BARS = "bars"
    MARKET = "market"  # quotes, trades, snapshots, corporate actions
    HISTORY = "history"  # portfolio history
    CONFIGURATIONS = "configurations"


class StreamName(StrEnum):
    """The two WebSockets."""

    USER = "user"  # trade_updates
    DATA = "data"  # stock market data


ANY_CALL = frozenset(Call)
NEW_ORDER = frozenset({Call.SUBMIT})


class FaultKind(StrEnum):
    """One member for each lie."""

    # answers to calls
    ANSWER_LOST = "answer_lost"  # done, and answered 504
    REFUSED_504 = "refused_504"  # not done, and answered 504
    HANG = "hang"  # no answer for delay_s of real time, then the connection is cut
    RESET = "reset"  # the connection is cut
    RATE_LIMITED = "rate_limited"  # 429 with Alpaca's code, Retry-After and X-RateLimit headers
    RATE_LIMITED_BARE = "rate_limited_bare"  # 429 of something in between: no code, no headers
    HTML_500 = "html_500"
    UNAVAILABLE_503 = "unavailable_503"
    UNAUTHORIZED_401 = "unauthorized_401"
    BAD_JSON = "bad_json"  # done, and the answer is cut off in its middle
    DUPLICATE_CLIENT_ID = "duplicate_client_id"
    WASH_TRADE = "wash_trade"
    INSUFFICIENT_QTY = "insufficient_qty"
    BUYING_POWER = "buying_power"
    MARGIN = "margin"
    CLOCK_SKEW = "clock_skew"  # the clock's answer is skew_s off
    POSITIONS_LAG = "positions_lag"  # positions as they were delay_s ago
    FILLS_REORDERED = "fills_reordered"  # fills of one millisecond in another order
    # what becomes of orders
    CANCEL_OF_FILLED = "cancel_of_filled"  # the order fills just before its cancel is read
    FILL_BEFORE_CANCEL_ACK = "fill_before_cancel_ack"  # the cancel is taken, a fill comes, then the ack
    PENDING_CANCEL = "pending_cancel"  # the cancel is taken and done delay_s later
    REPLACE_LOSES_PARTIAL = "replace_loses_partial"  # the new order forgets what the old one had filled
    ASYNC_REJECT = "async_reject"  # taken with 200, rejected delay_s later
    PARTIAL_FILLS = "partial_fills"  # a fill is cut to a share of itself
    # the user stream's events
    FRAME_LOST = "frame_lost"
    FRAMES_DUPLICATED = "frames_duplicated"
    FRAMES_REORDERED = "frames_reordered"  # the event is sent after the next one, or delay_s later
    FRAME_EMPTY = "frame_empty"  # an empty frame comes before the event
    UNKNOWN_EVENT = "unknown_event"  # an event of an unknown name comes before it
    UNKNOWN_STATUS = "unknown_status"  # the order inside has a status nobody knows
    # both streams, or the one that `streams` names
    STREAM_SILENT = "stream_silent"  # open, and nothing is sent
    STREAM_DISCONNECT = "stream_disconnect"
    SLOW_CLIENT_DISCONNECT = "slow_client_disconnect"
    CONNECTION_406 = "connection_406"  # connection limit exceeded: an error frame, or the HTTP status
    UPGRADE_429 = "upgrade_429"  # too many connections, said at the upgrade
    # bars as they are published; the venue itself trades on the true ones
    BAR_LATE = "bar_late"  # published delay_s after its time
    BAR_MISSING = "bar_missing"
    BAR_REVISED = "bar_revised"  # published wrong, and set right delay_s later
    BAR_ZERO_VOLUME = "bar_zero_volume"
    BAR_CROSSED = "bar_crossed"  # high below low
    BAR_NAN = "bar_nan"  # the close is no number
    BAR_DUPLICATE = "bar_duplicate"
    FEED_FROZEN = "feed_frozen"  # no symbol's bars of those minutes are published before it ends
    # the market and the account
    SYMBOL_HALTED = "symbol_halted"
    SPLIT_OVER_OPEN_ORDERS = "split_over_open_orders"
    MANUAL_TRADE = "manual_trade"
    MANUAL_CANCEL = "manual_cancel"

    @property
    def family(self) -> Family:
        """Give what an occasion of it is."""
        return _FAMILIES[self]


_FAMILIES: dict[FaultKind, Family] = {
    **dict.fromkeys(FaultKind, Family.CALL),
    FaultKind.CANCEL_OF_FILLED: Family.ORDER,
    FaultKind.FILL_BEFORE_CANCEL_ACK: Family.ORDER,
    FaultKind.PENDING_CANCEL: Family.ORDER,
    FaultKind.REPLACE_LOSES_PARTIAL: Family.ORDER,
    FaultKind.ASYNC_REJECT: Family.ORDER,
    FaultKind.PARTIAL_FILLS: Family.ORDER,
    FaultKind.FRAME_LOST: Family.FRAME,
    FaultKind.FRAMES_DUPLICATED: Family.FRAME,
    FaultKind.FRAMES_REORDERED: Family.FRAME,
    FaultKind.FRAME_EMPTY: Family.FRAME,
    FaultKind.UNKNOWN_EVENT: Family.FRAME,
    FaultKind.UNKNOWN_STATUS: Family.FRAME,
    FaultKind.STREAM_SILENT: Family.MOMENT,
    FaultKind.STREAM_DISCONNECT: Family.MOMENT,
    FaultKind.SLOW_CLIENT_DISCONNECT: Family.MOMENT,
    FaultKind.CONNECTION_406: Family.CONNECTION,
    FaultKind.UPGRADE_429: Family.CONNECTION,
    FaultKind.BAR_LATE: Family.BAR,
    FaultKind.BAR_MISSING: Family.BAR,
    FaultKind.BAR_REVISED: Family.BAR,
    FaultKind.BAR_ZERO_VOLUME: Family.BAR,
    FaultKind.BAR_CROSSED: Family.BAR,
    FaultKind.BAR_NAN: Family.BAR,
    FaultKind.BAR_DUPLICATE: Family.BAR,
    FaultKind.FEED_FROZEN: Family.MOMENT,
    FaultKind.SYMBOL_HALTED: Family.MOMENT,
    FaultKind.SPLIT_OVER_OPEN_ORDERS: Family.MOMENT,
    FaultKind.MANUAL_TRADE: Family.MOMENT,
    FaultKind.MANUAL_CANCEL: Family.MOMENT,
}

# Which calls a call's fault may befall.
CALLS_OF: Mapping[FaultKind, frozenset[Call]] = {
    **{kind: ANY_CALL for kind in FaultKind if kind.family is Family.CALL},
    FaultKind.DUPLICATE_CLIENT_ID: NEW_ORDER,
    FaultKind.WASH_TRADE: NEW_ORDER,
    FaultKind.INSUFFICIENT_QTY: NEW_ORDER,
    FaultKind.BUYING_POWER: NEW_ORDER,
    FaultKind.MARGIN: NEW_ORDER,
    FaultKind.CLOCK_SKEW: frozenset({Call.CLOCK}),
    FaultKind.POSITIONS_LAG: frozenset({Call.POSITIONS}),
    FaultKind.FILLS_REORDERED: frozenset({Call.FILLS}),
}

# What the calls' faults that have no fixed answer to "was it done?" may do; `lands` settles it.
UNDECIDED = frozenset({FaultKind.HANG, FaultKind.RESET, FaultKind.HTML_500, FaultKind.UNAVAILABLE_503})

# Keys that mean something only for some faults.
_ONLY_FOR: Mapping[str, frozenset[FaultKind]] = {
    "calls": frozenset(CALLS_OF),
    "streams": frozenset(
        {
            FaultKind.STREAM_SILENT, FaultKind.STREAM_DISCONNECT, FaultKind.SLOW_CLIENT_DISCONNECT,
            FaultKind.CONNECTION_406, FaultKind.UPGRADE_429,
        }
    ),
    "lands": UNDECIDED,
    "delay_s": frozenset(
        {
            FaultKind.HANG, FaultKind.POSITIONS_LAG, FaultKind.PENDING_CANCEL, FaultKind.ASYNC_REJECT,
            FaultKind.FRAMES_REORDERED, FaultKind.BAR_LATE, FaultKind.BAR_REVISED,
            FaultKind.FILL_BEFORE_CANCEL_ACK,
        }
    ),
    "retry_after_s": frozenset({FaultKind.RATE_LIMITED}),
    "skew_s": frozenset({FaultKind.CLOCK_SKEW}),
    "share": frozenset({FaultKind.PARTIAL_FILLS}),
    "side": frozenset({FaultKind.MANUAL_TRADE}),
    "qty": frozenset({FaultKind.MANUAL_TRADE}),
    "price": frozenset({FaultKind.MANUAL_TRADE}),
    "new_shares": frozenset({FaultKind.SPLIT_OVER_OPEN_ORDERS}),
    "old_shares": frozenset({FaultKind.SPLIT_OVER_OPEN_ORDERS}),
}  # fmt: skip
# Faults of the account as a whole; a list of symbols would be ignored.
_WITHOUT_SYMBOLS = frozenset(
    {
        FaultKind.CLOCK_SKEW, FaultKind.POSITIONS_LAG, FaultKind.FILLS_REORDERED, FaultKind.STREAM_SILENT,
        FaultKind.STREAM_DISCONNECT, FaultKind.SLOW_CLIENT_DISCONNECT, FaultKind.CONNECTION_406,
        FaultKind.UPGRADE_429, FaultKind.FEED_FROZEN,
    }
)  # fmt: skip
# How long a fault takes where the plan does not say, seconds.
DELAYS_S: Mapping[FaultKind, float] = {
    FaultKind.HANG: 120.0,  # longer than any client's patience; real time
    FaultKind.POSITIONS_LAG: 60.0,
    FaultKind.PENDING_CANCEL: 7_200.0,  # "for hours"
    FaultKind.FILL_BEFORE_CANCEL_ACK: 20.0,
    FaultKind.ASYNC_REJECT: 1.0,
    FaultKind.FRAMES_REORDERED: 5.0,
    FaultKind.BAR_LATE: 90.0,
    FaultKind.BAR_REVISED: 30.0,
}
# How long a condition lasts where the plan does not say, seconds.
LASTS_S: Mapping[FaultKind, float] = {
    FaultKind.STREAM_SILENT: 300.0,
    FaultKind.FEED_FROZEN: 180.0,
    FaultKind.SYMBOL_HALTED: 600.0,
}


def _moment(value: object) -> object:
    """Read `at`: "hh:mm[:ss]" New York, or an instant with an offset; YAML may have made it a number.

    YAML 1.1 reads 10:31 as 631 and 10:31:00 as 37,860: sixtieths. Under a day's minutes it was hh:mm.
    """
    if isinstance(value, bool) or value is None or isinstance(value, time | datetime):
        return value
    if isinstance(value, int):
        seconds = value * 60 if value < MINUTES_A_DAY else value
        if not 0 <= seconds < MINUTES_A_DAY * 60:
            raise ValueError("a time of day has less than 24 hours")
        return time(seconds // 3600, seconds // 60 % 60, seconds % 60)
    if not isinstance(value, str):
        raise ValueError("a time of day or an instant is needed")
    for read in (time.fromisoformat, datetime.fromisoformat):
        try:
            return read(value)
        except ValueError:
            continue
    raise ValueError("a time of day or an instant is needed")


class _Part(BaseModel):
    """Frozen; an unknown key is an error. Not strict: YAML and JSON carry words for what is typed here."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FaultRule(_Part):
    """One fault: when, where, how often. Null means: not fenced, or the fault's own default."""

    kind: FaultKind
    chance: float | None = Field(None, gt=0, le=1)  # of each occasion
    every: int | None = Field(None, ge=1)  # the 1st, n+1st, 2n+1st ... occasion
    at: Annotated[time | datetime | None, BeforeValidator(_moment)] = None  # New York, or an instant
    for_s: float | None = Field(None, gt=0, le=SECONDS_MAX)  # of venue time
    every_s: float | None = Field(None, gt=0, le=SECONDS_MAX)  # the window comes again
    times: int | None = Field(None, ge=1)
    calls: tuple[Call, ...] = ()  # none: every call the fault may befall
    streams: tuple[StreamName, ...] = ()  # none: both
    symbols: tuple[Annotated[str, Field(pattern=SYMBOL)], ...] = ()  # none: all
    lands: bool | None = None  # whether what was asked is done all the same; null: the seed decides
    delay_s: float | None = Field(None, ge=0, le=SECONDS_MAX)
    retry_after_s: int = Field(1, ge=0, le=86_400)
    skew_s: float = Field(30.0, ge=-86_400, le=86_400)
    share: Decimal = Field(Decimal("0.5"), gt=0, lt=1)
    side: Side = Side.BUY
    qty: Decimal = Field(Decimal(1), gt=0)
    price: Decimal | None = Field(None, gt=0)
    new_shares: Decimal = Field(Decimal(2), gt=0)
    old_shares: Decimal = Field(Decimal(1), gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Refuse what would be ignored."""
        if self.chance is None and self.every is None and self.at is None:
            raise ValueError("chance, every or at is needed: when does it strike?")
        if self.chance is not None and self.every is not None:
            raise ValueError("chance and every exclude each other")
        for key, kinds in _ONLY_FOR.items():
            if key in self.model_fields_set and self.kind not in kinds:
                words = ", ".join(sorted(kinds)) if len(kinds) < len(CALLS_OF) else "the faults of calls"
                raise ValueError(f"{key} means nothing to {self.kind}; it is for {words}")
        if self.symbols and self.kind in _WITHOUT_SYMBOLS:
            raise ValueError(f"symbols mean nothing to {self.kind}: it befalls the whole account")
        strange = set(self.calls) - CALLS_OF.get(self.kind, ANY_CALL)
        if strange:
            allowed = ", ".join(sorted(CALLS_OF[self.kind]))
            raise ValueError(f"{self.kind} cannot befall {', '.join(sorted(strange))}; allowed: {allowed}")
        if self.every_s is not None and self.at is None:
            raise ValueError("every_s repeats what begins at `at`, which is missing")
        if self.for_s is not None and self.at is None and self.kind not in LASTS_S:
            raise ValueError("for_s ends what begins at `at`, which is missing")
        if isinstance(self.at, datetime) and self.at.tzinfo is None:
            raise ValueError("an instant needs its offset, as in 2026-11-20T15:31:00Z")
        if isinstance(self.at, time) and self.at.tzinfo is not None:
            raise ValueError("a time of day is New York's and has no offset")
        if self.kind is FaultKind.SPLIT_OVER_OPEN_ORDERS and self.new_shares == self.old_shares:
            raise ValueError("new_shares and old_shares are equal: that is no split")
        return self

    @property
    def delay(self) -> float:
        """Give how long the fault takes, seconds."""
        return self.delay_s if self.delay_s is not None else DELAYS_S.get(self.kind, 0.0)

    @property
    def lasts(self) -> float:
        """Give how long the condition lasts, seconds."""
        return self.for_s if self.for_s is not None else LASTS_S.get(self.kind, 0.0)

    def befalls(self, call: Call) -> bool:
        """Tell whether a call is one of the rule's."""
        return call in (self.calls or CALLS_OF.get(self.kind, frozenset()))

    def befalls_stream(self, name: StreamName) -> bool:
        """Tell whether a stream is one of the rule's."""
        return len(self.streams) == 0 or name in self.streams

    def concerns(self, symbols: Sequence[str]) -> bool:
        """Tell whether one of the symbols is the rule's; a rule without symbols concerns everything."""
        return len(self.symbols) == 0 or any(symbol in self.symbols for symbol in symbols)


class FaultPlan(_Part):
    """A seed and the rules it decides."""

    seed: int = 0
    rules: tuple[FaultRule, ...] = Field((), max_length=RULES_MAX)


def complaint(error: ValidationError) -> str:
    """Say in one line what is wrong with a plan: the key, its value and what is allowed."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("time", "datetime")) or "plan"
    value: Any = first.get("input")
    kind, words = first["type"], str(first["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        allowed = FaultRule.model_fields if "rules" in first["loc"] else FaultPlan.model_fields
        return f"{where}: no such key; allowed: {', '.join(allowed)}"
    if kind == "missing":
        return f"{where}: missing"
    if isinstance(value, dict | FaultRule):
        return f"{where}: {words}"
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return f"{where} is {shown}; allowed: {words.removeprefix('Input should be ')}"
