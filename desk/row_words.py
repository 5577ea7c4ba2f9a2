"""The words for a refused bar: the number found and the limit it was held against."""

from collections.abc import Mapping

from desk.inspection import Context
from desk.row_checks import VOLUME_MAX
from schemas.bars import VWAP_SLACK_USD, Flaw


def describe(row: Mapping[str, object], context: Context) -> str:
    """Say what is wrong with a row, in one line for a person.

    Args:
        row: With the columns of `RAW_SCHEMA` and `reason`.
        context: What it was judged by.
    """
    flaw = Flaw(str(row["reason"]))
    now = context.now.isoformat()
    prices = f"open {row['open']}, high {row['high']}, low {row['low']}, close {row['close']}"
    expected = ", ".join(sorted(context.expected)[:5]) + (", ..." if len(context.expected) > 5 else "")
    final = f"60 s + {context.limits.final_after_s:g} s"
    span = f"low {row['low']} to high {row['high']}"
    words = {
        Flaw.MISSING_VALUE: "a required value is null",
        Flaw.WRONG_SYMBOL: f"symbol {row['symbol']} was not asked for; expected {expected}",
        Flaw.UNKNOWN_SYMBOL: f"symbol {row['symbol']} is not known; no alias is guessed",
        Flaw.MISALIGNED_TIMESTAMP: f"ts {row['ts']} is not on the minute; it is not rounded",
        Flaw.FUTURE_BAR: f"ts {row['ts']} lies after {now}",
        Flaw.UNFINISHED_BAR: f"the minute {row['ts']} is final {final} later, now {now}",
        Flaw.NOT_A_SESSION: f"{row['ts']} is in no session of the calendar",
        Flaw.OUTSIDE_HOURS: f"{row['ts']} is outside 04:00 to 20:00 New York",
        Flaw.EXTENDED_HOURS: f"{row['ts']} is outside the regular session; not a signal bar",
        Flaw.NON_FINITE_PRICE: f"a price is not a finite number: {prices}",
        Flaw.NON_POSITIVE_PRICE: f"a price is not above 0: {prices}",
        Flaw.OHLC_ORDER: f"low <= open, close <= high does not hold: {prices}",
        Flaw.SCALE_MISMATCH: f"prices are in another unit: {prices}",
        Flaw.NEGATIVE_VOLUME: f"volume {row['volume']} is below 0",
        Flaw.VOLUME_OVERFLOW: f"volume {row['volume']} is above {VOLUME_MAX}",
        Flaw.NEGATIVE_TRADE_COUNT: f"trade count {row['trade_count']} is below 0",
        Flaw.VWAP_RANGE: f"vwap {row['vwap']} is outside {span} by over {VWAP_SLACK_USD}",
        Flaw.ZERO_VOLUME: f"volume 0 in the regular session: {prices}; no weight in any vwap",
        Flaw.DUPLICATE: f"the minute {row['ts']} was delivered before with the same values",
        Flaw.REVISION: f"the minute {row['ts']} was delivered before with other values; kept as a revision",
        Flaw.LATE_BAR: f"{row['symbol']} bars newer than {row['ts']} were acted on already",
    }
    return words.get(flaw, flaw.value)
