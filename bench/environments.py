"""The peers' own virtual environments, made when they are needed and kept outside the repository.

What a peer is run with is pinned in bench/peers/NAME.txt; its first line says which Pythons its wheels are
for. An environment is named after the hash of that file: other pins are another environment. pip takes
packages from whatever index it is set up with. What cannot be had here is told in the installer's words.
"""

import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
INSTALLING_S = 900  # the largest is 600 MB; a slower line is not worth a contest
ASKING_S = 20


class CannotInstall(Exception):
    """A peer is not to be had on this machine."""


def interpreter(peer: str) -> Path:
    """Give the Python of a peer's environment, which is made if it is not there yet.

    Raises:
        CannotInstall: no fitting Python, or the installer failed.
    """
    pins = PEERS / f"{peer}.txt"
    text = pins.read_text(encoding="utf-8")
    home = cache() / f"{peer}-{sha256(text.encode()).hexdigest()[:12]}"
    python, ready = home / "bin" / "python", home / "ready"
    if ready.exists():
        return python
    base = _fitting(text.partition("\n")[0].removeprefix("# python:").split())
    shutil.rmtree(home, ignore_errors=True)
    for command in (
        [str(base), "-m", "venv", str(home)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
         "--only-binary", ":all:", "--requirement", str(pins)],
    ):  # fmt: skip
        _do(command)
    ready.touch()
    return python


def cache() -> Path:
    """Give the folder of the environments, outside the repository."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "miniquantdesk" / "peers"


def _fitting(versions: list[str]) -> Path:
    """Give the first Python of these versions that runs here.

    Raises:
        CannotInstall: there is none.
    """
    for version in versions:
        for path in _candidates(version):
            if _version(path) == version:
                return path
    raise CannotInstall(f"needs Python {' or '.join(versions)}, and there is none here")


def _candidates(version: str) -> list[Path]:
    """Give where a Python may be: the one that runs this, on the PATH, among pyenv's."""
    named = shutil.which(f"python{version}")
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [Path(sys.executable), *([Path(named)] if named else [])]
    return [*found, *sorted(versions.glob(f"{version}.*/bin/python"))]


def _version(python: Path) -> str | None:
    """Give an interpreter's version as 3.13, None if it does not run: a shim may lead nowhere."""
    words = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        asked = subprocess.run(
            [str(python), "-c", words], capture_output=True, text=True, check=False, timeout=ASKING_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


def _do(command: list[str]) -> None:
    """Run a step of an installation.

    Raises:
        CannotInstall: with the last line that it said.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALLING_S)
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"the installer took more than {INSTALLING_S} s") from None
    if done.returncode != 0:
        raise CannotInstall(last_line(done.stderr) or last_line(done.stdout))


def last_line(words: str) -> str:
    """Give the last line that is no advice about pip itself."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    told = [line for line in lines if not re.match(r"\[notice\]|WARNING", line)]
    return (told or lines or [""])[-1]
