"""Minute bars and splits behind `desk.ports.MarketData`: Alpaca's market data through alpaca-py.

alpaca-py's own paging is a loop without a bound that starts at page one after any error, so pages
are followed here: each is a read with its own bounded tries, and their number is bounded. The desk's
intervals are half-open and Alpaca's are closed, so the end sent is one microsecond earlier. The feed is
always named: its default depends on the plan, and feeds must not be mixed in one series.

Nothing is judged here, the inspector does that. A bar becomes a row of `RAW_SCHEMA`; a field that is
absent or null is null; a time that cannot be read is null. If a value has the wrong type, the frame is
given with the type polars finds instead, so that the inspector sees what was delivered.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import tenacity
from alpaca.common.rest import RESTClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.historical.stock import StockHistoricalDataClient

from desk.adapters import alpaca_parse as parse
from desk.adapters.alpaca_http import AlpacaHttp
from desk.adapters.alpaca_login import Login, login
from desk.errors import BrokerUnavailable
from schemas.account import Split
from schemas.bars import RAW_SCHEMA
from schemas.settings import Settings

PATH = "/stocks/bars"
ACTIONS_PATH = "/corporate-actions"
# A unit split also changes the symbol, which the desk does not follow; it shows as a break.
SPLIT_KINDS = ("forward_split", "reverse_split")
ACTIONS_PAGE = 1_000  # Alpaca's maximum
ACTIONS_PAGES_MAX = 20  # every split of every symbol within a year is fewer
# Alpaca filters by the date it processes an action, which may follow the ex-date by some days.
PROCESSED_LATE = timedelta(days=7)
PAGE = 10_000  # Alpaca's maximum, over all symbols of a page
PAGES_MAX = 2_000  # 20 million bars in one call: more belongs into a backfill, asked in pieces
TICK = timedelta(microseconds=1)
FIELDS = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "vwap": "vw", "trade_count": "n"}
INTEGERS = frozenset({"volume", "trade_count"})


def connect_market(
    settings: Settings, *, sleep: Callable[[float], None] = tenacity.nap.sleep
) -> "AlpacaMarket":
    """Check the account's settings and give the market data; nothing is sent yet. Raises ConfigError."""
    return AlpacaMarket(login(settings), sleep=sleep)


