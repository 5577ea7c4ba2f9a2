"""A rehearsal's stage: a run folder with its own desk.yaml, and the simulated exchange beside it."""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from cli.processes import Child, claim_port
from tasks.errors import ConfigError
from tasks.strategy_source import anchored

DEFAULT_DATE = date(2025, 11, 20)  # a regular Thursday; generated markets need no data for it
DEFAULT_SYMBOLS = ("SPY", "QQQ", "AAPL", "MSFT", "NVDA")
DEFAULT_STRATEGY = "vwap_mean_reversion"
DEFAULT_SEED = 7
_ENV = "# The simulated exchange takes any key.\nALPACA_API_KEY=demo\nALPACA_SECRET_KEY=demo\n"
_READY_TIMEOUT_S = 60.0  # reading a large universe of bars from a cold disk takes seconds
_POLL_S = 0.1
_HTTP_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Stage:
    """What a rehearsal plays: which bars, which day, which ideas."""

    bars: Path | None  # None: a generated market
    session_date: date
    symbols: tuple[str, ...]
    strategies: tuple[str, ...]
    seed: int


def make_stage(
    *, bars: Path | None, session_date: date | None, symbols: str | None, strategy: str, seed: int
) -> Stage:
    """Fill in what the user left out.

    Raises:
        ConfigError: the bars are not there, or a list is empty.
    """
    if session_date is not None:
        from tasks.exchange import require_session

        require_session(session_date)
    wanted = tuple(word.strip().upper() for word in (symbols or "").split(",") if word.strip())
    named = (word.strip() for word in strategy.split(","))
    strategies = tuple(anchored(word, Path.cwd()) for word in named if word)
    if not strategies:
        raise ConfigError("--strategy is empty; allowed: names or files of strategies, with commas")
    if bars is None:
        return Stage(None, session_date or DEFAULT_DATE, wanted or DEFAULT_SYMBOLS, strategies, seed)
    folder = bars.expanduser().absolute()
    if not folder.is_dir():
        raise ConfigError(f"--bars {bars}: no such directory; expected <SYMBOL>/<yyyy-mm-dd>.parquet in it")
    day = session_date or _newest_date(folder, wanted)
    return Stage(folder, day, wanted or _symbols_with(folder, day), strategies, seed)


def write_run_folder(folder: Path, stage: Stage, *, exchange_url: str, stream_url: str) -> Path:
    """Write desk.yaml and .env of a rehearsal; give the path of desk.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "account": {"name": "demo", "mode": "paper"},
        "broker": {
            "trading_url": exchange_url,
            "data_url": exchange_url,
            "stream_url": stream_url,
            "feed": "sip",
            "clock": "venue",
        },
        "symbols": list(stage.symbols),
        "strategies": [
            {"name": name, "allocation_frac": round(1 / max(2, len(stage.strategies)), 4)}
            for name in stage.strategies
        ],
        "session": {"settle_every_s": 30},
        "store": "store",
    }
    path = folder / "desk.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    (folder / ".env").write_text(_ENV, encoding="utf-8")
    return path


def fresh_folder(store: Path | None, *, started_at: datetime) -> Path:
    """Give the folder of this run: `store` if the user named one, else a new one under data/store.

    Raises:
        ConfigError: the named folder has something in it; a rehearsal writes into an empty one.
    """
    if store is None:
        return Path("data/store").absolute() / f"demo-{started_at:%Y%m%d-%H%M%S}"
    folder = store.expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"--store {store}: not an empty directory; allowed: a new or an empty one")
    return folder


class Exchange:
    """`desk exchange` as a child process."""

    def __init__(
        self, stage: Stage, *, folder: Path, pace: str = "lockstep", options: Sequence[str] = ()
    ) -> None:
        """Start it on a free port; `options` are further ones of `desk exchange`."""
        port = claim_port(None)
        self.url = f"http://127.0.0.1:{port}"
        self.stream_url = f"ws://127.0.0.1:{port}/stream"
        source = ["--seed", str(stage.seed)] if stage.bars is None else ["--bars", str(stage.bars)]
        folder.mkdir(parents=True, exist_ok=True)
        self._child = Child(
            "exchange",
            [
                *(sys.executable, "-m", "cli.main", "exchange", *source),
                *("--date", stage.session_date.isoformat(), "--symbols", ",".join(stage.symbols)),
                *("--port", str(port), "--pace", pace, *options),
            ],
            env=_quiet_environment(),
            cwd=folder,
            log=folder / "store" / "logs" / "exchange.log",
        )

    @property
    def pid(self) -> int:
        """Give its process id."""
        return self._child.pid

    def wait_until_ready(self) -> None:
        """Return when it answers.

        Raises:
            ConfigError: it ended; the message is its own.
        """
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if not self._child.is_running():
                raise ConfigError(self._child.last_words(1) or "the exchange ended without a word")
            if self.state() is not None:
                return
            time.sleep(_POLL_S)
        raise ConfigError(f"the exchange was silent for {_READY_TIMEOUT_S:.0f} s; see {self._child.log}")

    def state(self) -> dict[str, Any] | None:
        """Give GET /sim/state, or None while it does not answer."""
        try:
            return self._get("/sim/state")
        except (URLError, OSError, ValueError):
            return None

    def books(self) -> dict[str, Any]:
        """Give GET /sim/books: cash, positions and fills as the venue has them.

        Raises:
            ConfigError: it no longer answers.
        """
        try:
            return self._get("/sim/books")
        except (URLError, OSError, ValueError) as error:
            raise ConfigError(f"the exchange no longer answers: {error}; see {self._child.log}") from error

    def stop(self) -> None:
        """End it. Idempotent."""
        self._child.stop(patience_s=5.0)

    def _get(self, path: str) -> dict[str, Any]:
        with urlopen(self.url + path, timeout=_HTTP_TIMEOUT_S) as answer:
            body = json.load(answer)
        if not isinstance(body, dict):
            raise ValueError(f"{path} answered a {type(body).__name__}")
        return body


def _newest_date(folder: Path, symbols: tuple[str, ...]) -> date:
    """Give the newest date that the wanted symbols have bars of."""
    names = symbols or tuple(path.name for path in folder.iterdir() if path.is_dir())
    days = [{path.stem for path in (folder / name).glob("????-??-??.parquet")} for name in names]
    common = set.intersection(*days) if symbols and days else set().union(*days)
    if not common:
        raise ConfigError(f"--bars {folder}: no date that all of {', '.join(names)} have; name --date")
    return date.fromisoformat(max(common))


def _symbols_with(folder: Path, day: date) -> tuple[str, ...]:
    """Give the first few symbols that have bars of a date; a demo needs no more."""
    having = sorted(path.parent.name for path in folder.glob(f"*/{day.isoformat()}.parquet"))
    if not having:
        raise ConfigError(f"--bars {folder}: no bars on {day}")
    return tuple(having[: len(DEFAULT_SYMBOLS)])


def _quiet_environment() -> dict[str, str]:

    return {**os.environ, "PYTHONWARNINGS": "ignore", "NO_COLOR": "1"}
