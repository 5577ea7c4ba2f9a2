"""`desk backtest --actions`: the file's contract, what a run makes of it, and what is said without one."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from desk.errors import BadBatch, ConfigError
from desk.exchange.generated import GeneratedMarket
from desk.hours import sessions_between
from desk.research.screen import NotCovered
from desk.splits import adjusted
from schemas.account import Split
from schemas.actions import ACTION_SCHEMA, Dividend
from schemas.research import Engine, Size, SizeKind
from schemas.settings import Settings
from tasks.action_files import read_actions
from tasks.backtest import Backtest, BacktestPlan, keep, report, run_backtest

SESSIONS = sessions_between(date(2025, 11, 21), date(2025, 12, 31))[:4]
EX_DATE = SESSIONS[2].session_date
QQQ_SPLIT = Split(symbol="QQQ", ex_date=EX_DATE, old=Decimal(1), new=Decimal(4))
ROWS = [
    ("QQQ", EX_DATE, "split", None, 4.0),
    ("KO", EX_DATE, "dividend", 0.51, None),
    ("QQQ", EX_DATE, "dividend", 0.25, None),
]


def frame(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    """Give rows of actions."""
    return pl.DataFrame(rows, schema=ACTION_SCHEMA, orient="row")


def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Write adjusted bars, the same raw, and their actions."""
    market = GeneratedMarket(11, ("KO", "QQQ"))
    bars = pl.concat(market.frame(each.session_date) for each in SESSIONS).sort("symbol", "ts")
    undone = QQQ_SPLIT.model_copy(update={"old": QQQ_SPLIT.new, "new": QQQ_SPLIT.old})
    paths = tuple(tmp_path / name for name in ("adjusted.parquet", "raw.parquet", "actions.parquet"))
    bars.write_parquet(paths[0])
    adjusted(bars, (undone,)).write_parquet(paths[1])
    frame(ROWS).with_columns(source=pl.lit("here")).write_parquet(paths[2])
    return paths


def asked(bars: Path, actions: Path | None, **how: object) -> BacktestPlan:
    """Ask for a crossover with sizes in USD, so that a share's price does not matter, and no gate."""
    size = Size(kind=SizeKind.NOTIONAL, amount=Decimal(20_000))
    return BacktestPlan(
        strategy="sma_crossover",
        bars=bars,
        actions=actions,
        params=("fast=20", "slow=50"),
        size=size,
        gate=False,
        **how,  # type: ignore[arg-type]
    )


def run(plan: BacktestPlan, tmp_path: Path) -> Backtest:
    return run_backtest(plan, Settings(store=tmp_path / "store"), began=lambda _: None, after=lambda _: None)


def test_parquet_and_csv_give_the_same_actions(tmp_path: Path) -> None:
    """Other columns and other symbols are left out; what is not there is null."""
    *_, parquet = files(tmp_path)
    frame(ROWS).write_csv(tmp_path / "actions.csv")

    found = read_actions(parquet, symbols=("QQQ",))

    assert found.splits == (QQQ_SPLIT,)
    assert found.dividends == (Dividend(symbol="QQQ", ex_date=EX_DATE, amount=Decimal("0.25")),)
    assert read_actions(tmp_path / "actions.csv", symbols=("QQQ",)) == found


@pytest.mark.parametrize(
    ("ratio", "old", "new"), [(1.5, 2, 3), (0.05, 20, 1), (0.3333, 3, 1), (1.025, 40, 41), (0.0667, 15, 1)]
)
def test_a_ratio_is_of_whole_shares(tmp_path: Path, ratio: float, old: int, new: int) -> None:
    """New shares per old one, however many digits were written."""
    frame([("A", EX_DATE, "split", None, ratio)]).write_parquet(tmp_path / "one.parquet")

    [split] = read_actions(tmp_path / "one.parquet", symbols=("A",)).splits

    assert (split.old, split.new) == (old, new)


@pytest.mark.parametrize(
    "row",
    [
        ("A", EX_DATE, "split", None, None),
        ("A", EX_DATE, "split", None, -2.0),
        ("A", EX_DATE, "dividend", 0.5, 2.0),
        ("A", EX_DATE, "dividend", float("nan"), None),
        ("A", EX_DATE, "merger", 1.0, None),
        ("A", None, "dividend", 1.0, None),
        ("", EX_DATE, "dividend", 1.0, None),
    ],
    ids=["no ratio", "negative", "both", "nan", "kind", "no date", "no symbol"],
)
def test_what_breaks_the_contract_is_refused(tmp_path: Path, row: tuple[object, ...]) -> None:
    """A backtest of wrong actions is worse than none."""
    frame([row]).write_parquet(tmp_path / "bad.parquet")

    with pytest.raises(BadBatch, match=r"bad\.parquet"):
        read_actions(tmp_path / "bad.parquet", symbols=("A",))


