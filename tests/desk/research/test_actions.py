"""Splits and dividends in the exact engine: no cent appears or is lost, and no strategy sees a false jump."""

import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest

from desk.hours import minutes, sessions_between
from desk.portfolio import replay
from desk.research.curve import equity_curve
from desk.research.engine import Played, play
from desk.research.ex_dates import DIVIDEND, IN_LIEU
from desk.research.reel import Reel
from desk.research.shares import eras, in_last_shares, overnight_jumps, split_like
from desk.research.trades import round_trips
from desk.splits import adjusted
from schemas.account import Split
from schemas.actions import Actions, Dividend
from schemas.bars import RAW_SCHEMA
from schemas.research import Costs, Size, SizeKind
from schemas.settings import ExitsAt, ExitSettings
from strategies.sma_crossover import SmaCrossover
from tests.desk.research.cases import Case, Options, case
from tests.desk.research.exact import plan_of

DAYS = sessions_between(date(2025, 9, 15), date(2025, 9, 18))  # Monday to Wednesday
EX_DATE = DAYS[2].session_date
CASH = Decimal(1_000_000)
CENT = Decimal("0.01")
SEEDS = range(15)
THREE_FOR_TWO = Split(symbol="AAA", ex_date=EX_DATE, old=Decimal(2), new=Decimal(3))


def flat_bars(*prices: float, symbol: str = "AAA") -> pl.DataFrame:
    """Give sessions in which nothing moves, one price each."""
    rows = [
        (symbol, ts, price, price, price, price, 10_000, None, None)
        for hours, price in zip(DAYS, prices, strict=True)
        for ts in minutes(hours)
    ]
    return pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row")


def held(target: float, *, qty: int, bars: pl.DataFrame, until: int | None = None) -> Case:
    """Hold a number of shares from the second bar on, and leave them after the bar `until`, if given."""
    levels = [("AAA", bars["ts"][0], target)]
    if until is not None:
        levels.append(("AAA", bars["ts"][until], 0.0))
    frame = pl.DataFrame(
        levels, schema={"symbol": pl.String(), "ts": bars["ts"].dtype, "target": pl.Float64()}, orient="row"
    )
    size = Size(kind=SizeKind.SHARES, amount=Decimal(qty))
    return Case(0, bars, frame, DAYS, Options(size=size, cash=CASH))


def played(generated: Case, actions: Actions, **how: object) -> Played:
    """Play a case over its raw bars."""
    plan = replace(plan_of(generated), reel=Reel(generated.bars, splits=actions.splits), actions=actions)
    return play(replace(plan, hashes=True, **how))  # type: ignore[arg-type]


def curve_of(done: Played, generated: Case, actions: Actions) -> pl.DataFrame:
    """Value a run minute by minute."""
    shown = in_last_shares(done.fills, generated.bars, splits=actions.splits, divided=done.divided)
    flows = done.flows.filter(pl.col("kind") != IN_LIEU)
    return equity_curve(shown.all_fills, shown.bars, cash=generated.options.cash, flows=flows)


@pytest.mark.parametrize("side", [1.0, -1.0], ids=["long", "short"])
def test_a_split_changes_no_cent_of_the_account(side: float) -> None:
    """101 shares at 99.99 are 151 at 66.66 and half a share in cash; equity is the same in every minute."""
    actions = Actions(splits=(THREE_FOR_TWO,))
    generated = held(side, qty=101, bars=flat_bars(99.99, 99.99, 66.66))

    done = played(generated, actions)

    assert done.journal is not None
    [position] = done.journal.portfolio.holdings().values()
    assert position.qty == 151 * int(side)
    assert position.avg_price == Decimal("66.66")
    [lieu] = done.flows.iter_rows(named=True)
    assert (lieu["kind"], lieu["amount"]) == (IN_LIEU, Decimal("33.33") * int(side))
    assert done.equity == CASH
    assert done.cash == CASH - int(side) * (Decimal("10098.99") - Decimal("33.33"))
    assert curve_of(done, generated, actions)["equity"].round(9).unique().to_list() == [float(CASH)]


