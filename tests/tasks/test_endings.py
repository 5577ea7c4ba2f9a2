"""How a phase that could not be done ends: what passes by itself is started again, else a person is asked."""

import pytest

from desk.errors import BrokerUnavailable, ConfigError, DeskError, NotReady
from tasks.occasion import Day, Phase


@pytest.mark.parametrize(
    ("phase", "error", "crashed"),
    [
        (Phase.TRADE_SESSION, BrokerUnavailable("clock: 503"), True),
        (Phase.TRADE_SESSION, NotReady("the broker blocks the account"), False),
        (Phase.TRADE_SESSION, ConfigError("symbols: NOPE not known to the broker"), False),
        (Phase.CLOSE_DAY, BrokerUnavailable("orders: 503"), False),
    ],
    ids=["silent broker", "blocked account", "wrong settings", "close-day"],
)
def test_only_a_session_kept_from_starting_by_a_silent_broker_is_started_again(
    phase: Phase, error: DeskError, *, crashed: bool
) -> None:
    """The automation reacts to crashed runs alone; the message says what happened in either case."""
    day = Day(phase, run_id="r")

    day.fail(error)

    assert day.ending.is_crashed() is crashed
    assert day.ending.is_failed() is not crashed
    assert day.ending.message == str(error)
