"""Every order of seventeen scenarios is as it was pinned; `python -m tests.answers.golden` renews them."""

from collections import Counter

import pytest

from tests.answers.golden import SCENARIOS, first_difference, outcome, pinned

PINNED = pinned()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenarios_orders_are_the_pinned_ones(name: str) -> None:
    """The exact engine sends the same orders, and as many fills, denials and dollars come of them."""
    found = outcome(SCENARIOS[name])

    assert first_difference(PINNED[name], found) == ""


def test_every_scenario_is_pinned_trades_and_is_its_own() -> None:
    """No scenario is forgotten, none is without orders, and no two are the same by another name."""
    hashes = Counter(each["orders_hash"] for each in PINNED.values())

    assert list(PINNED) == list(SCENARIOS)
    assert [name for name, each in PINNED.items() if len(each["orders"]) < 4 or each["fills"] < 4] == []
    assert [each for each, count in hashes.items() if count > 1] == []


def test_a_difference_names_the_first_order_that_differs() -> None:
    """An order changed, left out or added is shown beside its number; without one, what else differs is."""
    name, was = next(iter(PINNED.items()))
    orders = was["orders"]
    changed = [*orders[:2], orders[2].replace("buy", "sell"), *orders[3:]]

    assert first_difference(was, was) == ""
    assert first_difference(was, {**was, "orders": changed}).splitlines() == [
        "order 3 was pinned as", f"  {orders[2]}", "and is now", f"  {changed[2]}"
    ], name  # fmt: skip
    assert first_difference(was, {**was, "orders": orders[:-1]}).endswith("and is now\n  nothing")
    assert first_difference(was, {**was, "cash": "1"}) == f"cash {was['cash']} pinned, now 1"
