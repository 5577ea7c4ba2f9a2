"""Which version of this program runs, for the ledger and for backtests to name."""

import subprocess
from pathlib import Path

GIT_TIMEOUT_S = 10  # on a cold disk; milliseconds else


def code_version() -> str:
    """Give git's word for this program, with + where the checkout differs; "unknown" outside one."""
    folder = Path(__file__).resolve().parent
    try:
        head = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head + ("+" if changed else "")


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True
    )
    return done.stdout.strip()
