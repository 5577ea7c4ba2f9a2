"""Bad input: one clear line on stderr, an exit code that is not 0, no traceback, nothing lost (Show 6)."""

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from cli.main import run, tell_defect
from tasks.configuration import load_settings
from tasks.resources import open_ledger
from tests.cli.conftest import DAY, Desk, Place


def test_an_unknown_key_is_named_with_a_suggestion(desk: Desk) -> None:
    """A misspelled key in desk.yaml is answered with the key that was meant."""
    desk.place.configure(risk={"daily_los_usd": 100})

    assert "did you mean daily_loss_usd?" in desk.fails("status", code=2)


def test_a_value_out_of_bounds_is_named(desk: Desk) -> None:
    """A bad value is answered with key, value and what is allowed."""
    desk.place.configure(risk={"daily_loss_usd": -5})

    complaint = desk.fails("session", code=2)

    assert "risk.daily_loss_usd is -5" in complaint
    assert "allowed" in complaint


def test_a_missing_secret_is_named(desk: Desk) -> None:
    """Alpaca itself without a key pair is refused before anything connects."""
    desk.place.configure(broker={"clock": "system"})

    answer = desk("doctor", "--json")

    assert answer.code == 1
    secrets = next(check for check in answer.json if check["name"] == "secrets")
    assert "ALPACA_API_KEY" in secrets["found"]
    assert ".env" in secrets["remedy"]


def test_an_unknown_symbol_is_named(desk: Desk) -> None:
    """A symbol the broker does not know stops the session before its first minute."""
    desk.place.configure(symbols=["AAPL", "ZZZZZ"])

    answer = desk("session", "--date", str(DAY))

    assert (answer.code, answer.out.strip()) == (1, "")
    assert answer.err.count("ZZZZZ") == 1, answer.err
    assert desk("orders").out.strip() == "no such orders"


def test_an_unknown_strategy_is_named(desk: Desk) -> None:
    """A strategy that is not registered is answered with those that are."""
    desk.place.configure(strategies=[{"name": "crystal_ball"}])

    for command in (("session", "--date", str(DAY)), ("up", "--port", "0")):
        complaint = desk.fails(*command, code=2)

        assert "crystal_ball" in complaint
        assert "vwap_mean_reversion" in complaint


def test_a_second_session_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process trades the account, a second session says who has it and sends nothing."""
    monkeypatch.setattr("tasks.occasion.LEASE_WAIT_S", 0.0)
    settings = load_settings(desk.place.config)
    with closing(open_ledger(settings)) as ledger:
        ledger.acquire("trade-session run one")

        complaint = desk.fails("session", "--date", str(DAY), code=1)

        assert "is held by trade-session run one" in complaint
        assert [event.kind for _, event in ledger.read()] == []


def test_a_session_that_another_run_is_at_is_refused(desk: Desk) -> None:
    """While another live run has the day's session, asking for it again is a failure that names the run."""
    settings = load_settings(desk.place.config)
    with closing(open_ledger(settings)) as ledger:
        ledger.claim("trade-session", DAY, "run one")

        complaint = desk.fails("session", "--date", str(DAY), code=1)

        assert "is being done by run run one" in complaint
        assert [event.kind for _, event in ledger.read()] == []


def test_a_port_in_use_is_named() -> None:
    """An exchange on a port that somebody has is refused with the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = desk_process("exchange", "--date", str(DAY), "--port", str(port))

    assert done.returncode != 0
    assert str(port) in only_line(done)


@pytest.mark.parametrize("day", ["2025-11-27", "2025-11-29"])
def test_a_date_without_a_session_is_refused_by_the_exchange(day: str) -> None:
    """A holiday or a weekend has no bars, and the exchange says so."""
    done = desk_process("exchange", "--date", day, "--port", "0")

    assert done.returncode != 0
    assert day in only_line(done)


def test_a_date_without_bars_is_named(tmp_path: Path) -> None:
    """A folder without bars of the date is refused with the date."""
    (tmp_path / "AAPL").mkdir()

    done = desk_process("exchange", "--bars", str(tmp_path), "--date", str(DAY), "--port", "0")

    assert done.returncode != 0
    assert str(DAY) in only_line(done)


def test_bars_with_a_missing_column_are_named(tmp_path: Path) -> None:
    """A Parquet file without volume is refused with the column's name."""
    folder = tmp_path / "AAPL"
    folder.mkdir()
    frame = pl.DataFrame(
        {"ts": ["2025-11-28T14:30:00Z"], "open": [1.0], "high": [1.0], "low": [1.0], "close": [1.0]}
    )
    frame.with_columns(pl.col("ts").str.to_datetime(time_zone="UTC")).write_parquet(folder / f"{DAY}.parquet")

    done = desk_process("exchange", "--bars", str(tmp_path), "--date", str(DAY), "--port", "0")

    assert done.returncode != 0
    assert "volume" in only_line(done)


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="no /dev/full on this system")
def test_a_full_disk_is_one_line(place: Place) -> None:
    """When nothing can be written the command says so and fails; what was there stays."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "--config", str(place.config), "doctor"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )

    assert done.returncode != 0
    assert "No space left" in only_line(done)


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (160_000, 160_000))
from cli.main import main
main()
"""


