"""The 29 real and mutated deliveries of the shared data, each judged as its author expects."""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from desk.hours import session_hours
from desk.inspection import Context, Inspection, Mode
from desk.inspector import inspect
from desk.money import nearest_tick, tick_size
from desk.tape import Tape
from schemas.bars import RAW_SCHEMA, Flaw
from schemas.settings import DataSettings
from strategies.indicators import session_vwap, with_session

REAL = Path(os.environ.get("DESK_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
CASES_FILE = REAL / "dirty_bars.json"
CASES = (
    {case["id"]: case for case in json.loads(CASES_FILE.read_text())["cases"]} if CASES_FILE.exists() else {}
)

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not CASES, reason=f"no dirty_bars.json at {REAL}: set DESK_REAL_DATA"),
]

USABLE = {"accept", "warn"}


def decoded(value: object) -> object:
    """Read the file's encoding of numbers JSON cannot say."""
    if isinstance(value, Mapping) and "$f" in value:
        return float(value["$f"])
    if isinstance(value, Mapping) and "$i" in value:
        return int(value["$i"])
    return value


def rows_of(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{key: decoded(value) for key, value in row.items()} for row in rows]


def memory_of(case: dict) -> Tape:
    """Give a tape holding the case's history, taken in without judgement."""
    tape = Tape()
    history = rows_of(case["context"].get("history", []))
    if history:
        first = datetime.fromisoformat(str(history[0]["timestamp"]))
        hours = session_hours(first.date())
        assert hours is not None
        frame = pl.DataFrame(
            [{**row, "ts": datetime.fromisoformat(str(row["timestamp"]))} for row in history]
        )
        accepted = frame.select(
            *(
                pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype).alias(name)
                for name, dtype in RAW_SCHEMA.items()
            ),
            pl.lit(0, pl.Int32).alias("revision"),
            pl.lit(hours.session_date).alias("session_date"),
            pl.when(pl.col("ts") < hours.closes_at)
            .then(pl.lit("regular"))
            .otherwise(pl.lit("post"))
            .alias("segment"),
        )
        tape.add(accepted, datetime.fromisoformat(case["now_utc"]))
    return tape


def judged(case: dict) -> Inspection:
    master = case["context"].get("symbol_master")
    context = Context(
        now=datetime.fromisoformat(case["now_utc"]),
        mode=Mode(case["mode"]),
        expected=frozenset({case["expected_symbol"]}),
        session_on=session_hours,
        limits=DataSettings(),
        memory=memory_of(case),
        known_symbols=None if master is None else frozenset(master),
    )
    return inspect(rows_of(case["input_rows"]), context)


@pytest.mark.parametrize("name", sorted(CASES))
def test_case_verdicts(name: str) -> None:
    """Batch verdict, row verdicts and usable rows are the expected ones, and the reason is named."""
    case = CASES[name]
    expected = case["expected"]

    result = judged(case)

    assert result.verdict.value in {expected["verdict"], *expected["also_acceptable"]}
    verdicts = {str(row): verdict for row, verdict in result.rows.select("row", "verdict").iter_rows()}
    usable = {int(row) for row, verdict in verdicts.items() if verdict in USABLE}
    assert usable.isdisjoint(expected["never_reach_strategy"])
    if result.verdict.value == expected["verdict"]:
        assert usable == set(expected["accepted_rows"])
        assert verdicts == expected["row_verdicts"]
    reasons = set(result.rows["reason"].drop_nulls()) | {finding.flaw.value for finding in result.findings}
    for line in expected["must"]:
        if line.startswith("reason: "):
            assert reasons & set(line.removeprefix("reason: ").split(" or "))


@pytest.mark.parametrize("name", sorted(CASES))
def test_case_keeps_what_it_refuses(name: str) -> None:
    """Every refused row but an identical redelivery is in quarantine with a reason and its JSON."""
    result = judged(CASES[name])

    refused = result.rows.filter(
        ~pl.col("verdict").is_in(list(USABLE)) & (pl.col("reason") != Flaw.DUPLICATE.value)
    )
    assert result.quarantine.height == refused.height
    assert all(json.loads(row) for row in result.quarantine["row"])
    assert all(words for words in result.quarantine["detail"])