def test_mistakes_in_the_file_are_one_line(tmp_path: Path) -> None:
    """No such file, another kind, a missing column, an action twice."""
    twice = tmp_path / "twice.parquet"
    frame([ROWS[0], ROWS[0]]).write_parquet(twice)
    short = tmp_path / "short.csv"
    short.write_text("symbol,ex_date\nA,2025-01-02\n", encoding="utf-8")

    with pytest.raises(ConfigError, match="no such file"):
        read_actions(tmp_path / "nowhere.csv", symbols=("A",))
    (tmp_path / "actions.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\.parquet or a \.csv"):
        read_actions(tmp_path / "actions.json", symbols=("A",))
    with pytest.raises(BadBatch, match="action, cash_amount, split_ratio is missing"):
        read_actions(short, symbols=("A",))
    with pytest.raises(BadBatch, match="unique"):
        read_actions(twice, symbols=("QQQ",))


def test_raw_bars_with_actions_trade_as_adjusted_ones_do(tmp_path: Path) -> None:
    """The same entries and exits in the same minutes; the dividends are all that came in besides."""
    clean, raw, actions = files(tmp_path)

    wanted, done = run(asked(clean, None), tmp_path), run(asked(raw, actions), tmp_path)

    places = ("ts", "symbol", "side")
    assert done.fills.select(*places).equals(wanted.fills.select(*places))
    assert done.shown.bars.select("ts", "symbol").equals(wanted.bars.select("ts", "symbol"))
    assert done.performance.account.equity_end == pytest.approx(float(done.run.final_equity), abs=0.005)
    # Whole shares of four times the price: the sizes differ by less than a share of each entry.
    assert done.performance.account.profit_usd == pytest.approx(
        wanted.performance.account.profit_usd + done.performance.costs.dividends_usd, abs=25
    )
    assert done.performance.costs.dividends_usd == float(
        done.flows.filter(pl.col("kind") == "dividend")["amount"].sum()
    )
    assert done.performance.costs.dividends_usd > 0
    assert done.run.data_hash != run(asked(raw, None), tmp_path).run.data_hash


def test_without_actions_a_jump_is_told_of(tmp_path: Path) -> None:
    """Raw bars taken as adjusted: said among the notes, and a doubt on the page that names the night."""
    clean, raw, actions = files(tmp_path)

    bare, told = run(asked(raw, None), tmp_path), run(asked(raw, actions), tmp_path)
    report(bare, tmp_path / "bare.html")
    report(told, tmp_path / "told.html")

    assert any("taken as adjusted" in note for note in bare.notes)
    [doubt] = bare.doubts
    assert "QQQ" in doubt
    assert str(EX_DATE) in doubt
    assert doubt in (tmp_path / "bare.html").read_text(encoding="utf-8")
    assert told.doubts == run(asked(clean, None), tmp_path).doubts == ()
    assert any("1 splits and 2 dividends" in note for note in told.notes)
    assert "a short pays them" in (tmp_path / "told.html").read_text(encoding="utf-8")
    assert "a short pays them" not in (tmp_path / "bare.html").read_text(encoding="utf-8")
    assert keep(told, Settings(store=tmp_path / "store")) is None


def test_a_split_after_the_last_bar_changes_nothing(tmp_path: Path) -> None:
    """Trades, costs and bars are in the shares of the run's last day, whatever comes later."""
    clean, _, _ = files(tmp_path)
    later = tmp_path / "later.csv"
    later.write_text("symbol,ex_date,action,cash_amount,split_ratio\nQQQ,2030-01-02,split,,0.1\n")

    without, given = run(asked(clean, None), tmp_path), run(asked(clean, later), tmp_path)

    assert given.fills.equals(without.fills)
    assert given.shown.fills.equals(without.shown.fills)
    assert given.shown.bars.equals(without.shown.bars)
    assert given.trades.equals(without.trades)
    assert given.performance.costs == without.performance.costs


def test_a_jump_that_the_actions_given_do_not_tell_of_is_their_lack(tmp_path: Path) -> None:
    """Who gave --actions is told that the split is missing in the file, not to give one."""
    _, raw, _ = files(tmp_path)
    lacking = tmp_path / "lacking.csv"
    lacking.write_text("symbol,ex_date,action,cash_amount,split_ratio\nQQQ,2030-01-02,split,,0.1\n")

    [doubt] = run(asked(raw, lacking), tmp_path).doubts

    assert "give --actions" not in doubt
    assert f"add the split to {lacking}" in doubt


def test_the_screen_refuses_actions_by_name(tmp_path: Path) -> None:
    """It plays adjusted bars only."""
    _, raw, actions = files(tmp_path)

    with pytest.raises(NotCovered, match="splits and dividends"):
        run(replace(asked(raw, actions), engine=Engine.SCREEN), tmp_path)


@pytest.mark.real
def test_the_real_file_is_read(real_data: Path) -> None:
    """Twenty-six actions of real symbols, three of them splits."""
    path = real_data / "corporate_actions.parquet"
    symbols = pl.read_parquet(path)["symbol"].unique().to_list()

    found = read_actions(path, symbols=symbols)

    assert (len(found.splits), len(found.dividends)) == (3, 23)
    aig = Split(symbol="AIG", ex_date=date(2009, 7, 1), old=Decimal(20), new=Decimal(1))
    assert aig in found.splits
