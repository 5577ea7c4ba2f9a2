"""The exchange's soak judges growth by kind, and its server answers what it is asked."""

from rich.console import Console

from soak.exchange import ORDER_KIB_MAX, READ_KIB_MAX, Step, run, wrong


def steps(kind: str, *grown_kib: int) -> tuple[Step, ...]:
    return tuple(Step(kind, 1000, 100_000, grown) for grown in grown_kib)


def test_the_first_step_of_a_kind_warms_up() -> None:
    """Whatever it loads is no growth; the next steps count."""
    assert wrong(steps("leaves nothing", 50_000, 10) + steps("orders", 50_000, 500)) == []


def test_growth_of_what_leaves_nothing_is_wrong() -> None:
    """One step over the limit is told with its figures."""
    (line,) = wrong(steps("leaves nothing", 0, READ_KIB_MAX, READ_KIB_MAX + 1))

    assert f"{READ_KIB_MAX + 1} KiB" in line


def test_an_order_may_weigh_what_an_order_weighs() -> None:
    """A thousand requests are five hundred orders; more than that each is wrong."""
    fine = int(ORDER_KIB_MAX * 500)

    assert wrong(steps("orders", 0, fine)) == []
    assert len(wrong(steps("orders", 0, fine + 10))) == 1


def test_a_short_soak_asks_a_real_server() -> None:
    """Both kinds are asked and the memory is a process's."""
    found = run(steps=1, console=Console(quiet=True), size=500)

    assert [step.kind for step in found] == ["leaves nothing", "orders"]
    assert all(step.requests >= 500 and step.memory_kib > 10_000 for step in found)
