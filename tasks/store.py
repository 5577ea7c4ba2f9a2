"""Where a desk's ledger and warehouse lie.

Apart from what opens them (tasks/resources.py), which brings the broker's libraries: a backtest needs the
place alone, and starts in half the time.
"""

from pathlib import Path

from schemas.settings import Settings

LEDGER_FILE = "ledger.sqlite"
WAREHOUSE_FILE = "warehouse.duckdb"


def ledger_path(settings: Settings) -> Path:
    """Give where the embedded ledger lies."""
    return settings.store / LEDGER_FILE


def warehouse_path(settings: Settings) -> Path:
    """Give where the warehouse lies."""
    return settings.store / WAREHOUSE_FILE