def test_a_disk_that_fills_up_in_mid_session_loses_nothing(desk: Desk) -> None:
    """No file may grow any more: the session stops in one line; with room again the day ends as it should."""
    day = DAY.isoformat()
    desk.place.sim("advance", to="2025-11-28T17:10:00Z")

    stopped = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            FULL_DISK,
            "--config",
            str(desk.place.config),
            "session",
            "--date",
            day,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert stopped.returncode == 1
    assert "Traceback" not in stopped.stderr
    assert "ledger.sqlite" in stopped.stderr.strip().splitlines()[-1], stopped.stderr
    assert desk("session", "--date", day).code == 0
    assert desk("close-day", "--date", day).code == 0
    assert desk("replay", "--verify").code == 0


def test_a_store_that_cannot_be_made_is_one_line(desk: Desk) -> None:
    """A store below a file is refused with its path."""
    (desk.place.folder / "store").write_text("not a folder", encoding="utf-8")

    for command in (["session", "--date", str(DAY)], ["kill"], ["close-day", "--date", str(DAY)]):
        assert "store" in desk.fails(*command, code=1)


def test_a_damaged_ledger_is_one_line(desk: Desk) -> None:
    """A file that is no ledger is named, and is left as it is."""
    store = desk.place.store
    store.mkdir()
    (store / "ledger.sqlite").write_bytes(b"this is no database" * 100)

    assert "ledger.sqlite" in desk.fails("status", code=1)
    assert (store / "ledger.sqlite").read_bytes().startswith(b"this is no database")


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "--colour"),
        ("fly",),
        ("exchange", "--date", "2025-11-27"),
        ("exchange", "--date", "2025-11-26", "--bars", "nosuch"),
        ("demo", "--date", "2025-11-29"),
        ("backtest", "sma_crossover", "--bars", "nosuch.parquet"),
        ("backtest", "sma_crossover", "--costs", "free"),
        ("backtest", "sma_crossover", "--size", "shares:0"),
        ("backtest", "sma_crossover", "--cash", "-1"),
        ("backtest", "nosuch.py:Idea"),
        ("orders", "--state", "lost"),
        ("orders", "--date", "yesterday"),
        ("resume",),
        ("explain",),
        ("sql", "SELECT 1", "--csv", "--json"),
    ],
)
def test_a_wrong_argument_is_one_line(desk: Desk, arguments: tuple[str, ...]) -> None:
    """Usage mistakes give one line and exit code 2."""
    answer = desk(*arguments)

    assert answer.code == 2
    assert len(answer.err.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["status", "positions", "orders", "replay", "report", "log"])
def test_a_desk_without_a_ledger_says_so(desk: Desk, command: str) -> None:
    """Questions to a desk that never ran are answered with the file that is not there."""
    assert "there is no such file" in desk.fails(command, code=1)


def test_a_missing_configuration_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--config` with a path that is not there is exit code 2."""
    assert run(["--config", str(tmp_path / "nope.yaml"), "status"]) == 2
    assert "nope.yaml: no such file" in capsys.readouterr().err


def test_a_defect_is_one_line_and_its_trace_is_kept(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """What nobody expected is one line; the traceback is in the log it names."""
    desk("breaks")
    try:
        raise ZeroDivisionError("by nobody")
    except ZeroDivisionError as error:
        tell_defect(type(error), error, error.__traceback__)

    told = capsys.readouterr().err
    assert len(told.strip().splitlines()) == 1
    assert "ZeroDivisionError: by nobody" in told
    log = desk.place.store / "logs" / "errors.log"
    assert str(log) in told
    assert "Traceback" in log.read_text(encoding="utf-8")


def desk_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `desk` as a process that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    """Give the one line a process complained with."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]