class AlpacaMarket:
    """`desk.ports.MarketData` over HTTP."""

    provider = "alpaca"

    def __init__(self, account: Login, *, sleep: Callable[[float], None] = tenacity.nap.sleep) -> None:
        self.feed = account.feed
        client = StockHistoricalDataClient(
            account.api_key, account.secret_key, raw_data=True, url_override=account.data_url
        )
        actions = CorporateActionsClient(
            account.api_key, account.secret_key, raw_data=True, url_override=account.data_url
        )
        self._http = self._over(client, account, sleep)
        self._actions = self._over(actions, account, sleep)

    @staticmethod
    def _over(client: RESTClient, account: Login, sleep: Callable[[float], None]) -> AlpacaHttp:
        return AlpacaHttp(
            client,
            url=account.data_url,
            connect_timeout_s=account.connect_timeout_s,
            read_timeout_s=account.read_timeout_s,
            read_attempts=account.read_attempts,
            sleep=sleep,
        )

    def bars(self, symbols: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
        """Give minute bars with ts in [start, end), unjudged, all pages.

        Columns are those of `RAW_SCHEMA`, and so are the types unless a value was of another one.

        Raises:
            BrokerUnavailable: a page could not be read, or the pages do not end.
        """
        rows: list[dict[str, object]] = []
        if symbols and start < end:
            for page in self._pages(symbols, start, end):
                rows.extend(_row(symbol, bar) for symbol, bar in page)
        return _frame([row for row in rows if not _outside(row["ts"], start, end)])

    def splits(self, symbols: Sequence[str], start: date, end: date) -> tuple[Split, ...]:
        """Give the splits of symbols with an ex-date in [start, end], all pages, by ex-date and symbol.

        Raises:
            BrokerUnavailable: a page could not be read, or the pages do not end.
        """
        params: dict[str, str | int] = {
            "symbols": ",".join(symbols),
            "types": ",".join(SPLIT_KINDS),
            "start": start.isoformat(),
            "end": (end + PROCESSED_LATE).isoformat(),
            "limit": ACTIONS_PAGE,
        }
        found: set[Split] = set()
        for _ in range(ACTIONS_PAGES_MAX if symbols else 0):
            try:
                answer = parse.row_of(self._actions.read(ACTIONS_PATH, params), "answer")
                found |= {each for each in _splits_of(answer) if start <= each.ex_date <= end}
            except parse.Malformed as error:
                raise BrokerUnavailable(f"GET {ACTIONS_PATH}: unreadable answer: {error}") from error
            token = answer.get("next_page_token")
            if token is None or token == "":
                return tuple(sorted(found, key=lambda each: (each.ex_date, each.symbol)))
            params["page_token"] = str(token)
        if not symbols:
            return ()
        raise BrokerUnavailable(f"GET {ACTIONS_PATH}: the pages do not end after {ACTIONS_PAGES_MAX}")

    def _pages(
        self, symbols: Sequence[str], start: datetime, end: datetime
    ) -> "Sequence[list[tuple[str, object]]]":
        params: dict[str, str | int] = {
            "symbols": ",".join(symbols),
            "timeframe": "1Min",
            "start": _stamp(start),
            "end": _stamp(end - TICK),
            "limit": PAGE,
            "adjustment": "raw",
            "feed": self.feed,
            "sort": "asc",
        }
        pages: list[list[tuple[str, object]]] = []
        tokens: set[str] = set()
        for _ in range(PAGES_MAX):
            try:
                answer = parse.row_of(self._http.read(PATH, params), "answer")
                pages.append(_bars_of(answer))
            except parse.Malformed as error:
                raise BrokerUnavailable(f"GET {PATH}: unreadable answer: {error}") from error
            token = answer.get("next_page_token")
            if token is None or token == "":
                return pages
            if str(token) in tokens:
                break
            tokens.add(str(token))
            params["page_token"] = str(token)
        raise BrokerUnavailable(f"GET {PATH}: the pages do not end after {len(pages)}")


def _bars_of(answer: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Give (symbol, bar) of one page; a null for no bars at all is what an empty day gives."""
    if "bars" not in answer:
        raise parse.Malformed("bars are missing")
    if answer["bars"] is None:
        return []
    by_symbol = parse.row_of(answer["bars"], "bars")
    return [
        (symbol, bar)
        for symbol, bars in by_symbol.items()
        for bar in ([] if bars is None else parse.rows_of(bars, f"bars of {symbol}"))
    ]


def _splits_of(answer: Mapping[str, Any]) -> list[Split]:
    """Give the splits of one page of corporate actions; kinds nobody asked for are passed over."""
    actions = parse.row_of(answer.get("corporate_actions") or {}, "corporate_actions")
    rows = [
        parse.row_of(row, f"{kind}s")
        for kind in SPLIT_KINDS
        for row in parse.rows_of(actions.get(f"{kind}s") or [], f"{kind}s")
    ]
    return [_split_of(row) for row in rows]


def _split_of(row: Mapping[str, Any]) -> Split:
    old, new = parse.amount(row, "old_rate"), parse.amount(row, "new_rate")
    if old <= 0 or new <= 0:
        raise parse.Malformed(f"a split of {old} into {new} shares")
    try:
        ex_date = date.fromisoformat(parse.text(row, "ex_date"))
    except ValueError as error:
        raise parse.Malformed(f"ex_date is {row.get('ex_date')!r}, a date is needed") from error
    return Split(symbol=parse.text(row, "symbol"), ex_date=ex_date, old=old, new=new)


def _row(symbol: str, bar: object) -> dict[str, object]:
    """Give one row; a bar that is not an object has nulls in every field but the symbol."""
    fields: Mapping[str, Any] = bar if isinstance(bar, dict) else {}
    row: dict[str, object] = {"symbol": symbol, "ts": _ts(fields)}
    for column, key in FIELDS.items():
        value = fields.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and column not in INTEGERS:
            value = float(value)
        if isinstance(value, float) and column in INTEGERS and value.is_integer():
            value = int(value)
        row[column] = value
    return row


def _ts(fields: Mapping[str, Any]) -> datetime | None:
    try:
        return parse.instant(fields, "t")
    except parse.Malformed:
        return None  # the inspector rejects a row without a time, and says so


def _outside(ts: object, start: datetime, end: datetime) -> bool:
    return isinstance(ts, datetime) and not start <= ts < end


def _frame(rows: Sequence[dict[str, object]]) -> pl.DataFrame:
    """Build the frame by the schema; if that fails, by what polars finds, mixed columns as text."""
    columns = {name: [row[name] for row in rows] for name in RAW_SCHEMA}
    series: list[pl.Series] = []
    for name, dtype in RAW_SCHEMA.items():
        try:
            series.append(pl.Series(name, columns[name], dtype=dtype, strict=True))
        except (TypeError, OverflowError, pl.exceptions.PolarsError):
            texts = [None if value is None else str(value) for value in columns[name]]
            series.append(pl.Series(name, texts, dtype=pl.String))
    return pl.DataFrame(series)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
