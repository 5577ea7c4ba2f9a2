"""Towards a venue whose time runs faster, a limit is of the venue's seconds, down to what an answer takes."""

from pathlib import Path
from time import monotonic

import pytest

from desk.errors import BrokerUnavailable
from desk.throttler import Errand
from schemas.settings import BrokerSettings, ClockKind, Settings
from tasks.pace import LIMIT_MIN_S, at_pace
from tasks.resources import open_desk
from tests.contracts.venue import wait_until
from tests.desk.adapters.rough import HANG, Answer, Said, rough_server


@pytest.mark.parametrize(("pace", "limit_s"), [(1.0, 10.0), (0.5, 10.0), (4.0, 2.5), (60.0, LIMIT_MIN_S)])
def test_limits_shrink_with_the_pace_down_to_what_an_answer_takes(pace: float, limit_s: float) -> None:
    """In life nothing changes; at a pace no limit is below a second of ours, and none grows."""
    settings = at_pace(Settings(broker=BrokerSettings(connect_timeout_s=0.5)), pace)

    assert settings.broker.read_timeout_s == limit_s
    assert settings.broker.connect_timeout_s == 0.5


@pytest.mark.parametrize(("pace", "delay_s"), [(1.0, 2.0), (20.0, 2.0), (60.0, 6.0), (1000.0, 50.0)])
def test_bars_have_a_tenth_of_a_second_of_ours_to_arrive(pace: float, delay_s: float) -> None:
    """Two venue seconds at pace 60 are 33 ms: bars under way would be called missing, their stream mute."""
    assert at_pace(Settings(), pace).session.bar_delay_s == pytest.approx(delay_s)


def test_a_refused_request_costs_a_paced_venue_no_minutes(tmp_path: Path) -> None:
    """Half a minute that a 429 asks for is the venue's: at pace 600 entries have room again at once."""

    def refused(said: Said) -> Answer | str:
        if said.path == "/sim/state":
            return Answer(200, {"now": "2026-11-20T17:00:00Z", "pace": 600})
        return Answer(429, {"message": "too many requests"}, {"Retry-After": "30"})

    with rough_server(refused) as server:
        broker = BrokerSettings(
            trading_url=server.url,
            data_url=server.url,
            stream_url=f"ws{server.url[4:]}/stream",
            clock=ClockKind.VENUE,
            read_attempts=1,
        )
        settings = Settings(broker=broker, store=tmp_path)
        with open_desk(settings, holder="test", stream=False) as desk:
            with pytest.raises(BrokerUnavailable, match="429"):
                desk.broker.account()

            throttler = desk.throttler
            assert throttler is not None
            assert throttler.traffic().refused == 1
            wait_until(lambda: throttler.room(Errand.ENTRY) is None)


def test_a_hung_request_costs_a_paced_venue_no_minutes(tmp_path: Path) -> None:
    """Ten seconds of patience are ten minutes at pace 60; the seat's own adapters wait a second."""

    def paced(said: Said) -> Answer | str:
        if said.path == "/sim/state":
            return Answer(200, {"now": "2026-11-20T17:00:00Z", "pace": 60})
        return HANG

    with rough_server(paced) as server:
        broker = BrokerSettings(
            trading_url=server.url,
            data_url=server.url,
            stream_url=f"ws{server.url[4:]}/stream",
            clock=ClockKind.VENUE,
            read_attempts=1,
        )
        settings = Settings(broker=broker, store=tmp_path)
        with open_desk(settings, holder="test", stream=False) as desk:
            began = monotonic()
            with pytest.raises(BrokerUnavailable, match="timed out"):
                desk.broker.account()

            assert LIMIT_MIN_S <= monotonic() - began < broker.read_timeout_s / 2
