"""The memory of a session process: the most it ever held, over a generated day of 100 symbols.

The session runs as a user runs it (`desk session`) in a process of its own, against the simulated
exchange in another. The kernel's own account of it, ru_maxrss, is what counts. Goal: less than 500 MB.
"""

import json
import os
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import yaml

from cli.rehearsal import Exchange, Stage, write_run_folder

DAY = date(2025, 11, 26)
SYMBOLS = tuple(f"{first}{second}X" for first in "ABCDEFGHIJ" for second in "ABCDEFGHIJ")
STRATEGIES = ("vwap_mean_reversion", "sma_crossover")
GOAL_MB = 500.0
TIMEOUT_S = 600.0

# The child reports on itself after its last line: children's usage is told to the parent only mixed.
_CHILD = """
import json, resource, sys
from cli.main import run
code = run(["session", "--date", sys.argv[1]])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print("\\n" + json.dumps({"code": code, "peak_kib": peak}))
"""


def run() -> list[dict[str, object]]:
    """Measure and give one row."""
    with tempfile.TemporaryDirectory() as folder:
        peak_kib = _peak_kib(Path(folder))
    return [
        {
            "name": f"session process, most memory held, {len(SYMBOLS)} symbols, one day",
            "value": round(peak_kib * 1024 / 1e6, 1),
            "unit": "MB",
            "goal": GOAL_MB,
        }
    ]


def _peak_kib(folder: Path) -> int:
    stage = Stage(bars=None, session_date=DAY, symbols=SYMBOLS, strategies=STRATEGIES, seed=1)
    exchange = Exchange(stage, folder=folder)
    try:
        config = write_run_folder(folder, stage, exchange_url=exchange.url, stream_url=exchange.stream_url)
        _settle_seldom(config)
        exchange.wait_until_ready()
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _CHILD, DAY.isoformat()],
            env={**os.environ, "DESK_CONFIG": str(config)},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    finally:
        exchange.stop()
    if done.returncode != 0:
        raise RuntimeError(f"the session process ended with {done.returncode}: {done.stderr[-2000:]}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    if said["code"] != 0:
        raise RuntimeError(f"the session failed: {done.stderr[-2000:]}")
    return int(said["peak_kib"])


def _settle_seldom(config: Path) -> None:
    """Settle once a minute: what a session holds does not depend on it, how long it takes does."""
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    settings["session"] = {"settle_every_s": 60}
    for each in settings["strategies"]:
        if each["name"] == "sma_crossover":
            each["params"] = {"band_bps": 2.0}  # as in every earlier measurement
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
