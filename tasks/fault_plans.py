"""Read a fault plan from a YAML file (schemas/faults.py says what may stand in it)."""

from collections.abc import Collection
from pathlib import Path

import yaml
from pydantic import ValidationError

from desk.errors import ConfigError
from schemas.faults import FaultPlan, complaint

PLAN_MAX_BYTES = 1_000_000  # five hundred rules are a tenth of it; more is another file by mistake


def read_plan(path: Path) -> FaultPlan:
    """Give the plan of a file.

    Raises:
        ConfigError: the file cannot be read, is no YAML, or a key is wrong; one line that names it.
    """
    try:
        if path.stat().st_size > PLAN_MAX_BYTES:
            raise ConfigError(
                f"{path}: {path.stat().st_size} bytes; a fault plan has {PLAN_MAX_BYTES} at most"
            )
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise ConfigError(f"{path}: {where}not YAML: {problem}") from error
    if not isinstance(values, dict):
        kind = "empty" if values is None else f"a {type(values).__name__}"
        raise ConfigError(
            f"{path}: the file is {kind}; allowed: the keys {', '.join(FaultPlan.model_fields)}"
        )
    try:
        return FaultPlan.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{path}: {complaint(error)}") from error


def require_known(plan: FaultPlan, symbols: Collection[str], *, source: str) -> None:
    """Check that a plan names only symbols of the market: a rule of another would never strike.

    Raises:
        ConfigError: naming the rule and the symbol.
    """
    for place, rule in enumerate(plan.rules):
        strange = sorted(set(rule.symbols) - set(symbols))
        if strange:
            some = ", ".join(sorted(symbols)[:8])
            raise ConfigError(
                f"{source}: rules.{place}.symbols names {', '.join(strange)}, which this exchange does not "
                f"trade; allowed: its symbols ({some}{', ...' if len(symbols) > 8 else ''})"
            )
