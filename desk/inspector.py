"""The inspector: judges every delivery of bars before anybody uses one (D1, I10).

A delivery is read (`desk/delivery`), each row is judged by itself (`desk/row_checks`), the whole by the
clock (`desk/feed_watch`), prices by what came before (`desk/plausibility`) and minutes by whether they
were printed already (`desk/repeats`). What passes then meets the contract once, for the whole batch. Most
deliveries have nothing wrong with any row; those are told first, in one pass (`desk/clean_path`).

Rules:
- A row has one verdict and, unless accepted, one reason. The delivery's verdict is its most severe.
- A fault of the source (types, zones, a column, a unit) on every row rejects the batch: then nothing in it
  can be relied on. On some rows it rejects those.
- Refused rows are kept with their reason; accepted rows are never altered, but for the vwap of a minute
  in which nothing traded.
- Quarantine and doubts about price or time make a symbol suspect: the gate denies entries on it.

Pure: the clock, the calendar and the bars before are handed in. Left out: repairing anything.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from desk.clean_path import clean
from desk.delivery import Delivery, Reading, read
from desk.errors import BadBatch
from desk.feed_watch import gaps, session_at, staleness, wrong_time
from desk.inspection import Context, Finding, Inspection, Mode
from desk.plausibility import Doubt, price_doubts
from desk.refusals import quarantined, row_report
from desk.repeats import judge_repeats
from desk.row_checks import attach_session, drop_idle_vwap, row_flaws, word
from schemas.bars import (
    ACCEPTED_SCHEMA,
    QUARANTINE_SCHEMA,
    RAW_SCHEMA,
    Flaw,
    Segment,
    Verdict,
    contract_breach,
)

_SEVERITY = {verdict: rank for rank, verdict in enumerate(Verdict)}

# The verdict of a row by its reason; every other flaw rejects the row.
_ROW_VERDICTS = {
    Flaw.UNKNOWN_SYMBOL: Verdict.QUARANTINE,
    Flaw.VWAP_RANGE: Verdict.QUARANTINE,
    Flaw.PRICE_JUMP: Verdict.QUARANTINE,
    Flaw.PRICE_OUTLIER: Verdict.QUARANTINE,
    Flaw.LATE_BAR: Verdict.QUARANTINE,
    Flaw.ZERO_VOLUME: Verdict.WARN,
    Flaw.EXTENDED_HOURS: Verdict.WARN,
    Flaw.REVISION: Verdict.WARN,
}
# On every row, these are faults of the source and not of rows.
_SOURCE_FLAWS = frozenset(
    {
        Flaw.NAIVE_TIMESTAMP,
        Flaw.BAD_TIMESTAMP,
        Flaw.TYPE_MISMATCH,
        Flaw.MISSING_VALUE,
        Flaw.SCALE_MISMATCH,
        Flaw.FUTURE_BAR,
    }
)
# Rejected rows that nevertheless make their symbol suspect.
_SUSPECT_FLAWS = frozenset({Flaw.SCALE_MISMATCH})


@dataclass(frozen=True)
class _Refusal:
    """Why a whole delivery is refused."""

    flaw: Flaw
    detail: str


def inspect(delivery: Delivery, context: Context) -> Inspection:
    """Judge a delivery; gives an answer for anything that can be delivered.

    Raises:
        BadBatch: Accepted rows break the contract: an error in this program, and no bar is used.
    """
    result = clean(delivery, context)
    if result is None:
        return judge(delivery, context)
    _hold_to_contract(result.accepted)
    return result


def judge(delivery: Delivery, context: Context) -> Inspection:
    """Judge a delivery row by row, fault by fault; `inspect` comes here for what is not plainly clean.

    Raises:
        BadBatch: As `inspect`.
    """
    reading = read(delivery)
    if reading.frame.height == 0:
        return _empty(reading, context)
    if reading.missing:
        words = f"column {', '.join(reading.missing)} is missing in all {reading.frame.height} rows"
        return _refuse(delivery, reading.frame, context, _Refusal(Flaw.MISSING_COLUMN, words))
    rows = reading.frame.with_columns(drop_idle_vwap()).with_columns(row_flaws(context))
    rows = attach_session(rows, context).sort("symbol", "ts", "row")
    refusal = _source_refusal(rows) or _clock_refusal(rows, context)
    if refusal is not None:
        return _refuse(delivery, rows, context, refusal)
    usable = rows.filter(pl.col("reason").is_null())
    doubts = price_doubts(usable, context)
    rows, usable = _apply_doubts(rows, usable, doubts)
    refusal = _source_refusal(rows)
    if refusal is not None:
        return _refuse(delivery, rows, context, refusal)
    repeats = judge_repeats(usable, context)
    judged = rows.join(
        repeats.select("row", "revision", "repeat"), on="row", how="left", maintain_order="left"
    )
    return _conclude(delivery, reading, judged, context)


def _apply_doubts(
    rows: pl.DataFrame, usable: pl.DataFrame, doubts: list[Doubt]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Mark the rows whose prices are not believed; confirmed moves stay usable with a note."""
    if not doubts:
        return rows.with_columns(pl.lit(None, pl.String).alias("note")), usable
    marks = pl.DataFrame(
        {
            "row": [doubt.row for doubt in doubts],
            "doubt": [None if doubt.confirmed else doubt.flaw.value for doubt in doubts],
            "note": [doubt.flaw.value if doubt.confirmed else None for doubt in doubts],
            "why": [doubt.detail for doubt in doubts],
        },
        schema={"row": pl.UInt32(), "doubt": pl.String(), "note": pl.String(), "why": pl.String()},
    )
    marked = rows.join(marks, on="row", how="left", maintain_order="left").with_columns(
        pl.coalesce("reason", "doubt").alias("reason"), pl.coalesce("detail", "why").alias("detail")
    )
    return marked.drop("doubt", "why"), usable.filter(
        ~pl.col("row").is_in([doubt.row for doubt in doubts if not doubt.confirmed])
    )