def findings(result: Inspection, flaw: Flaw) -> list[str]:
    return [finding.detail for finding in result.findings if finding.flaw is flaw]


def case_result(name: str) -> Inspection:
    return judged(CASES[name])


def test_t11_is_processed_in_time_order() -> None:
    """A backfill out of order is sorted before use."""
    assert case_result("T11").accepted["ts"].is_sorted()


def test_t13_late_bar_changes_nothing_decided() -> None:
    """What strategies see of 11:03 to 11:05 is the same with and without the late 11:02 bar."""
    case = CASES["T13"]
    without = {**case, "input_rows": case["input_rows"][:-1]}

    assert case_result("T13").accepted.equals(judged(without).accepted)


def test_t14_keeps_exactly_one_bar_of_the_minute() -> None:
    """A minute delivered twice is one bar."""
    assert case_result("T14").bars["ts"].is_unique().all()


def test_c01_both_opens_are_regular_and_the_minute_before_is_not() -> None:
    """13:30Z in summer and 14:30Z in winter are the same open."""
    segments = case_result("C01").bars.sort("ts")["segment"].to_list()

    assert segments == ["pre", "regular", "regular", "regular"]


def test_c07_opening_range_starts_at_the_open() -> None:
    """The first bar a strategy sees is the 13:30Z bar."""
    result = case_result("C07")

    tape = Tape()
    tape.add(result.bars, datetime.fromisoformat(CASES["C07"]["now_utc"]))

    assert tape.frame()["ts"].min() == datetime.fromisoformat("2025-09-26T13:30:00Z")


def test_c09_closing_print_is_kept_and_is_no_signal_bar() -> None:
    """The 16:00 bar with six million shares is accepted, classed post, and unseen by strategies."""
    result = case_result("C09")
    closing = datetime.fromisoformat("2025-09-26T20:00:00Z")

    assert result.bars.filter(pl.col("ts") == closing)["segment"].to_list() == ["post"]
    assert result.regular.filter(pl.col("ts") >= closing).is_empty()


def test_p17_order_prices_are_multiples_of_the_tick() -> None:
    """A price with single-precision noise becomes a legal order price."""
    for price in case_result("P17").accepted["close"]:
        legal = nearest_tick(price)
        assert legal % tick_size(legal) == Decimal(0)


def test_v03_volume_weighting_skips_the_minute_without_volume() -> None:
    """The session VWAP does not move on the bar with volume 0."""
    result = case_result("V03")

    vwap = (
        with_session(result.regular)
        .with_columns(session_vwap().alias("session_vwap"))["session_vwap"]
        .to_list()
    )

    assert vwap[2] == vwap[1]


def test_s05_extra_column_is_named_and_not_used() -> None:
    """adj_close is reported and absent from what is used."""
    result = case_result("S05")

    assert "adj_close" in findings(result, Flaw.EXTRA_COLUMN)[0]
    assert "adj_close" not in result.bars.columns


def test_s11_empty_poll_invents_no_bar_and_allows_no_entry() -> None:
    """Nothing is carried forward, and the symbol is suspect while nothing of it is known."""
    result = case_result("S11")

    assert result.bars.is_empty()
    assert result.suspects == {"AAPL"}


def test_g01_stale_feed_alerts_and_blocks_entries() -> None:
    """A feed twelve minutes old is named, and its symbol gets no entry."""
    result = case_result("G01")

    assert findings(result, Flaw.STALE_FEED)
    assert result.suspects == {"MSFT"}


def test_g03_gap_is_recorded_and_not_filled() -> None:
    """The missing minute 11:18 is named and no bar is made for it."""
    result = case_result("G03")
    missing = datetime.fromisoformat("2024-08-21T15:18:00Z")

    assert [finding.ts for finding in result.findings if finding.flaw is Flaw.GAP] == [missing]
    assert missing not in result.bars["ts"].to_list()
