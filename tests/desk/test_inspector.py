"""The inspector over generated deliveries: neighbours of the known faults, several at once, and time."""

import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from desk.inspection import Mode
from desk.inspector import inspect
from schemas.bars import QUARANTINE_SCHEMA, RAW_SCHEMA, Flaw, Verdict, contract_breach
from tests.desk.deliveries import (
    OPEN,
    TEN,
    Row,
    bar,
    bars,
    ctx,
    flaws,
    reasons,
    remembering,
    verdicts,
)

# ---- shape --------------------------------------------------------------------------------


def test_clean_rows_are_accepted_in_order() -> None:
    """Sound rows of two symbols are accepted, sorted, typed, and nothing is said of them."""
    rows = [*bars(symbol="BBB"), *bars(symbol="AAA")]

    result = inspect(rows, ctx(rows, expected=("AAA", "BBB")))

    assert result.verdict is Verdict.ACCEPT
    assert dict(result.accepted.schema) == RAW_SCHEMA
    assert result.accepted["symbol"].to_list() == ["AAA"] * 5 + ["BBB"] * 5
    assert contract_breach(result.accepted) is None
    assert result.findings == ()
    assert result.suspects == frozenset()


def test_frame_and_rows_are_judged_alike() -> None:
    """A typed frame and the same bars as rows give the same accepted bars."""
    rows = bars()

    from_frame = inspect(pl.DataFrame(rows), ctx(rows))

    assert from_frame.bars.equals(inspect(rows, ctx(rows)).bars)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_any_zone_is_an_instant(zone: str) -> None:
    """An aware timestamp of any zone, unit or notation is the same minute."""
    rows = bars()
    frame = pl.DataFrame(rows).with_columns(pl.col("ts").dt.convert_time_zone(zone).dt.cast_time_unit("ns"))
    text = [{**row, "ts": row["ts"].isoformat().replace("+00:00", "Z")} for row in rows]

    assert inspect(frame, ctx(rows)).accepted.equals(inspect(text, ctx(rows)).accepted)
    assert inspect(frame, ctx(rows)).verdict is Verdict.ACCEPT


def test_naive_frame_is_refused_whole() -> None:
    """A frame whose timestamps have no zone is refused and every row is kept with its JSON."""
    rows = bars()
    frame = pl.DataFrame(rows).with_columns(pl.col("ts").dt.replace_time_zone(None))

    result = inspect(frame, ctx(rows))

    assert result.verdict is Verdict.REJECT_BATCH
    assert set(reasons(result)) == {Flaw.NAIVE_TIMESTAMP}
    assert result.suspects == {"AAA"}
    assert json.loads(result.quarantine["row"][0])["close"] == 50.0


