"""The contestants' own virtual environments, made when they are needed and kept outside the repository.

What a peer is run with is pinned in bench/peers/NAME.txt; its first line says which Pythons its wheels are
for. Ours is run with what pyproject.toml asks for, as requirements.lock pins it, without the libraries of its
tests: numba imports scipy where it finds it, and only a test needs scipy. An environment is named after the
hash of its pins: other pins are another environment. pip takes packages from whatever index it is set up
with. What cannot be had here is told in the installer's words.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from hashlib import sha256
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
ROOT = Path(__file__).parents[1]
OURS = "desk"
INSTALLING_S = 900  # the largest is 600 MB; a slower line is not worth a contest
ASKING_S = 20


class CannotInstall(Exception):
    """A peer is not to be had on this machine."""


def interpreter(peer: str) -> Path:
    """Give the Python of a peer's environment, which is made if it is not there yet.

    Raises:
        CannotInstall: no fitting Python, or the installer failed.
    """
    text = _our_pins() if peer == OURS else (PEERS / f"{peer}.txt").read_text(encoding="utf-8")
    home = cache() / f"{peer}-{sha256(text.encode()).hexdigest()[:12]}"
    python, ready = home / "bin" / "python", home / "ready"
    if ready.exists():
        return python
    base = _fitting(text.partition("\n")[0].removeprefix("# python:").split())
    shutil.rmtree(home, ignore_errors=True)
    _do([str(base), "-m", "venv", str(home)])
    (home / "pins.txt").write_text(text, encoding="utf-8")
    quietly = ["--quiet", "--disable-pip-version-check", "--no-input", "--only-binary", ":all:"]
    asked = _our_wants() if peer == OURS else ["--requirement", str(home / "pins.txt")]
    _do([str(python), "-m", "pip", "install", *quietly, "--constraint", str(home / "pins.txt"), *asked])
    ready.touch()
    return python


def _our_pins() -> str:
    """Give what we want and the lock file's versions, hashes left out, for the Python that runs this."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = [line.rstrip(" \\") for line in lock.splitlines() if re.match(r"[A-Za-z0-9].*==", line)]
    wants = [f"# {want}" for want in _our_wants()]  # its hash changes with them too
    return "\n".join([f"# python: {sys.version_info.major}.{sys.version_info.minor}", *wants, *pins, ""])


def _our_wants() -> list[str]:
    """Give what the project needs to run."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["dependencies"])


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
