"""The rules of the house as functions: each is given a module's source and gives what breaks a rule.

They read syntax trees, never import. `tests/test_architecture.py` runs them over the checkout, and over
bad snippets, so that each rule is known to bite.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
ROOMS = ("schemas", "strategies", "desk", "data", "tasks", "flows", "cli")

# Who may import whom; anything not listed is shut. A door to `desk` does not open adapters and exchange.
DOORS: dict[str, frozenset[str]] = {
    "schemas": frozenset(),
    "strategies": frozenset({"schemas"}),
    "desk": frozenset({"schemas"}),
    "desk.adapters": frozenset({"schemas", "desk"}),
    "desk.exchange": frozenset({"schemas", "desk"}),
    "desk.simulation": frozenset({"schemas", "desk", "desk.exchange"}),
    "desk.research": frozenset({"schemas", "desk", "desk.exchange"}),
    "data": frozenset({"schemas", "desk", "desk.research"}),
    "tasks": frozenset(
        {
            "schemas",
            "strategies",
            "desk",
            "desk.adapters",
            "desk.exchange",
            "desk.simulation",
            "desk.research",
            "data",
        }
    ),
    "flows": frozenset({"tasks", "schemas"}),
    "cli": frozenset({"flows", "tasks", "schemas"}),
}
# Which rooms hold the key to a library.
KEYS: dict[str, frozenset[str]] = {
    "prefect": frozenset({"tasks", "flows", "cli"}),
    "alpaca": frozenset({"desk.adapters"}),
    "discord_webhook": frozenset({"desk.adapters"}),
    "duckdb": frozenset({"data"}),
    "sqlalchemy": frozenset({"data"}),
    "sqlite3": frozenset({"data"}),
}

QUIET_ROOMS = (
    "schemas",
    "strategies",
    "desk",
    "desk.adapters",
    "desk.exchange",
    "desk.simulation",
    "desk.research",
)
AMBIENT_MODULES: dict[str, str] = {
    "time": "clock",
    "sched": "clock",
    "uuid": "random",
    "random": "random",
    "secrets": "random",
    "os": "environment",
    "shutil": "files",
    "tempfile": "files",
    "glob": "files",
    "io": "files",
    "subprocess": "processes",
    "multiprocessing": "processes",
    "socket": "sockets",
    "threading": "threads",
}
# What a quiet module may do all the same, with the reason. An entry nothing needs is a failure too.
AMBIENT_LEAVE: dict[str, dict[str, str]] = {
    "desk/adapters/system_clock.py": {"clock": "it is the Clock of a live desk"},
    "desk/adapters/alpaca_stream.py": {"threads": "its queue is filled by the stream's thread"},
    "desk/adapters/stream_thread.py": {
        "threads": "alpaca-py's streams run an event loop each",
        "clock": "it waits between two tries to connect",
    },
    "desk/adapters/alpaca_data_stream.py": {"threads": "its queue is filled by the stream's thread"},
    "desk/exchange/server.py": {
        "clock": "paced mode plays the market at real speed",
        "sockets": "it listens",
        "threads": "a desk in the same process calls it",
    },
    "desk/simulation/chance.py": {"random": "one seeded generator a name, made of the scenario's seed"},
    "desk/research/kernel.py": {"threads": "its functions are compiled once, whoever asks first"},
    "desk/exchange/files.py": {"files": "the rim where Parquet bars are read, before a venue opens"},
}
_CLOCK_CALLS = {"now", "utcnow", "today"}
_CLOCK_OWNERS = {"datetime", "date", "dt"}
_FILE_CALLS = {
    "read_text", "write_text", "read_bytes", "write_bytes", "unlink", "mkdir", "rmdir", "iterdir", "rglob",
    "is_file", "is_dir", "touch", "cwd", "home",
}  # fmt: skip
_FILE_PREFIXES = ("read_", "scan_", "write_", "sink_")  # of polars
_SEEDED = {"Generator", "PCG64", "SeedSequence"}  # numpy.random's parts that need a seed handed in

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
BANNED_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "core", "misc"})
BROAD_LEAVE: dict[str, str] = {
    "desk/simulation/run.py": "any exception of the desk under test is a seed's failure, and reported",
    "desk/session.py": "halt, flatten, and raise again",
    "tasks/minute.py": "Prefect may fail in any way around a step; the step's own failure is raised again",
    "data/warehouse.py": "whatever a projection does wrong may cost rows of DuckDB, never an exit (I11)",
    "tasks/strategy_source.py": "a user's file may raise anything when it is read; it is one line",
    "desk/research/witness.py": "a strategy under examination may raise anything; that is a finding",
    "tasks/backtest_plan.py": "a strategy is the user's code and may raise anything; the words name it",
    "desk/evaluation.py": "a strategy is the user's code and may raise anything; it is stopped and reported",
}

_REGISTRIES = ("py" + "pi.org", "python" + "hosted.org", "conda" + ".anaconda", "npm" + "js.org")
_REGISTRY = re.compile("|".join(map(re.escape, _REGISTRIES)))
_MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work|root|tmp|home|Users)/")


@dataclass(frozen=True)
class Module:
    """A module of ours: where it is and what stands in it."""

    path: str  # relative to the checkout, with slashes
    source: str

    @property
    def name(self) -> str:
        """Give the dotted name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def tree(self) -> ast.Module:
        """Give the syntax tree."""
        return ast.parse(self.source, filename=self.path)