def test_half_the_batch_naive() -> None:
    """Rows without a zone are refused, rows with one are used."""
    rows = [
        {**row, "ts": row["ts"].replace(tzinfo=None).isoformat()} if index % 2 else row
        for index, row in enumerate(bars(6))
    ]

    result = inspect(rows, ctx(rows, now=TEN + timedelta(minutes=6, seconds=2)))

    assert result.verdict is Verdict.REJECT_ROW
    assert verdicts(result) == ["accept", "reject_row"] * 3


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({"ts": None}, Flaw.MISSING_VALUE),
        ({"ts": "yesterday"}, Flaw.BAD_TIMESTAMP),
        ({"ts": 1_709_823_600}, Flaw.TYPE_MISMATCH),
        ({"ts": "2024-03-07"}, Flaw.NAIVE_TIMESTAMP),
        ({"ts": datetime(1970, 1, 1, tzinfo=UTC)}, Flaw.NOT_A_SESSION),
        ({"ts": TEN + timedelta(seconds=61)}, Flaw.MISALIGNED_TIMESTAMP),
        ({"ts": TEN + timedelta(microseconds=1)}, Flaw.MISALIGNED_TIMESTAMP),
        ({"ts": TEN + timedelta(hours=2)}, Flaw.FUTURE_BAR),
        ({"ts": TEN + timedelta(minutes=5)}, Flaw.UNFINISHED_BAR),
        ({"symbol": None}, Flaw.MISSING_VALUE),
        ({"symbol": 7}, Flaw.TYPE_MISMATCH),
        ({"symbol": "ZZZ"}, Flaw.WRONG_SYMBOL),
        ({"close": None}, Flaw.MISSING_VALUE),
        ({"close": "50.0"}, Flaw.TYPE_MISMATCH),
        ({"close": True}, Flaw.TYPE_MISMATCH),
        ({"close": Decimal("50")}, Flaw.TYPE_MISMATCH),
        ({"high": math.inf}, Flaw.NON_FINITE_PRICE),
        ({"low": -math.inf}, Flaw.NON_FINITE_PRICE),
        ({"open": math.nan}, Flaw.NON_FINITE_PRICE),
        ({"low": 0.0}, Flaw.NON_POSITIVE_PRICE),
        ({"low": -1.0}, Flaw.NON_POSITIVE_PRICE),
        ({"high": 49.0}, Flaw.OHLC_ORDER),
        ({"low": 50.01}, Flaw.OHLC_ORDER),
        ({"open": 5e6, "high": 5e6, "low": 5e6, "close": 5e6}, Flaw.SCALE_MISMATCH),
        ({"volume": None}, Flaw.MISSING_VALUE),
        ({"volume": True}, Flaw.TYPE_MISMATCH),
        ({"volume": "100"}, Flaw.TYPE_MISMATCH),
        ({"volume": 100.5}, Flaw.TYPE_MISMATCH),
        ({"volume": math.nan}, Flaw.TYPE_MISMATCH),
        ({"volume": -1}, Flaw.NEGATIVE_VOLUME),
        ({"volume": 2**63}, Flaw.VOLUME_OVERFLOW),
        ({"volume": -(2**70)}, Flaw.VOLUME_OVERFLOW),
        ({"volume": 2**62}, Flaw.VOLUME_OVERFLOW),
        ({"trade_count": -1}, Flaw.NEGATIVE_TRADE_COUNT),
        ({"trade_count": False}, Flaw.TYPE_MISMATCH),
        ({"vwap": 50.2}, Flaw.VWAP_RANGE),
        ({"vwap": math.nan}, Flaw.VWAP_RANGE),
        ({"vwap": "50"}, Flaw.TYPE_MISMATCH),
    ],
    ids=lambda value: str(value).replace("datetime.", "") if isinstance(value, dict) else None,
)
def test_one_bad_row_is_refused_and_the_rest_used(changes: Row, flaw: Flaw) -> None:
    """A fault in one row costs that row alone, is named, and says something a person can read."""
    rows = bars()
    rows[2] = {**rows[2], **changes}

    result = inspect(rows, ctx(now=TEN + timedelta(minutes=5, seconds=2)))

    assert reasons(result) == [None, None, flaw.value, None, None]
    assert result.accepted.height == 4
    assert result.quarantine.height == 1
    assert result.quarantine["detail"][0] != flaw.value
    assert dict(result.quarantine.schema) == QUARANTINE_SCHEMA


def test_several_faults_in_one_batch() -> None:
    """Each row has its own verdict; the delivery's is the most severe."""
    rows = bars(8)
    rows[1]["close"] = math.nan
    rows[2]["volume"] = "many"
    rows[3]["symbol"] = "ZZZ"
    rows[4]["volume"] = 0
    rows[5].update(low=30.0)
    rows.append(dict(rows[6]))

    result = inspect(rows, ctx(now=TEN + timedelta(minutes=8, seconds=2)))

    assert reasons(result) == [
        None,
        Flaw.NON_FINITE_PRICE,
        Flaw.TYPE_MISMATCH,
        Flaw.WRONG_SYMBOL,
        Flaw.ZERO_VOLUME,
        Flaw.PRICE_OUTLIER,
        None,
        None,
        Flaw.DUPLICATE,
    ]
    assert result.verdict is Verdict.QUARANTINE
    assert result.suspects == {"AAA"}