@pytest.mark.parametrize(("qty", "old", "new"), [(1001, 1000, 1001), (10_003, 10_000, 10_007), (19, 20, 21)])
def test_what_is_paid_for_a_part_of_a_share_is_no_price_of_the_rest(qty: int, old: int, new: int) -> None:
    """The symbol has no bar on the ex-date: its newest close holds, and not the cents of a part share."""
    actions = Actions(splits=(THREE_FOR_TWO.model_copy(update={"old": Decimal(old), "new": Decimal(new)}),))
    mine = flat_bars(3.0, 3.0, 3.0).filter(pl.col("ts") < DAYS[2].opens_at)
    generated = held(1.0, qty=qty, bars=pl.concat([mine, flat_bars(10.0, 10.0, 10.0, symbol="BBB")]))

    done = played(generated, actions)

    curve = curve_of(done, generated, actions)
    assert abs(Decimal(curve["equity"][-1]) - done.equity) <= qty * CENT  # the books' mark is at the tick
    assert abs(curve["equity"] - float(CASH)).max() < 0.01


@pytest.mark.parametrize(
    ("old", "new", "prices", "after"),
    [(1, 2, (100.0, 100.0, 50.0), 202), (20, 1, (5.0, 5.0, 100.0), 5), (200, 1, (0.5, 0.5, 100.0), 0)],
    ids=["two for one", "one for twenty", "one for two hundred"],
)
def test_a_split_of_any_ratio_changes_no_cent(
    old: int, new: int, prices: tuple[float, ...], after: int
) -> None:
    """Forward and reverse; a position of less than one new share is paid out whole."""
    actions = Actions(splits=(THREE_FOR_TWO.model_copy(update={"old": Decimal(old), "new": Decimal(new)}),))
    generated = held(1.0, qty=101, bars=flat_bars(*prices))

    done = played(generated, actions)

    assert done.journal is not None
    assert done.journal.portfolio.position("AAA") == after
    assert abs(done.equity - CASH) <= CENT
    assert (
        abs(curve_of(done, generated, actions)["equity"].cast(pl.Decimal(18, 6)) - done.equity).max() < CENT
    )


@pytest.mark.parametrize(("old", "new"), [(2, 3), (10, 11), (20, 21)], ids=["3:2", "11:10", "21:20"])
@pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
def test_a_split_of_few_shares_is_in_the_books_and_in_the_trades(old: int, new: int, side: int) -> None:
    """1 to 20 shares, many of them as many after it: price, trades and curve are of the new shares."""
    actions = Actions(splits=(THREE_FOR_TWO.model_copy(update={"old": Decimal(old), "new": Decimal(new)}),))
    prices = float(10 * new), float(10 * new), float(10 * old)
    rises = pl.col("ts") >= DAYS[2].opens_at + timedelta(hours=2)
    names = ("open", "high", "low", "close")
    bars = flat_bars(*prices).with_columns(
        pl.when(rises).then(12.0 * old).otherwise(name).alias(name) for name in names
    )
    for qty in range(1, 21):
        generated = held(float(side), qty=qty, bars=bars)

        done = played(generated, actions)

        assert done.journal is not None
        after = qty * new // old
        [position] = done.journal.portfolio.holdings().values()
        assert (position.qty, position.avg_price) == (side * after, 10 * old)
        assert len(done.divided) == 1
        assert done.equity == CASH + side * after * 2 * old
        assert curve_of(done, generated, actions)["equity"][-1] == pytest.approx(float(done.equity))
        shown = in_last_shares(done.fills, bars, splits=actions.splits, divided=done.divided)
        trips = round_trips(shown.all_fills, shown.bars)
        assert trips["pnl"].sum() == pytest.approx(float(done.equity - CASH))


@pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
@pytest.mark.parametrize(("qty", "old", "new"), [(1, 2, 3), (9, 10, 11), (19, 20, 21)])
def test_no_exit_goes_for_a_split_that_leaves_the_number_of_shares(
    qty: int, old: int, new: int, side: int
) -> None:
    """A stop and a target of 2 % stay where they are while nothing is won or lost."""
    actions = Actions(splits=(THREE_FOR_TWO.model_copy(update={"old": Decimal(old), "new": Decimal(new)}),))
    generated = held(float(side), qty=qty, bars=flat_bars(float(10 * new), float(10 * new), float(10 * old)))
    narrow = replace(generated.options, stop_frac=Decimal("0.02"), target_frac=Decimal("0.02"))

    assert played(replace(generated, options=narrow), actions).fills.height == 1


@pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
def test_a_dividend_is_paid_by_and_to_whom_it_belongs(side: int) -> None:
    """100 shares and 0.255 USD a share: 25.50 come in, or go out of a short's account, at the open."""
    actions = Actions(dividends=(Dividend(symbol="AAA", ex_date=EX_DATE, amount=Decimal("0.255")),))
    generated = held(side, qty=100, bars=flat_bars(50.0, 50.0, 50.0))

    done = played(generated, actions)

    [paid] = done.flows.iter_rows(named=True)
    assert (paid["kind"], paid["amount"]) == (DIVIDEND, side * Decimal("25.50"))
    assert paid["ts"] == DAYS[2].opens_at
    assert done.equity == CASH + side * Decimal("25.50")
    curve = curve_of(done, generated, actions)
    before = curve.filter(pl.col("ts") < DAYS[2].opens_at)["equity"]
    assert before.unique().to_list() == [float(CASH)]
    assert curve["equity"][-1] == float(done.equity)


def test_a_dividend_of_what_was_sold_before_is_not_paid() -> None:
    """Bought or sold on the ex-date itself: the dividend is another's."""
    actions = Actions(dividends=(Dividend(symbol="AAA", ex_date=EX_DATE, amount=Decimal(1)),))
    sold = held(1.0, qty=100, bars=flat_bars(50.0, 50.0, 50.0), until=500)

    assert played(sold, actions).flows.is_empty()


def test_an_order_that_rests_over_the_ex_date_is_canceled() -> None:
    """The exit of the last bar would sell 100 of 200 shares; it goes, and the next level sells all."""
    bars = flat_bars(100.0, 100.0, 50.0)
    split = THREE_FOR_TWO.model_copy(update={"old": Decimal(1), "new": Decimal(2)})
    generated = held(1.0, qty=100, bars=bars, until=779)  # the last bar before the ex-date
    again = pl.concat([generated.levels, generated.levels[1:].with_columns(ts=bars["ts"][790])])

    done = played(replace(generated, levels=again), Actions(splits=(split,)))

    assert done.fills.select("ts", "side", "qty").rows() == [
        (bars["ts"][1], "buy", 100),
        (bars["ts"][791], "sell", 200),
    ]
    assert done.equity == CASH


@pytest.mark.parametrize("place", list(ExitsAt), ids=lambda each: each.value)
def test_a_stop_is_of_the_new_shares(place: ExitsAt) -> None:
    """Half the price after two for one is no loss: a stop of a tenth stays, and goes at its own level."""
    bars = flat_bars(100.0, 100.0, 50.0)
    falls = pl.col("ts") >= DAYS[2].opens_at + timedelta(hours=2)
    names = ("open", "high", "low", "close")
    bars = bars.with_columns(pl.when(falls).then(44.0).otherwise(name).alias(name) for name in names)
    split = THREE_FOR_TWO.model_copy(update={"old": Decimal(1), "new": Decimal(2)})
    plan = plan_of(held(1.0, qty=100, bars=bars))
    exits = ExitSettings(stop_frac=Decimal("0.1"), at=place)
    chosen = plan.settings.strategies[0].model_copy(update={"exits": exits})
    settings = plan.settings.model_copy(update={"strategies": (chosen,)})
    actions = Actions(splits=(split,))
    plan = replace(plan, settings=settings, reel=Reel(bars, splits=(split,)), actions=actions, hashes=True)

    done, visited = (play(replace(plan, skips=skips)) for skips in (True, False))

    late = timedelta(minutes=0 if place is ExitsAt.AUTO else 1)  # the desk looks when the bar is over
    assert done.fills.select("ts", "side", "qty", "price").rows()[1:] == [
        (DAYS[2].opens_at + timedelta(hours=2) + late, "sell", 200, 44)
    ]
    assert done.ledger_hash == visited.ledger_hash


