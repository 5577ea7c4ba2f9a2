"""`python -m soak crash`: see the modules of this package; each says what it shows."""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from soak import crash


def main() -> int:
    """Run the soak the command line names; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    commands = parser.add_subparsers(dest="soak", required=True)
    killing = commands.add_parser("crash", help="kill -9 the session process at random moments")
    killing.add_argument("--kills", type=int, default=100)
    killing.add_argument("--seed", type=int, default=1)
    killing.add_argument("--pace", type=float, default=60.0, help="times real speed")
    killing.add_argument("--faults", type=Path, default=None, help="a fault plan; none without it")
    killing.add_argument("--folder", type=Path, default=None, help="where to work; default: a temporary one")
    asked = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    with tempfile.TemporaryDirectory(prefix="desk-soak-") as scratch:
        folder = asked.folder if asked.folder is not None else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        found = crash.run(
            kills=asked.kills,
            seed=asked.seed,
            pace=asked.pace,
            faults=asked.faults.absolute() if asked.faults is not None else None,
            folder=folder.absolute(),
            console=console,
        )
    crash.show(found, console)
    return 0 if crash.is_good(found) else 1


if __name__ == "__main__":
    sys.exit(main())