@pytest.mark.parametrize("column", ["symbol", "ts", "open", "high", "low", "close", "volume"])
def test_missing_column_refuses_the_batch(column: str) -> None:
    """A required column that is absent from every row is not filled from another."""
    rows = bars()
    without = [{key: value for key, value in row.items() if key != column} for row in rows]

    for delivery in (without, pl.DataFrame(without)):
        result = inspect(delivery, ctx(rows))
        assert result.verdict is Verdict.REJECT_BATCH
        assert Flaw.MISSING_COLUMN in flaws(result)
        assert result.quarantine.height == 5


def test_key_missing_in_one_row() -> None:
    """A key absent from one row is that row's fault."""
    rows = bars()
    del rows[1]["close"]

    assert reasons(inspect(rows, ctx(rows))) == [None, Flaw.MISSING_VALUE, None, None, None]


def test_every_row_with_text_prices_refuses_the_batch() -> None:
    """Type drift of a whole delivery is the source's fault."""
    rows = [{**row, "open": str(row["open"])} for row in bars()]

    for delivery in (rows, pl.DataFrame(rows)):
        result = inspect(delivery, ctx(rows))
        assert result.verdict is Verdict.REJECT_BATCH
        assert set(reasons(result)) == {Flaw.TYPE_MISMATCH}


def test_extra_column_is_told_and_unused() -> None:
    """An unknown column is a warning; its values are nowhere."""
    rows = [{**row, "adj_close": 1.0} for row in bars()]

    result = inspect(rows, ctx(rows))

    assert result.verdict is Verdict.WARN
    assert flaws(result) == {Flaw.EXTRA_COLUMN}


def test_whole_numbers_are_numbers() -> None:
    """An integer price and an integral float volume are read without loss."""
    rows = [
        {**row, "open": 50, "high": 51, "low": 49, "close": 50, "volume": float(row["volume"])}
        for row in bars()
    ]

    assert inspect(rows, ctx(rows)).verdict is Verdict.ACCEPT


def test_vwap_of_a_minute_without_trades_is_set_aside() -> None:
    """A vwap of 0 or NaN beside volume 0 says nothing and refuses nothing."""
    rows = bars()
    rows[1].update(volume=0, vwap=0.0)
    rows[2].update(volume=0, vwap=math.nan)

    result = inspect(rows, ctx(rows))

    assert verdicts(result) == ["accept", "warn", "warn", "accept", "accept"]
    assert result.accepted["vwap"].null_count() == 5


# ---- symbols ------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["brk.b", "BRKB", "BRK-B", "BRK/B"])
def test_another_spelling_is_unknown_not_mapped(spelling: str) -> None:
    """Without a symbol master a look-alike is quarantined and not translated."""
    rows = bars(symbol=spelling)

    result = inspect(rows, ctx(rows, expected=("BRK.B",)))

    assert result.verdict is Verdict.QUARANTINE
    assert set(reasons(result)) == {Flaw.UNKNOWN_SYMBOL}
    assert result.accepted.is_empty()


def test_master_tells_foreign_from_unknown() -> None:
    """A symbol of the master that was not asked for is wrong; one outside it is unknown."""
    rows = [bar("AAA"), bar("BBB"), bar("QQQQQ")]

    result = inspect(rows, ctx(rows, known=("AAA", "BBB")))

    assert reasons(result) == [None, Flaw.WRONG_SYMBOL, Flaw.UNKNOWN_SYMBOL]


# ---- time ---------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [1, 4, 5, 9])
def test_wall_clock_under_the_wrong_zone(hours: int) -> None:
    """A live delivery whole hours behind is refused whole, with the zone named."""
    rows = bars(base=OPEN + timedelta(minutes=30))

    result = inspect(rows, ctx(now=TEN + timedelta(hours=min(hours, 5), minutes=5, seconds=2)))

    assert result.verdict is Verdict.REJECT_BATCH
    assert Flaw.ZONE_SHIFT in flaws(result)


def test_newest_bar_ninety_minutes_old() -> None:
    """An old delivery that is not whole hours off is stale, and none of it is used."""
    rows = bars()

    result = inspect(rows, ctx(now=TEN + timedelta(minutes=95)))

    assert result.verdict is Verdict.REJECT_BATCH
    assert Flaw.STALE_BATCH in flaws(result)