def test_entries_stay_out_of_a_splits_way_where_the_gate_judges() -> None:
    """As live: none on the ex-date, nor the session before where positions are held over night."""
    bars = flat_bars(100.0, 100.0, 66.66)
    generated = held(1.0, qty=10, bars=bars)
    levels = generated.levels.select("symbol", pl.Series("ts", [bars["ts"][400]]), "target")
    late = replace(generated, levels=levels)

    guarded = played(late, Actions(splits=(THREE_FOR_TWO,)))
    bare = played(late, Actions(splits=(THREE_FOR_TWO,)), gate=False)

    assert (guarded.fills.height, dict(guarded.denials)) == (0, {"corporate_action": 1})
    assert bare.fills.height == 1


GAP = Split(symbol="AAA", ex_date=DAYS[1].session_date, old=Decimal(2), new=Decimal(3))


def gap_bars(before: float, after: float) -> pl.DataFrame:
    """Give bars of which the second session is missing."""
    bars = flat_bars(before, before, after)
    return bars.filter((pl.col("ts") < DAYS[1].opens_at) | (pl.col("ts") >= DAYS[2].opens_at))


@pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
def test_a_dividend_after_a_split_in_one_gap_of_bars_is_on_the_new_shares(side: int) -> None:
    """Three for two on Tuesday, 1 USD on Wednesday, no bars between: 100 shares get 150 USD."""
    dividend = Dividend(symbol="AAA", ex_date=EX_DATE, amount=Decimal(1))
    generated = held(side, qty=100, bars=gap_bars(150.0, 100.0))

    done = played(generated, Actions(splits=(GAP,), dividends=(dividend,)), gate=False)

    assert done.flows.select("kind", "amount").rows() == [(DIVIDEND, 150 * side)]


def test_a_dividend_of_a_splits_day_is_on_the_old_shares() -> None:
    """Of one ex-date the dividend comes first, wherever the bars begin again."""
    dividend = Dividend(symbol="AAA", ex_date=GAP.ex_date, amount=Decimal(1))
    generated = held(1.0, qty=100, bars=gap_bars(150.0, 100.0))

    done = played(generated, Actions(splits=(GAP,), dividends=(dividend,)), gate=False)

    assert done.flows.select("kind", "amount").rows() == [(DIVIDEND, 100)]


@pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
@pytest.mark.parametrize("qty", [1, 2, 5, 7, 100, 101])
def test_two_splits_in_one_gap_of_bars_are_both_booked(qty: int, side: int) -> None:
    """Three for two, then two for one: each pays its own part of a share, and no cent is lost."""
    actions = Actions(splits=(GAP, THREE_FOR_TWO.model_copy(update={"old": Decimal(4), "new": Decimal(5)})))
    generated = held(side, qty=qty, bars=gap_bars(150.0, 80.0))

    done = played(generated, actions, gate=False)

    assert done.journal is not None
    first = qty * 3 // 2
    [position] = done.journal.portfolio.holdings().values()
    assert (position.qty, position.avg_price) == (side * (first * 5 // 4), 80)
    parts = [(Decimal(qty) * 3 / 2 - first) * 100, (Decimal(first) * 5 / 4 - first * 5 // 4) * 80]
    assert done.flows["amount"].to_list() == [side * part for part in parts if part != 0]
    assert done.equity == CASH
    assert len(done.divided) == 2
    assert curve_of(done, generated, actions)["equity"].round(9).unique().to_list() == [float(CASH)]
    shown = in_last_shares(done.fills, generated.bars, splits=actions.splits, divided=done.divided)
    trips = round_trips(shown.all_fills, shown.bars)
    assert trips["pnl"].sum() == pytest.approx(0)


# ---- generated backtests ------------------------------------------------------------------


def with_actions(generated: Case) -> tuple[Case, Actions]:
    """Give a generated case raw bars with splits and dividends of its symbols, on any of its sessions."""
    chance = random.Random(generated.seed)
    splits, dividends = [], []
    for symbol in generated.bars["symbol"].unique().sort():
        for hours in generated.sessions[1:]:
            if chance.random() < 0.35:
                old, new = chance.choice(((1, 2), (2, 3), (1, 3), (4, 1), (1, 10), (3, 1)))
                splits.append(
                    Split(symbol=symbol, ex_date=hours.session_date, old=Decimal(old), new=Decimal(new))
                )
            if chance.random() < 0.3:
                amount = Decimal(chance.randint(1, 900)) / 1000
                dividends.append(Dividend(symbol=symbol, ex_date=hours.session_date, amount=amount))
    # Generated bars as of the last day, back into the shares of each day: prices times the ratio.
    undone = [each.model_copy(update={"old": each.new, "new": each.old}) for each in splits]
    raw = adjusted(generated.bars, undone).with_columns(
        pl.when(pl.col(name) >= 1).then(pl.col(name).round(2)).otherwise(pl.col(name).round(4)).alias(name)
        for name in ("open", "high", "low", "close")
    )
    actions = Actions(splits=tuple(splits), dividends=tuple(dividends))
    options = replace(generated.options, close_out=False)
    return replace(generated, bars=raw.with_columns(pl.col("volume").clip(1)), options=options), actions


@pytest.mark.parametrize("seed", SEEDS)
def test_skipping_changes_nothing_and_every_cent_is_accounted_for(seed: int) -> None:
    """Splits, dividends, gaps, shorts, stops, sizes and costs: one ledger, and a curve that ends as it."""
    generated, actions = with_actions(case(seed))

    how = {"keeps": True, "proves": True, "gate": seed % 4 == 0}
    skipped, visited = (played(generated, actions, skips=each, **how) for each in (True, False))

    assert skipped.ledger_hash == visited.ledger_hash
    assert skipped.fills.equals(visited.fills)
    assert skipped.journal is not None
    events = [event for _, event in skipped.journal._ledger.read()]
    assert replay(events).state_hash() == skipped.journal.portfolio.state_hash()
    curve = curve_of(skipped, generated, actions)
    assert abs(curve["equity"][-1] - float(skipped.equity)) < 0.005
    shown = in_last_shares(skipped.fills, generated.bars, splits=actions.splits, divided=skipped.divided)
    trips = round_trips(shown.all_fills, shown.bars)
    flowed = float(skipped.flows.filter(pl.col("kind") != IN_LIEU)["amount"].sum() or 0)
    profit = float(skipped.equity - generated.options.cash)
    assert trips["pnl"].sum() + flowed == pytest.approx(profit, abs=0.01)


def test_the_generated_backtests_hold_positions_over_splits_and_dividends() -> None:
    """The property above would be empty otherwise."""
    found = [played(*with_actions(case(seed)), gate=seed % 4 == 0) for seed in SEEDS]

    assert sum(len(each.divided) for each in found) > 10
    kinds = pl.concat([each.flows for each in found])["kind"].value_counts()
    counts = dict(kinds.iter_rows())
    assert counts[DIVIDEND] > 5
    assert counts[IN_LIEU] > 2


# ---- what a strategy sees -----------------------------------------------------------------


def walk(seed: int) -> pl.DataFrame:
    """Give a random walk over the sessions, in cents."""
    chance, price, rows = random.Random(seed), 8_000, []
    for hours in DAYS:
        for ts in minutes(hours):
            before, price = price, max(price + chance.randint(-9, 9), 100)
            low, high = min(before, price) / 100, max(before, price) / 100
            rows.append(("AAA", ts, before / 100, high, low, price / 100, 1_000, None, None))
    return pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row")


def signals_of(bars: pl.DataFrame, splits: tuple[Split, ...]) -> pl.DataFrame:
    """Ask SMA crossover era after era."""
    strategy = SmaCrossover(("AAA",), {"fast": 5, "slow": 50})
    return pl.concat([strategy.signals(shown).filter(counts) for shown, counts in eras(bars, splits)])


def test_a_strategy_sees_no_jump_across_a_split() -> None:
    """Over raw bars of a split it says what it says over the same bars without one."""
    plain, double = walk(3), Split(symbol="AAA", ex_date=EX_DATE, old=Decimal(2), new=Decimal(1))
    raw = plain.with_columns(
        pl.when(pl.col("ts") >= DAYS[2].opens_at).then(pl.col(name) * 2).otherwise(name).alias(name)
        for name in ("open", "high", "low", "close")
    )

    wanted = signals_of(plain, ()).select("ts", "target")

    assert signals_of(raw, (double,)).select("ts", "target").equals(wanted)
    assert not signals_of(raw, ()).select("ts", "target").equals(wanted)


def test_a_later_split_is_not_known_before_its_ex_date() -> None:
    """What is said up to a day is the same, to the last bit, with and without the bars and split after it."""
    raw = walk(4)
    known = raw.filter(pl.col("ts") < DAYS[2].opens_at)
    splits = (THREE_FOR_TWO.model_copy(update={"ex_date": DAYS[1].session_date}), THREE_FOR_TWO)

    whole = signals_of(raw, splits)

    assert whole.filter(pl.col("ts") < DAYS[2].opens_at).equals(signals_of(known, splits[:1]))
    assert whole.filter(pl.col("ts") >= DAYS[2].opens_at)["price"].to_list() == pytest.approx(
        raw.filter(pl.col("ts") >= DAYS[2].opens_at)["close"].to_list()
    )


def test_jumps_that_look_like_splits_are_found_and_news_is_not() -> None:
    """Two for one and one for ten over a night are; a fall of a fifth and one within a session are not."""
    halved = overnight_jumps(flat_bars(100.0, 49.8, 498.0))
    crashed = overnight_jumps(flat_bars(100.0, 80.0, 79.0))

    assert [(each.day, each.ratio) for each in halved] == [
        (DAYS[1].session_date, 2.0),
        (DAYS[2].session_date, 10.0),
    ]
    assert [(each.old, each.new) for each in map(split_like, halved)] == [(1, 2), (10, 1)]
    assert [split_like(each) for each in overnight_jumps(flat_bars(100.0, 100.0, 66.66))] == [THREE_FOR_TWO]
    assert crashed == ()
    assert overnight_jumps(adjusted(flat_bars(100.0, 100.0, 66.66), (THREE_FOR_TWO,))) == ()
    two = pl.concat([flat_bars(100.0, 100.0, 100.0), flat_bars(50.0, 50.0, 50.0, symbol="BBB")])
    assert overnight_jumps(two) == ()


def test_costs_are_of_the_fills_themselves() -> None:
    """What a split leaves over is paid out without spread or fee."""
    actions = Actions(splits=(THREE_FOR_TWO,))
    generated = held(1.0, qty=101, bars=flat_bars(99.99, 99.99, 66.66))
    dear = replace(generated.options, costs=Costs(commission_per_share=Decimal("0.01")))

    done = played(replace(generated, options=dear), actions)
    shown = in_last_shares(done.fills, generated.bars, splits=actions.splits, divided=done.divided)

    assert done.fills["fee"].to_list() == [Decimal("1.01")]
    assert (shown.fills.height, shown.all_fills.height) == (1, 2)
    assert shown.fills["qty"].to_list() == [Decimal("151.5")]