def _source_refusal(rows: pl.DataFrame) -> _Refusal | None:
    """Refuse the batch when every row has a fault that is the source's."""
    if rows["reason"].null_count() > 0:
        return None
    reasons = Counter(Flaw(reason) for reason in rows["reason"].to_list())
    if not set(reasons) <= _SOURCE_FLAWS:
        return None
    flaw, count = reasons.most_common(1)[0]
    return _Refusal(flaw, f"{count} of {rows.height} rows have {flaw.value}, and no row is usable")


def _clock_refusal(rows: pl.DataFrame, context: Context) -> _Refusal | None:
    """Refuse a live delivery whose newest usable bar is hours away from now."""
    newest = rows.filter(pl.col("reason").is_null())["ts"].max()
    if not isinstance(newest, datetime):
        return None  # no usable row has an instant
    found = wrong_time(newest, context)
    return None if found is None else _Refusal(*found)


def _conclude(delivery: Delivery, reading: Reading, judged: pl.DataFrame, context: Context) -> Inspection:
    """Turn reasons into verdicts, frames and findings."""
    live = pl.lit(value=context.mode.is_live)
    regular = pl.col("segment") == Segment.REGULAR.value
    final = judged.with_columns(
        pl.coalesce(
            "reason",
            "repeat",
            "note",
            word((pl.col("volume") == 0) & regular, Flaw.ZERO_VOLUME),
            word(~regular & live, Flaw.EXTENDED_HOURS),
        ).alias("reason"),
        # A confirmed jump is usable although an unconfirmed one is not.
        pl.col("note").is_not_null().alias("confirmed"),
    ).with_columns(_verdicts())
    usable = final.filter(pl.col("verdict").is_in([Verdict.ACCEPT.value, Verdict.WARN.value]))
    bars = usable.select(*ACCEPTED_SCHEMA, "opens_at")
    _hold_to_contract(bars.unique(subset=["symbol", "ts"], keep="last", maintain_order=True))
    findings = [*_shape_findings(reading, final, context), *_repeat_findings(final), *gaps(bars, context)]
    stale, stale_symbols = staleness(bars, context)
    findings.extend(stale)
    refused = final.filter(~pl.col("verdict").is_in([Verdict.ACCEPT.value, Verdict.WARN.value]))
    kept = refused.filter(pl.col("reason") != Flaw.DUPLICATE.value)
    return Inspection(
        verdict=_overall(final, findings),
        report=lambda: row_report(final, context),
        bars=bars.select(*ACCEPTED_SCHEMA),
        quarantine=quarantined(delivery, kept, context),
        suspects=frozenset(_suspects(final)) | stale_symbols,
        findings=tuple(findings),
    )


def _verdicts() -> pl.Expr:
    words = {flaw.value: _ROW_VERDICTS.get(flaw, Verdict.REJECT_ROW).value for flaw in Flaw}
    by_reason = pl.col("reason").replace_strict(words, default=Verdict.REJECT_ROW.value)
    return (
        pl.when(pl.col("reason").is_null())
        .then(pl.lit(Verdict.ACCEPT.value))
        .when(pl.col("confirmed") & (pl.col("reason") != Flaw.DUPLICATE.value))
        .then(pl.lit(Verdict.WARN.value))
        .otherwise(by_reason)
        .alias("verdict")
    )


def _hold_to_contract(bars: pl.DataFrame) -> None:
    breach = contract_breach(bars.select(*RAW_SCHEMA))
    if breach is not None:
        raise BadBatch(f"accepted bars break the contract: {breach}")