def modules(*rooms: str) -> list[Module]:
    """Give every module of the rooms, in order."""
    return [
        Module(path.relative_to(CHECKOUT).as_posix(), path.read_text(encoding="utf-8"))
        for room in rooms
        for path in sorted((CHECKOUT / room).rglob("*.py"))
        if "store" not in path.relative_to(CHECKOUT).parts
    ]


def room_of(name: str) -> str | None:
    """Give the room of a dotted name; None for what is not ours."""
    parts = name.split(".")
    if parts[0] not in ROOMS:
        return None
    nested = ".".join(parts[:2])
    return nested if nested in DOORS else parts[0]


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Give (line, dotted name) of everything imported, wherever in the module."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield node.lineno, base
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def shut_doors(module: Module) -> list[str]:
    """Name imports through a door that is shut."""
    own = room_of(module.name)
    if own is None:
        return []
    found = []
    for line, name in imports(module):
        room = room_of(name)
        if room is None or room == own or room in DOORS[own]:
            continue
        found.append(f"{module.path}:{line}: {own} imports {name}; its doors: {_listed(DOORS[own])}")
    return found


def missing_keys(module: Module) -> list[str]:
    """Name imports of a library this room has no key to."""
    own = room_of(module.name)
    return [
        f"{module.path}:{line}: {name.split('.')[0]} is only for {_listed(KEYS[name.split('.')[0]])}"
        for line, name in imports(module)
        if name.split(".")[0] in KEYS and own not in KEYS[name.split(".")[0]]
    ]


def ambient(module: Module) -> list[tuple[str, str]]:
    """Give (kind, complaint) for what reaches past the ports: clock, random, environment, files, sockets."""
    if room_of(module.name) not in QUIET_ROOMS:
        return []
    found = [
        (AMBIENT_MODULES[name], f"{module.path}:{line}: imports {name}")
        for line, name in imports(module)
        if name in AMBIENT_MODULES
    ]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            kind = _ambient_call(node.func)
            if kind is not None:
                found.append((kind, f"{module.path}:{node.lineno}: calls {ast.unparse(node.func)}"))
    return found


def _ambient_call(called: ast.expr) -> str | None:
    if isinstance(called, ast.Name):
        return "files" if called.id in {"open", "input"} else None
    if not isinstance(called, ast.Attribute):
        return None
    owner = called.value
    last = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    if called.attr in _CLOCK_CALLS and last in _CLOCK_OWNERS:
        return "clock"
    if called.attr == "sleep" and last == "asyncio":
        return "clock"
    if last == "random" and called.attr not in _SEEDED:
        return "random"
    if last == "pl" and called.attr.startswith(_FILE_PREFIXES):
        return "files"
    if called.attr.startswith(("write_", "sink_")) and called.attr not in _FILE_CALLS:
        return "files" if called.attr.removeprefix("write_").removeprefix("sink_") in _FORMATS else None
    return "files" if called.attr in _FILE_CALLS else None


_FORMATS = {"parquet", "csv", "json", "ndjson", "ipc", "excel", "avro", "database", "delta"}


def too_long(module: Module) -> list[str]:
    """Name modules and functions past their hard budget."""
    lines = module.source.count("\n")
    found = [f"{module.path}: {lines} lines, limit {MODULE_LINES_MAX}"] if lines > MODULE_LINES_MAX else []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                found.append(
                    f"{module.path}:{node.lineno}: {node.name} has {length} lines, limit {FUNCTION_LINES_MAX}"
                )
    return found


def banned_names(module: Module) -> list[str]:
    """Name modules and packages whose name says nothing."""
    return [f"{module.path}: {part} says nothing" for part in module.name.split(".") if part in BANNED_NAMES]


def broad_excepts(module: Module) -> list[str]:
    """Name handlers that catch everything."""
    return [
        f"{module.path}:{node.lineno}: catches everything"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type)
    ]


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    if isinstance(caught, ast.Tuple):
        return any(_is_broad(each) for each in caught.elts)
    return isinstance(caught, ast.Name) and caught.id in {"Exception", "BaseException"}


def relative_imports(module: Module) -> list[str]:
    """Name imports that start with a dot."""
    return [
        f"{module.path}:{node.lineno}: relative import"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]


def full_inits(module: Module) -> list[str]:
    """Name an __init__.py with something in it."""
    is_full = module.path.endswith("__init__.py") and module.source.strip() != ""
    return [f"{module.path}: is not empty"] if is_full else []


def places(path: str, text: str) -> list[str]:
    """Name lines that speak of a package registry or of one machine's folders."""
    return [
        f"{path}:{number}: {match.group()}"
        for number, line in enumerate(text.splitlines(), start=1)
        for match in (*_REGISTRY.finditer(line), *_MACHINE_PATH.finditer(line))
    ]


def loose_pins(lock: str) -> list[str]:
    """Name what is not exactly one version with hashes, and lines that name an index."""
    found = []
    for entry in re.sub(r"\\\n", " ", lock).splitlines():
        stated = entry.split("#")[0].strip()
        if stated == "":
            continue
        if stated.startswith("-") or "://" in stated:
            found.append(f"names a place: {stated}")
        elif "==" not in stated.split(";")[0].split("--hash")[0]:
            found.append(f"not one version: {stated}")
        elif "--hash=sha256:" not in stated:
            found.append(f"no hash: {stated}")
    return found


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
