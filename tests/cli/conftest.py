"""A desk to give commands to: its own desk.yaml and store, and a simulated exchange on a socket."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from cli.main import run
from desk.exchange.floor import Floor
from desk.exchange.generated import GeneratedMarket
from desk.exchange.server import ExchangeServer
from tasks.configuration import CONFIG_VARIABLE
from tasks.logs import reset_logging

DAY = date(2025, 11, 28)  # an early close: 210 minutes
SYMBOLS = ("AAPL", "MSFT")
HTTP_TIMEOUT_S = 10
BUSY = [
    {"name": "vwap_mean_reversion", "allocation_frac": 0.5},
    {"name": "sma_crossover", "allocation_frac": 0.5, "params": {"band_bps": 2.0}},
]


@dataclass
class Place:
    """A directory with a desk.yaml, and the exchange it names."""

    folder: Path
    server: ExchangeServer

    @property
    def config(self) -> Path:
        return self.folder / "desk.yaml"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def configure(self, **changes: Any) -> None:
        """Write desk.yaml, with these sections changed."""
        settings: dict[str, Any] = {
            "account": {"name": "test"},
            "broker": {
                "trading_url": self.server.url,
                "data_url": self.server.url,
                "stream_url": self.server.stream_url,
                "feed": "sip",
                "clock": "venue",
            },
            "symbols": list(SYMBOLS),
            "strategies": [{"name": "vwap_mean_reversion", "allocation_frac": 0.5}],
            "session": {"settle_every_s": 60},
            "store": "store",
        }
        self.config.write_text(yaml.safe_dump({**settings, **changes}), encoding="utf-8")

    def sim(self, path: str, **body: Any) -> None:
        """Post to the exchange's control endpoint."""
        url = f"{self.server.control_url}/{path}"
        requests.post(url, json=body, timeout=HTTP_TIMEOUT_S).raise_for_status()


@dataclass
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Desk:
    """Runs command lines in this process, as `desk` would."""

    def __init__(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        self.place = place
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Answer:
        self._capsys.readouterr()
        code = run(["--config", str(self.place.config), *arguments])
        captured = self._capsys.readouterr()
        return Answer(code=code, out=captured.out, err=captured.err)

    def fails(self, *arguments: str, code: int) -> str:
        """Run a command line that must fail; give its complaint, which is the last line on stderr."""
        answer = self(*arguments)
        assert answer.code == code, (answer.out, answer.err)
        assert "Traceback" not in answer.err
        return answer.err.strip().splitlines()[-1]


def open_place(folder: Path, seed: int = 3) -> Iterator[Place]:
    """Open an exchange on a generated market and configure a desk for it."""
    floor = Floor(GeneratedMarket(seed, SYMBOLS), session_date=DAY)
    with ExchangeServer(floor) as server:
        place = Place(folder, server)
        place.configure()
        yield place


@pytest.fixture(autouse=True)
def leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the environment and the log handlers back as they were."""
    monkeypatch.setenv(CONFIG_VARIABLE, "desk.yaml")
    yield
    reset_logging()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Give a desk that has not traded yet."""
    yield from open_place(tmp_path)


@pytest.fixture(scope="package")
def traded_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Give a desk that traded one whole day and closed it; tests only read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CONFIG_VARIABLE, "desk.yaml")
        for place in open_place(tmp_path_factory.mktemp("traded")):
            place.configure(strategies=BUSY, risk={"gross_max_usd": 20_000})  # tight: some intents are denied
            assert run(["--config", str(place.config), "session", "--date", DAY.isoformat()]) == 0
            assert run(["--config", str(place.config), "close-day", "--date", DAY.isoformat()]) == 0
            reset_logging()
            yield place


@pytest.fixture
def desk(place: Place, capsys: pytest.CaptureFixture[str]) -> Desk:
    """Give a command line on a desk that has not traded yet."""
    return Desk(place, capsys)


@pytest.fixture
def traded(traded_place: Place, capsys: pytest.CaptureFixture[str]) -> Desk:
    """Give a command line on the desk that traded a day."""
    return Desk(traded_place, capsys)
