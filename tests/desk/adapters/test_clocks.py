"""The system's clock against the broker's, and the venue's clock over real sockets."""

from datetime import UTC, datetime, timedelta

import pytest

from desk.adapters.system_clock import SystemClock
from desk.adapters.venue_clock import VenueClock
from desk.errors import BrokerUnavailable
from tests.desk.adapters.rough import RESET, Answer, Said, rough_server
from tests.desk.adapters.wire import NOON


def test_system_clock_sleeps_until_an_instant() -> None:
    """It returns at or after the instant, at once for a past one, and its time is aware UTC."""
    clock = SystemClock()
    soon = clock.now() + timedelta(milliseconds=30)

    clock.sleep_until(soon)
    clock.sleep_until(soon - timedelta(days=1))

    assert clock.now() >= soon
    assert clock.now().tzinfo is UTC


def test_system_clock_notices_a_clock_that_jumps() -> None:
    """A sleep of hours ends with the slice in which the clock is set forward past its end."""
    readings = iter([NOON, NOON + timedelta(hours=3)])

    class Jumping(SystemClock):
        def now(self) -> datetime:
            return next(readings)

    Jumping().sleep_until(NOON + timedelta(hours=2))

    assert next(readings, None) is None


def lockstep(said: Said) -> Answer:
    """Play the venue in lock step."""
    if said.method == "POST":
        return Answer(200, {"now": said.body["to"]})
    return Answer(200, {"now": "2026-11-20T17:00:00Z", "pace": "lockstep"})


def test_venue_clock_moves_only_by_sleeping() -> None:
    """In lock step time stands still, no request is made to read it, and the past moves nothing."""
    with rough_server(lockstep) as server:
        clock = VenueClock(server.url)

        assert clock.now() == clock.now() == NOON
        assert clock.pace == 1
        clock.sleep_until(NOON - timedelta(hours=1))
        clock.sleep_until(NOON + timedelta(minutes=1))
        assert clock.now() == NOON + timedelta(minutes=1)
        assert [(said.method, said.path) for said in server.seen] == [
            ("GET", "/sim/state"),
            ("POST", "/sim/advance"),
        ]


def test_venue_clock_asks_again_after_a_lost_answer() -> None:
    """An advance to an absolute instant may be repeated."""
    answers = iter([RESET, Answer(503, ""), Answer(200, {"now": "2026-11-20T17:01:00Z"})])
    with rough_server(lambda said: lockstep(said) if said.method == "GET" else next(answers)) as server:
        clock = VenueClock(server.url, sleep=lambda seconds: None)
        clock.sleep_until(NOON + timedelta(minutes=1))

        assert clock.now() == NOON + timedelta(minutes=1)


@pytest.mark.parametrize(
    "answer", [Answer(500, ""), Answer(200, {"now": 5}), Answer(200, []), RESET], ids=str
)
def test_venue_clock_without_a_venue_says_so(answer: Answer | str) -> None:
    """A venue that does not answer, or answers nonsense, is BrokerUnavailable."""
    with rough_server(lambda said: answer) as server, pytest.raises(BrokerUnavailable):
        VenueClock(server.url, sleep=lambda seconds: None).now()


def test_venue_clock_that_does_not_advance_says_so() -> None:
    """A venue that answers an earlier time than asked is an error, not a busy loop."""
    with rough_server(lambda said: Answer(200, {"now": "2026-11-20T17:00:00Z"})) as server:
        with pytest.raises(BrokerUnavailable, match="stopped at"):
            VenueClock(server.url).sleep_until(NOON + timedelta(minutes=1))

        assert server.count("POST") == 1


def test_venue_clock_waits_at_the_venues_pace() -> None:
    """In paced mode time is reckoned from the last answer, and a sleep waits instead of advancing."""
    ours_s = [0.0]

    def sleep(seconds: float) -> None:
        ours_s[0] += seconds

    def script(said: Said) -> Answer:
        at = NOON + timedelta(seconds=ours_s[0] * 60)
        return Answer(200, {"now": at.isoformat(), "pace": 60})

    with rough_server(script) as server:
        clock = VenueClock(server.url, sleep=sleep, clock_s=lambda: ours_s[0])
        assert clock.pace == 60
        clock.sleep_until(NOON + timedelta(minutes=10))

        assert NOON + timedelta(minutes=10) <= clock.now() < NOON + timedelta(minutes=11)
        assert ours_s[0] == pytest.approx(10)
        assert server.count("POST") == 0
