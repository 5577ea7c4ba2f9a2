"""What every test may rely on: no network but loopback, and the real bars where they are."""

import ipaddress
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

CHECKOUT = Path(__file__).parent.parent


# A busy machine is no failure: the time one example takes says nothing about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def real_data_dir() -> Path | None:
    """Find the real bars: DESK_REAL_DATA, else ../shared/data beside the checkout."""
    place = Path(os.environ.get("DESK_REAL_DATA", CHECKOUT.parent / "shared" / "data"))
    return place if (place / "bars" / "1min").is_dir() else None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Give the folder of real bars; the test is skipped, saying so, where they are absent."""
    place = real_data_dir()
    if place is None:
        pytest.skip("no real bars: neither DESK_REAL_DATA nor ../shared/data has bars/1min")
    return place


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `real` where the real bars are absent."""
    if real_data_dir() is not None:
        return
    skip = pytest.mark.skip(reason="no real bars: neither DESK_REAL_DATA nor ../shared/data has bars/1min")
    for item in items:
        if "real" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise AssertionError(f"a test tried to reach {address[0]}: only loopback is allowed")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