def test_every_row_in_the_future() -> None:
    """A delivery that lies wholly after now is refused whole."""
    rows = bars()

    result = inspect(rows, ctx(now=TEN - timedelta(hours=4)))

    assert result.verdict is Verdict.REJECT_BATCH
    assert set(reasons(result)) == {Flaw.FUTURE_BAR}


@pytest.mark.parametrize(("after_s", "accepted"), [(60.0, False), (60.9, False), (61.0, True)])
def test_bar_is_final_a_second_after_its_minute(after_s: float, accepted: bool) -> None:
    """A minute's bar is used from one second after its end."""
    rows = [bar()]

    result = inspect(rows, ctx(now=TEN + timedelta(seconds=after_s)))

    assert (result.accepted.height == 1) is accepted


@pytest.mark.parametrize("day", [datetime(2024, 7, 4, tzinfo=UTC), datetime(2024, 3, 9, tzinfo=UTC)])
def test_holiday_and_weekend(day: datetime) -> None:
    """Bars on a holiday or a Saturday belong to no session."""
    rows = bars(base=day + timedelta(hours=15))

    result = inspect(rows, ctx(rows, mode=Mode.BACKFILL, now=day + timedelta(days=3)))

    assert result.verdict is Verdict.REJECT_ROW
    assert set(reasons(result)) == {Flaw.NOT_A_SESSION}


def test_night_of_a_session_day() -> None:
    """Bars between 20:00 and 04:00 New York are outside all hours."""
    rows = bars(base=datetime(2024, 3, 7, 7, 0, tzinfo=UTC))

    assert set(reasons(inspect(rows, ctx(rows, mode=Mode.BACKFILL)))) == {Flaw.OUTSIDE_HOURS}


def test_early_close_ends_the_regular_session() -> None:
    """On the day after Thanksgiving the 13:00 New York bar is post-market and 12:59 is not."""
    close = datetime(2024, 11, 29, 18, 0, tzinfo=UTC)
    rows = bars(2, base=close - timedelta(minutes=1))

    result = inspect(rows, ctx(rows, mode=Mode.BACKFILL))

    assert result.bars["segment"].to_list() == ["regular", "post"]
    assert result.regular.height == 1


def test_evening_after_midnight_utc_belongs_to_its_day() -> None:
    """19:30 New York in winter is the next UTC day and the same session's post-market."""
    rows = bars(1, base=datetime(2024, 1, 9, 0, 30, tzinfo=UTC))

    result = inspect(rows, ctx(rows, mode=Mode.BACKFILL))

    assert result.bars["segment"].to_list() == ["post"]
    assert str(result.bars["session_date"][0]) == "2024-01-08"


def test_stale_feed_blocks_and_a_single_stale_symbol_is_suspect() -> None:
    """Of two symbols one silent makes that one suspect; both silent puts the feed in quarantine."""
    memory = remembering([*bars(), *bars(symbol="BBB")])
    rows = [bar("AAA", minute) for minute in range(5, 10)]

    one = inspect(rows, ctx(rows, expected=("AAA", "BBB"), memory=memory))
    both = inspect([], ctx(now=TEN + timedelta(minutes=20), expected=("AAA", "BBB"), memory=memory))

    assert one.verdict is Verdict.WARN
    assert one.suspects == {"BBB"}
    assert both.verdict is Verdict.QUARANTINE
    assert both.suspects == {"AAA", "BBB"}


def test_quiet_feed_outside_the_session() -> None:
    """Before the open and after the close nothing is stale."""
    for now in (OPEN - timedelta(hours=1), OPEN + timedelta(hours=8)):
        result = inspect([], ctx(now=now))
        assert result.verdict is Verdict.ACCEPT
        assert result.suspects == frozenset()


def test_gap_runs_from_memory_to_the_delivery_and_from_the_open() -> None:
    """Missing minutes are named once as a run, across deliveries; a late first bar counts from the open."""
    memory = remembering(bars(2))
    rows = [bar(minute=5)]

    found = [
        finding for finding in inspect(rows, ctx(rows, memory=memory)).findings if finding.flaw is Flaw.GAP
    ]

    assert [(finding.ts, "3 minute" in finding.detail) for finding in found] == [
        (TEN + timedelta(minutes=2), True)
    ]
