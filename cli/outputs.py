"""Files a command is asked to write, looked at before its work: hours of it may not end in a wrong path."""

from pathlib import Path

from tasks.errors import ConfigError


def require_writable(**files: Path | None) -> None:
    """Make the folders of files that are to be written, and see that each can be; what is there stays.

    Args:
        files: by the name of their option; None where it was not given.

    Raises:
        ConfigError: one is a directory, cannot be written, or is named twice.
    """
    taken: dict[Path, str] = {}
    for name, path in files.items():
        if path is None:
            continue
        if path.is_dir():
            raise ConfigError(f"--{name} {path} is a directory; name a file")
        place = path.absolute()
        if place in taken:
            raise ConfigError(f"--{name} {path} is the file of --{taken[place]} too; name another")
        taken[place] = name
        try:
            _try(path)
        except OSError as error:
            raise ConfigError(f"--{name} {path} cannot be written: {error.strerror or error}") from error


def _try(path: Path) -> None:
    """Open a file to write and leave it as it was; a pipe or a device is not touched."""
    if path.exists() and not path.is_file():
        return
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab"):
        pass
    if is_new:
        path.unlink()