def _overall(final: pl.DataFrame, findings: list[Finding]) -> Verdict:
    counted = final.select(
        pl.when(pl.col("reason") == Flaw.DUPLICATE.value)
        .then(pl.lit(Verdict.WARN.value))
        .otherwise(pl.col("verdict"))
        .unique()
    ).to_series()
    verdicts = [Verdict(value) for value in counted.to_list()] + [finding.verdict for finding in findings]
    return max(verdicts, key=_SEVERITY.__getitem__, default=Verdict.ACCEPT)


def _suspects(final: pl.DataFrame) -> list[str]:
    doubtful = (pl.col("verdict") == Verdict.QUARANTINE.value) | pl.col("reason").is_in(
        [flaw.value for flaw in _SUSPECT_FLAWS]
    )
    symbols: list[str] = final.filter(doubtful)["symbol"].drop_nulls().unique().to_list()
    return symbols


def _shape_findings(reading: Reading, final: pl.DataFrame, context: Context) -> list[Finding]:
    findings = []
    if reading.extra:
        words = f"column {', '.join(reading.extra)} is not known and not used"
        findings.append(Finding(Flaw.EXTRA_COLUMN, Verdict.WARN, None, None, words))
    back = (pl.col("symbol") == pl.col("symbol").shift(1)) & (pl.col("row") < pl.col("row").shift(1))
    count = final.select(back.sum()).item()
    if count > 0 and context.mode is not Mode.LIVE_STREAM:
        words = f"{count} row(s) came out of time order and were sorted"
        findings.append(Finding(Flaw.OUT_OF_ORDER, Verdict.WARN, None, None, words))
    return findings


def _repeat_findings(final: pl.DataFrame) -> list[Finding]:
    counts = dict(final.filter(pl.col("repeat").is_not_null())["repeat"].value_counts().iter_rows())
    words = {
        Flaw.DUPLICATE: "{} row(s) were delivered before with the same values and dropped",
        Flaw.REVISION: "{} row(s) revise a minute that was printed before",
        Flaw.LATE_BAR: "{} row(s) came after newer bars were acted on",
    }
    return [
        Finding(flaw, Verdict.WARN, None, None, text.format(counts[flaw.value]))
        for flaw, text in words.items()
        if flaw.value in counts
    ]


def _refuse(delivery: Delivery, rows: pl.DataFrame, context: Context, refusal: _Refusal) -> Inspection:
    """Reject everything; rows with a reason of their own keep it."""
    own = pl.col("reason") if "reason" in rows.columns else pl.lit(None, pl.String)
    detail = pl.col("detail") if "detail" in rows.columns else pl.lit(None, pl.String)
    final = rows.with_columns(
        detail=pl.when(own.is_null()).then(pl.lit(refusal.detail)).otherwise(detail),
        reason=pl.coalesce(own, pl.lit(refusal.flaw.value)),
        verdict=pl.lit(Verdict.REJECT_ROW.value),
    )
    finding = Finding(refusal.flaw, Verdict.REJECT_BATCH, None, None, refusal.detail)
    stale, _ = staleness(pl.DataFrame(schema=ACCEPTED_SCHEMA), context)
    batch = final.with_columns(verdict=pl.lit(Verdict.REJECT_BATCH.value))
    return Inspection(
        verdict=Verdict.REJECT_BATCH,
        report=lambda: row_report(final, context),
        bars=pl.DataFrame(schema=ACCEPTED_SCHEMA),
        quarantine=quarantined(delivery, batch, context),
        suspects=context.expected,
        findings=(finding, *stale),
    )


def _empty(reading: Reading, context: Context) -> Inspection:
    """Judge a delivery without rows: not "no change", and the staleness clock runs on."""
    findings = []
    if session_at(context) is not None or not context.mode.is_live:
        words = f"no rows for {len(context.expected)} symbol(s)"
        findings.append(Finding(Flaw.EMPTY_DELIVERY, Verdict.WARN, None, None, words))
    none = pl.DataFrame(schema=ACCEPTED_SCHEMA)
    stale, suspects = staleness(none, context)
    findings.extend(stale)
    report = reading.frame.select(
        "row",
        "symbol",
        "ts",
        pl.lit(None, pl.String).alias("verdict"),
        pl.col("flaw").alias("reason"),
        "detail",
    )
    return Inspection(
        verdict=max(
            (finding.verdict for finding in findings), key=_SEVERITY.__getitem__, default=Verdict.ACCEPT
        ),
        report=lambda: report,
        bars=none,
        quarantine=pl.DataFrame(schema=QUARANTINE_SCHEMA),
        suspects=suspects,
        findings=tuple(findings),
    )
