"""Margin rules by date: two packs, chosen by the session, so a backtest meets the rules of its day.

Before 2026-06-04, FINRA Rule 4210(f)(8)(B): a margin account under $25,000 may make three day trades
in five sessions; the broker refuses what would make a fourth. An entry is a day trade to be, because
this desk must always be able to leave the same day: it counts with every position and entry already
on. A cash account (multiplier 1) is not meant by the rule.

From 2026-06-04, SR-FINRA-2025-017 (Release 34-105226, Regulatory Notice 26-10): no count and no
$25,000; instead the account's equity must cover the margin of what it holds at every moment of the
day. Regulation T's minimum stays: under $2,000 nothing is lent, so exposure may not exceed equity and
nothing is sold short. The requirement of a position is the larger of one over the account's multiplier
and the maintenance rate (25 % long, 30 % short; FINRA Rule 4210(c)), of its worst side.

Neither pack needs a field that the broker may drop: day trades are counted by the desk's own ledger.
Left out: the deficit call and the freeze after five of them, which are states of the account and come
as `trading_blocked`; concentrated or leveraged funds with higher house rates, for which the broker's
own buying power stands.
"""

from collections.abc import Collection
from datetime import date
from decimal import ROUND_CEILING, Decimal

from desk.exposure import Exposure, SymbolExposure
from desk.finding import Finding, at_most, missing
from desk.money import CENT, ZERO
from schemas.account import BrokerAccount
from schemas.orders import OrderIntent, Reason, Side

INTRADAY_MARGIN_FROM = date(2026, 6, 4)
PDT_EQUITY_USD = Decimal(25_000)
PDT_DAY_TRADES = 3  # the fourth in five sessions makes a pattern day trader
REG_T_MINIMUM_USD = Decimal(2_000)
MAINTENANCE_LONG = Decimal("0.25")
MAINTENANCE_SHORT = Decimal("0.30")


def margin_finding(
    intent: OrderIntent,
    *,
    account: BrokerAccount,
    after: Exposure,
    day_trades: int | None,
    at_risk: Collection[str],
) -> Finding:
    """Judge an entry by the rules of its session date.

    Args:
        intent: The entry.
        account: The broker's account; equity and multiplier decide.
        after: The book's exposure with this entry in it.
        day_trades: Day trades of this session and the four before; None when unknown.
        at_risk: Symbols held or entered, each a day trade if it is left today.
    """
    if intent.session_date < INTRADAY_MARGIN_FROM:
        return pattern_day_trader(intent, account=account, day_trades=day_trades, at_risk=at_risk)
    return intraday_margin(intent, account=account, after=after)


def pattern_day_trader(
    intent: OrderIntent, *, account: BrokerAccount, day_trades: int | None, at_risk: Collection[str]
) -> Finding:
    """Judge the day trades this entry may bring the account to; legacy pack."""
    reason = Reason.PATTERN_DAY_TRADER
    words = "day trade {number} in 5 sessions over {limit} with equity under 25,000 USD"
    if account.multiplier == 1 or account.equity >= PDT_EQUITY_USD:
        return at_most(reason, number=ZERO, limit=PDT_DAY_TRADES, words=words)
    if day_trades is None:
        return missing(reason, "day trades of the last sessions are unknown", limit=PDT_DAY_TRADES)
    possible = day_trades + len({*at_risk, intent.symbol})
    return at_most(reason, number=possible, limit=PDT_DAY_TRADES, words=words)


def intraday_margin(intent: OrderIntent, *, account: BrokerAccount, after: Exposure) -> Finding:
    """Judge the margin the book would need against the account's equity; the pack since 2026-06-04."""
    reason = Reason.INTRADAY_MARGIN
    lends = account.multiplier > 1 and account.equity >= REG_T_MINIMUM_USD
    if not lends and intent.side is Side.SELL:
        return at_most(
            reason,
            number=REG_T_MINIMUM_USD,
            limit=account.equity if account.multiplier > 1 else ZERO,
            words="a short sale needs a margin account with {number} USD, equity {limit}",
            in_usd=True,
        )
    rate = 1 / Decimal(account.multiplier) if lends else Decimal(1)
    required = sum((_requirement(each, rate) for each in after.symbols.values()), ZERO)
    return at_most(
        reason,
        number=required.quantize(CENT, ROUND_CEILING),
        limit=account.equity,
        words="margin needed {number} USD over equity {limit}",
        in_usd=True,
    )


def _requirement(exposure: SymbolExposure, rate: Decimal) -> Decimal:
    long_usd = max(exposure.usd_high, ZERO)
    short_usd = max(-exposure.usd_low, ZERO)
    return max(long_usd * max(rate, MAINTENANCE_LONG), short_usd * max(rate, MAINTENANCE_SHORT))
