"""Records of the rooms land in the right file, as JSON, with their facts and without secrets."""

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from tasks import logs
from tasks.logs import REDACTED, STREAM_LOGGERS, configure_logging, correlated, reset_logging

WEBHOOK = "https://discord.com/api/webhooks/123456/abcDEF-token"


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    """Leave no handler behind for other tests."""
    yield
    reset_logging()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Give a store whose logs are configured."""
    configure_logging(tmp_path, "DEBUG", prefect=False, console=False)
    return tmp_path


def lines(store: Path, area: str) -> list[dict[str, Any]]:
    """Read a log file's records."""
    path = store / "logs" / f"{area}.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize(
    ("logger", "area"),
    [
        ("desk.session", "trading"),
        ("desk.gate", "trading"),
        ("strategies.base", "trading"),
        ("desk.adapters.alpaca_market", "data"),
        ("data.warehouse", "data"),
        ("data.ledger", "system"),
        ("tasks.outbox", "system"),
        ("flows.close_day", "system"),
        ("cli.main", "system"),
    ],
)
def test_a_record_goes_to_its_loggers_area_and_no_other(store: Path, logger: str, area: str) -> None:
    """Each logger name has one area."""
    logging.getLogger(logger).info("something happened")

    assert {name: len(lines(store, name)) for name in logs.AREAS} == {
        name: int(name == area) for name in logs.AREAS
    }


def test_extras_are_json_fields(store: Path) -> None:
    """Facts in `extra` are fields, beside the phrase, the instant, the level and the logger."""
    facts = {"symbol": "AAPL", "qty": 100, "latency_ms": 1.5, "limits": {"gross_max_usd": 50_000}}

    logging.getLogger("desk.dispatcher").warning("order %s sent", "mqd-a", extra=facts)

    (line,) = lines(store, "trading")
    assert line["event"] == "order mqd-a sent"
    assert line["level"] == "warning"
    assert line["logger"] == "desk.dispatcher"
    assert line["at"].endswith("+00:00")
    assert {key: line[key] for key in facts} == facts


def test_a_record_may_say_its_own_area(store: Path) -> None:
    """A heartbeat is a heartbeat whoever logs it."""
    logging.getLogger("desk.session").info("alive", extra={"area": "heartbeats"})

    assert len(lines(store, "heartbeats")) == 1
    assert lines(store, "trading") == []


def test_errors_are_in_their_area_and_in_the_errors_file(store: Path) -> None:
    """ERROR is written twice, WARNING once; a traceback is part of the record."""
    log = logging.getLogger("desk.session")
    log.warning("look today")
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        log.exception("look now")

    (error,) = lines(store, "errors")
    assert error["event"] == "look now"
    assert "RuntimeError: boom" in error["exception"]
    assert [line["event"] for line in lines(store, "trading")] == ["look today", "look now"]


def test_a_correlation_id_is_on_every_record_of_its_block(store: Path) -> None:
    """Bound around a block, or given as a fact; not after the block, nor in another thread."""
    log = logging.getLogger("desk.session")
    with correlated("sma/AAPL/2025-11-26T17:00"):
        log.info("inside")
        thread = threading.Thread(target=log.info, args=("elsewhere",))
        thread.start()
        thread.join()
    log.info("after")
    log.info("given", extra={"correlation_id": "sma/MSFT/2025-11-26T17:00"})

    assert [line.get("correlation_id") for line in lines(store, "trading")] == [
        "sma/AAPL/2025-11-26T17:00",
        None,
        None,
        "sma/MSFT/2025-11-26T17:00",
    ]


def test_secrets_and_account_numbers_never_reach_a_file(tmp_path: Path) -> None:
    """By key, by shape and by value; in messages, facts, nested facts and tracebacks."""
    secret = "s3cr3t/With+Odd=Chars"
    configure_logging(tmp_path, "DEBUG", prefect=False, console=False, secrets=[secret])
    log = logging.getLogger("desk.adapters.alpaca_broker")

    log.info("login with %s", secret, extra={"api_key": "anything", "account_number": "9876543210"})
    log.info("posted to " + WEBHOOK, extra={"headers": {"Authorization": "Basic dXNlcjpwYXNz", "x": secret}})
    log.info("key PKABCDEFGHIJ23456789 of account PA3XYZ12ABCD", extra={"tokens": ["abc"], "urls": [WEBHOOK]})
    try:
        raise ValueError(f"bad login {secret}")
    except ValueError:
        log.exception("failed")

    text = "".join(path.read_text() for path in (tmp_path / "logs").iterdir())
    for word in (
        secret,
        "anything",
        "9876543210",
        "abcDEF-token",
        "dXNlcjpwYXNz",
        "PKABC",
        "PA3XYZ",
        '"abc"',
    ):
        assert word not in text
    assert text.count(REDACTED) >= 8


