"""A session composed as the live one, at the exchange over HTTP: its bars come by alpaca-py's data stream."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from desk.exchange.floor import Floor
from desk.exchange.generated import GeneratedMarket
from desk.exchange.server import ExchangeServer
from desk.session import Session
from schemas.events import MinuteClosed
from schemas.settings import BrokerSettings, ClockKind, DataSettings, Settings, StrategySettings
from tasks.resources import open_desk, open_ledger
from tests.desk.short_day import CLOSE, SHORT_DAY

SYMBOLS = ("AAPL", "MSFT", "XOM")
STARTS = CLOSE - timedelta(minutes=20)


@pytest.mark.parametrize(("heard", "after_s"), [(True, 1.0), (False, 2.0)])
def test_a_heard_day_decides_a_second_sooner(tmp_path: Path, heard: bool, after_s: float) -> None:
    """Heard, a minute is decided when its bars go out; polled, when the wait is over."""
    floor = Floor(GeneratedMarket(1, SYMBOLS), session_date=SHORT_DAY, starts_at=STARTS)
    with ExchangeServer(floor) as server:
        settings = Settings(
            symbols=SYMBOLS,
            store=tmp_path,
            broker=BrokerSettings(
                trading_url=server.url, data_url=server.url, feed="sip", clock=ClockKind.VENUE
            ),
            strategies=(
                StrategySettings(name="sma_crossover", params={"fast": 2, "slow": 5, "band_bps": 2.0}),
            ),
            data=DataSettings(stream=heard),
        )
        with open_desk(settings, holder="test") as desk:
            result = Session(desk, session_date=SHORT_DAY, run_id="r").run()

    with closing(open_ledger(settings)) as ledger:
        closed = [event for _, event in ledger.read() if isinstance(event, MinuteClosed)]
    after = {(event.at - event.bar_ts).total_seconds() - 60 for event in closed if event.bar_ts >= STARTS}
    assert after == {after_s}
    assert len(closed) == result.minutes == 22
    assert result.signals > 0
