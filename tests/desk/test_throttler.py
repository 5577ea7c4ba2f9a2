"""The account's budget of requests: exits always have room, and the broker's own words go first."""

from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from desk.throttler import EXIT_WAIT_MAX_S, SHARES, WINDOW_S, Errand, Throttler

LIMIT = 200


@dataclass
class Hand:
    """Seconds a test moves; sleeping passes them."""

    at: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


def throttler(limit: int | None = LIMIT) -> tuple[Throttler, Hand]:
    """Give a throttler on a hand-moved clock."""
    hand = Hand()
    return Throttler(limit, clock=hand, sleep=hand.sleep), hand


def test_entries_and_reads_end_below_the_limit_and_exits_do_not() -> None:
    """When entries have used their share, reads go on; when those have, exits do (E4)."""
    made, _ = throttler()

    entries = sum(made.admit(Errand.ENTRY) for _ in range(LIMIT))
    reads = sum(made.admit(Errand.BOOKS) for _ in range(LIMIT))
    exits = sum(made.admit(Errand.EXIT) for _ in range(50))

    assert entries == LIMIT * SHARES[Errand.ENTRY]
    assert entries + reads == LIMIT * SHARES[Errand.BOOKS]
    assert exits == 50


def test_the_window_slides() -> None:
    """What was sent a minute ago is free again, one by one."""
    made, hand = throttler(20)
    for _ in range(14):
        assert made.admit(Errand.ENTRY)
        hand.at += 1
    assert not made.admit(Errand.ENTRY)

    hand.at += WINDOW_S - 14 + 0.5
    assert made.admit(Errand.ENTRY)
    assert hand.slept == []
    assert made.admit(Errand.ENTRY)
    assert hand.slept == [pytest.approx(0.5)]


def test_a_short_wait_is_waited_for() -> None:
    """A read that would fit in a moment waits that moment and no longer."""
    made, hand = throttler(20)
    for _ in range(18):
        made.admit(Errand.BOOKS)
    hand.at += WINDOW_S - 2

    assert made.admit(Errand.BOOKS)

    assert hand.slept == [pytest.approx(2.0)]


@pytest.mark.parametrize(("header", "pause"), [({"Retry-After": "7"}, 7.0), ({}, 2.0)])
def test_after_a_429_nothing_is_sent_until_the_broker_wants_it(header: dict[str, str], pause: float) -> None:
    """Retry-After is kept; without it the pause is ours. An exit waits seconds at most, then tries."""
    made, hand = throttler()
    made.admit(Errand.BOOKS)
    made.answered(429, header)

    assert made.room(Errand.ENTRY) == 0
    assert not made.admit(Errand.ENTRY)
    assert made.admit(Errand.EXIT)
    assert hand.slept == [min(pause, EXIT_WAIT_MAX_S)]

    hand.at += pause
    assert made.admit(Errand.ENTRY)


def test_429_after_429_backs_off_further_until_an_answer() -> None:
    """Pauses of our own double; a plain answer ends them."""
    made, hand = throttler(None)
    blocked = []
    for _ in range(3):
        made.answered(429, {})
        until = made._blocked_until - hand.at
        blocked.append(until)
        hand.at += until
    made.answered(200, {})
    made.answered(429, {})

    assert blocked == [2.0, 4.0, 8.0]
    assert made._blocked_until - hand.at == 2.0


def test_the_brokers_own_count_goes_before_ours() -> None:
    """Another program on the account uses it up: what the broker says is left is all there is."""
    made, hand = throttler()
    made.admit(Errand.BOOKS)
    made.answered(200, {"X-RateLimit-Remaining": "25", "X-RateLimit-Reset": "1"})

    assert made.room(Errand.ENTRY) == 0
    assert made.room(Errand.BOOKS) == 5
    assert not made.admit(Errand.ENTRY)
    assert made.admit(Errand.EXIT)

    hand.at += WINDOW_S
    assert made.admit(Errand.ENTRY)


@pytest.mark.parametrize("header", ["", "soon", "-3", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_strange_headers_are_no_numbers(header: str) -> None:
    """A header that is no whole number says nothing."""
    made, _ = throttler()
    made.answered(200, {"X-RateLimit-Remaining": header})
    made.answered(429, {"Retry-After": header})

    assert made.room(Errand.BOOKS) == 0  # for our own pause
    assert made.traffic().refused == 1


def test_without_a_limit_everything_goes_and_is_counted() -> None:
    """A rehearsal's exchange has no minute, and statistics all the same."""
    made, _ = throttler(None)
    for _ in range(1000):
        assert made.admit(Errand.ENTRY)

    assert made.room(Errand.ENTRY) is None
    assert made.traffic().sent == {Errand.ENTRY: 1000}
    assert "1000 requests in the last minute" in made.traffic().words


def test_the_statistics_name_what_was_done() -> None:
    """Used and budget, by purpose, and what was withheld, refused and waited."""
    made, _ = throttler(20)
    for _ in range(16):
        made.admit(Errand.ENTRY)
    made.answered(429, {"Retry-After": "1"})
    made.admit(Errand.EXIT)

    traffic = made.traffic()

    assert (traffic.used, traffic.limit, traffic.withheld, traffic.refused) == (15, 20, 2, 1)
    assert Decimal(str(traffic.waited_s)) == 1
    assert "15 of 20 requests" in traffic.words
