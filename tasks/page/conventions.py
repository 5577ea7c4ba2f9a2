"""How a backtest was played, in words for people."""

from schemas.research import NO_COSTS, Costs, Engine, Run
from tasks.page.template import money, percent


def conventions(run: Run) -> tuple[tuple[str, str], ...]:
    """Give how the run was played, as (what, words)."""
    size = "the settings' allocation and slots" if not run.size else _size_words(run.size)
    close_out = (
        "positions were closed before the bell" if run.close_out else "positions may be held over night"
    )
    return (
        ("Engine", _engine_words(run.engine)),
        (
            "Fills",
            "an order is made when its bar is final and fills at the open of the symbol's next bar; limits "
            "and stops by the pessimistic rule within a bar",
        ),
        ("Costs", cost_words(run.costs)),
        ("Size", f"{size}, floored to whole lots at the newest close"),
        ("Gate", "limits enforced as in a live session" if run.gate else "off: no limit was enforced"),
        ("Close-out", close_out),
    )


def _engine_words(engine: Engine) -> str:
    if engine is Engine.EXACT:
        return "exact: the desk's own session, sizer, gate, order machine and ledger on the simulated venue"
    return "screen: a compiled kernel, held to the exact engine's fills"


def _size_words(size: str) -> str:
    kind, _, amount = size.partition(":")
    units = {
        "shares": "shares an entry",
        "notional": "USD an entry",
        "equity": "of the account's equity an entry",
    }
    return f"{amount} {units.get(kind, kind)}"


def cost_words(costs: Costs) -> str:
    """Say what a fill costs."""
    if costs == NO_COSTS:
        return "none"
    words = [
        (costs.spread_bps is not None, f"half of a spread of {costs.spread_bps} bps, at least one tick"),
        (costs.slippage_bps > 0, f"slippage {costs.slippage_bps} bps"),
        (costs.participation is not None, f"at most {percent(costs.participation)} of a bar's volume a fill"),
        (costs.latency_bars > 0, f"{costs.latency_bars} bars of latency"),
        (costs.regulatory_fees, "SEC and TAF fees of the date on sales"),
        (
            costs.commission_per_share > 0 or costs.commission_min > 0,
            f"commission {costs.commission_per_share} USD a share, at least {money(costs.commission_min)}",
        ),
        (costs.borrow_annual_frac > 0, f"borrow {percent(costs.borrow_annual_frac, 1)} a year on shorts"),
    ]
    return "; ".join(text for applies, text in words if applies)