def test_ordinary_facts_are_not_redacted(store: Path) -> None:
    """Ids, symbols and numbers that people search for stay readable."""
    facts = {"client_order_id": "mqd-sma-20251126-AAPL-1700-n0", "account": "paper", "qty": 1, "none": None}

    logging.getLogger("desk.gate").info("order denied", extra=facts)

    (line,) = lines(store, "trading")
    assert {key: line[key] for key in facts} == facts


def test_configuring_again_writes_each_record_once(store: Path) -> None:
    """A second call, in the same process, replaces the first."""
    configure_logging(store, "INFO", prefect=False, console=False)
    logging.getLogger("desk.gate").info("once")
    logging.getLogger("desk.gate").debug("below the level")

    assert [line["event"] for line in lines(store, "trading")] == ["once"]


@pytest.mark.parametrize("name", STREAM_LOGGERS)
def test_a_lost_stream_is_one_line_without_the_sdks_traceback(store: Path, name: str) -> None:
    """alpaca-py logs each lost connection with a traceback; its words stay, and are told."""
    error = ValueError("connection limit exceeded")
    logger = logging.getLogger(name)
    record = logger.makeRecord(name, logging.ERROR, "", 0, "lost: %s", (error,), (ValueError, error, None))

    assert logger.filter(record)
    assert record.exc_info is None
    assert record.getMessage() == "lost: connection limit exceeded"


def test_an_unknown_level_is_refused_by_name(tmp_path: Path) -> None:
    """A typo in the level is one clear error."""
    with pytest.raises(ValueError, match="'LOUD'"):
        configure_logging(tmp_path, "LOUD", prefect=False)


def test_files_are_rotated_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file never grows past its limit, and only so many old ones are kept."""
    monkeypatch.setattr(logs, "FILE_MAX_BYTES", 2_000)
    monkeypatch.setattr(logs, "FILE_BACKUPS", 2)
    configure_logging(tmp_path, prefect=False, console=False)

    for number in range(100):
        logging.getLogger("desk.gate").info("order denied", extra={"number": number})

    kept = sorted(path.name for path in (tmp_path / "logs").glob("trading*"))
    assert kept == ["trading.log", "trading.log.1", "trading.log.2"]
    assert all(path.stat().st_size <= 2_000 for path in (tmp_path / "logs").glob("trading*"))


def test_a_file_that_another_process_rotated_is_opened_again(store: Path) -> None:
    """Lines go to the file that has the name, not into somebody's backup."""
    log = logging.getLogger("desk.gate")
    log.info("before")
    current = store / "logs" / "trading.log"
    current.rename(current.with_suffix(".log.1"))

    log.info("after")

    assert [line["event"] for line in lines(store, "trading")] == ["after"]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Give what the run log's handler hands to Prefect's background sender."""
    rows: list[dict[str, Any]] = []
    monkeypatch.setattr("prefect.logging.handlers.emit_api_log", rows.append)
    with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True}):
        yield rows


def test_outside_a_run_nothing_is_sent_to_prefect(tmp_path: Path, sent: list[dict[str, Any]]) -> None:
    """A record without a run is not an error and not sent."""
    configure_logging(tmp_path, prefect=True, console=False)

    logging.getLogger("desk.gate").info("order denied")

    assert sent == []
    assert len(lines(tmp_path, "trading")) == 1


def test_a_runs_records_reach_its_log_with_their_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: list[dict[str, Any]]
) -> None:
    """The run log has one readable line, redacted, from the flow's thread and from its helpers'."""
    run_id = uuid4()
    monkeypatch.setattr(logs, "current_flow_run_id", lambda: str(run_id))
    configure_logging(tmp_path, prefect=True, console=False)
    log = logging.getLogger("desk.gate")

    log.info("order denied", extra={"symbol": "AAPL", "number": 5, "api_key": "x"})
    thread = threading.Thread(target=log.info, args=("from a thread",))
    thread.start()
    thread.join()

    assert [row["message"] for row in sent] == [
        f"order denied api_key={REDACTED} number=5 symbol=AAPL",
        "from a thread",
    ]
    assert {UUID(str(row["flow_run_id"])) for row in sent} == {run_id}
    assert all("flow_run_id" not in line for line in lines(tmp_path, "trading"))
