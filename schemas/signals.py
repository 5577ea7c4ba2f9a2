"""The signal contract: what a strategy says, and nothing about how much or how.

A signal is a *level*, not an edge: "at this bar I want to be long (1), flat (0) or short (-1)".
A strategy gives a row only for bars where it has an opinion. Levels make restarts harmless: a
missed minute is restated by the next one, and the sizer turns a level into an intent only where
position and working orders differ from it.

Whoever asks a strategy (session, backtest, search, `desk check`) holds its answer to the contract here:
`checked_signals`, or `checked_targets` where only targets were asked for.
"""

from collections.abc import Mapping

import polars as pl

SIGNAL_SCHEMA: dict[str, pl.DataType] = {
    "strategy": pl.String(),
    "symbol": pl.String(),
    "ts": pl.Datetime("us", "UTC"),  # left edge of the bar that was evaluated
    "target": pl.Float64(),  # -1 short, 0 flat, 1 long; fractions size an entry down
    "price": pl.Float64(),  # the close the strategy saw
    "reason": pl.String(),  # short words with the numbers, for `desk explain`
}


TARGET_MIN, TARGET_MAX = -1, 1

# `SignalContract` (schemas/contracts.py) by column: what holds, null being a breach, and what is allowed.
_LAWS = (
    ("strategy", pl.col("strategy").str.len_bytes() > 0, "a name"),
    ("symbol", pl.col("symbol").str.len_bytes() > 0, "a symbol"),
    ("ts", pl.col("ts").is_not_null(), "a bar's minute"),
    (
        "target",
        (pl.col("target") >= TARGET_MIN) & (pl.col("target") <= TARGET_MAX),
        f"from {TARGET_MIN} (short) over 0 (flat) to {TARGET_MAX} (long)",
    ),
    ("price", (pl.col("price") > 0) & pl.col("price").is_finite(), "a number above 0"),
    ("reason", pl.col("reason").is_not_null(), "words"),
)
_LAWFUL = pl.all_horizontal(law.fill_null(value=False) for _, law, _ in _LAWS).all()
_BEFORE = pl.col("symbol").shift()
# Rows that rise by (symbol, ts), as most answers do, are no doubles: a tenth of what looking for them costs.
_RISES = (
    ((pl.col("symbol") > _BEFORE) | ((pl.col("symbol") == _BEFORE) & (pl.col("ts") > pl.col("ts").shift())))
    .slice(1)
    .fill_null(value=False)
    .all()
)
_DOUBLED = pl.struct("strategy", "symbol", "ts").is_duplicated()


class UnlawfulSignal(ValueError):
    """A strategy's answer breaks the contract; `str()` says of which bar, the value and what is allowed."""


def checked_signals(said: pl.DataFrame) -> pl.DataFrame:
    """Hold a strategy's answer to `SignalContract` and give it with the columns of `SIGNAL_SCHEMA` in order.

    Raises:
        UnlawfulSignal: It breaks the contract.
    """
    if not isinstance(said, pl.DataFrame):
        raise UnlawfulSignal(f"the answer is a {type(said).__name__}; allowed: a polars DataFrame")
    if dict(said.schema) != SIGNAL_SCHEMA:
        raise UnlawfulSignal(f"the columns are {_columns(said.schema)}; allowed: {_columns(SIGNAL_SCHEMA)}")
    ordered = said if said.columns == list(SIGNAL_SCHEMA) else said.select(list(SIGNAL_SCHEMA))
    lawful, rises = ordered.select(lawful=_LAWFUL, rises=_RISES).row(0)
    if lawful and (rises or not ordered.select(_DOUBLED.any()).item()):
        return ordered
    raise UnlawfulSignal(_first_breach(ordered))


def checked_targets(said: pl.DataFrame) -> pl.DataFrame:
    """Hold symbol, ts and target of an answer to what the contract says of targets, and give it back.

    Raises:
        UnlawfulSignal: A target is missing or out of bounds.
    """
    law = next(law for name, law, _ in _LAWS if name == "target").fill_null(value=False)
    if said.select(law.all()).item():
        return said
    raise UnlawfulSignal(_first_breach(said))


def _first_breach(said: pl.DataFrame) -> str:
    """Say of the first row that breaks the contract what is wrong with it."""
    laws = [
        (name, law.fill_null(value=False), allowed) for name, law, allowed in _LAWS if name in said.columns
    ]
    wrong = said.filter(~pl.all_horizontal(law for _, law, _ in laws)).head(1)
    if wrong.is_empty():
        return f"{_bar_of(said.filter(_DOUBLED).head(1))} has more than one row; allowed: one"
    name, _, allowed = next(each for each in laws if not wrong.select(each[1]).item())
    value = wrong[name].item()
    return f"{name} {'null' if value is None else value} of {_bar_of(wrong)}; allowed: {allowed}"


def _bar_of(row: pl.DataFrame) -> str:
    """Name a row's bar as people do."""
    (at,) = row["ts"].dt.convert_time_zone("America/New_York")
    return f"{row['symbol'].item()} at {at:%Y-%m-%d %H:%M} New York" if at else f"{row['symbol'].item()}"


def _columns(schema: Mapping[str, pl.DataType]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in schema.items())
