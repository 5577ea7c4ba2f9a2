"""Settings: where they come from, which source wins, and the line each mistake is answered with."""

from decimal import Decimal
from pathlib import Path

import pytest

from desk.errors import ConfigError
from schemas.events import Channel
from schemas.settings import Settings
from tasks.configuration import load_settings, require_secrets
from tasks.settings_table import settings_table

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DESK_CONFIG", "DESK_SYMBOLS", "ALPACA_API_KEY", "ALPACA_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)


def write(folder: Path, text: str, env: str = "") -> Path:
    path = folder / "desk.yaml"
    path.write_text(text, encoding="utf-8")
    if env:
        (folder / ".env").write_text(env, encoding="utf-8")
    return path


def complaint(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    return str(caught.value)


def test_defaults_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a desk.yaml the defaults are in force and the store lies in the working directory."""
    monkeypatch.chdir(tmp_path)

    settings = load_settings()

    assert settings == Settings(store=tmp_path / "data/store")


def test_a_named_file_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DESK_CONFIG that names nothing is refused: the defaults could trade another account."""
    monkeypatch.setenv("DESK_CONFIG", str(tmp_path / "nowhere.yaml"))

    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file"):
        load_settings()


def test_environment_wins_over_dotenv_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is stronger than .env, and .env is stronger than desk.yaml."""
    path = write(
        tmp_path,
        "risk: {orders_per_day: 1, orders_per_minute: 1, daily_loss_usd: 1}",
        env="DESK_RISK__ORDERS_PER_MINUTE=2\nDESK_RISK__DAILY_LOSS_USD=2\n",
    )
    monkeypatch.setenv("DESK_RISK__DAILY_LOSS_USD", "3.50")

    risk = load_settings(path).risk

    assert (risk.orders_per_day, risk.orders_per_minute, risk.daily_loss_usd) == (1, 2, Decimal("3.50"))


def test_a_list_may_be_written_with_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list in the environment needs no JSON."""
    monkeypatch.setenv("DESK_SYMBOLS", "AAPL, MSFT")

    assert load_settings(write(tmp_path, "symbols: [SPY]")).symbols == ("AAPL", "MSFT")


def test_a_relative_store_lies_beside_the_configuration(tmp_path: Path) -> None:
    """The store does not move with the working directory, which a worker chooses."""
    assert load_settings(write(tmp_path, "store: here")).store == tmp_path / "here"


def test_secrets_come_from_dotenv(tmp_path: Path) -> None:
    """Keys and webhooks are read from .env and are not shown by the record."""
    env = "ALPACA_API_KEY=key\nALPACA_SECRET_KEY=hidden\nDISCORD_WEBHOOK_SCANNER=https://hook\n"

    settings = load_settings(write(tmp_path, "", env=env))

    assert require_secrets(settings) == ("key", "hidden")
    assert list(settings.secrets.webhooks) == [Channel.SCANNER]
    assert "hidden" not in repr(settings)


def test_missing_keys_are_named(tmp_path: Path) -> None:
    """A real account without a key says which variable is missing and where it belongs."""
    settings = load_settings(write(tmp_path, "", env="ALPACA_API_KEY=key\n"))

    with pytest.raises(ConfigError, match=r"ALPACA_SECRET_KEY missing; allowed: the key pair .* in \.env"):
        require_secrets(settings)


def test_a_simulated_venue_needs_no_keys(tmp_path: Path) -> None:
    """The simulated exchange takes any key, so none has to be written down."""
    settings = load_settings(write(tmp_path, "broker: {clock: venue}"))

    assert all(require_secrets(settings))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "risk: {dayly_loss_usd: 5}",
            "desk.yaml: risk.dayly_loss_usd is not a setting; did you mean daily_loss_usd?",
        ),
        ("acount: {}", "desk.yaml: acount is not a setting; did you mean account?"),
        (
            "risk: {orders_per_day: 0}",
            "desk.yaml: risk.orders_per_day is 0; "
            "allowed: at least 1 (Entries and exits sent in one session)",
        ),
        (
            "broker: {clock: sundial}",
            "desk.yaml: broker.clock is 'sundial'; allowed: 'system' or 'venue'",
        ),
        ("strategies: [{allocation_frac: 0.5}]", "desk.yaml: strategies.0.name is missing"),
        ("risk: [1, 2]", "desk.yaml: risk is [1, 2]; allowed: a valid dictionary or instance of RiskLimits"),
        ("just words", "desk.yaml: the file is a str; allowed: keys and values"),
    ],
)
def test_a_mistake_names_key_value_and_what_is_allowed(tmp_path: Path, text: str, line: str) -> None:
    """Each mistake is one line with the key, the value and what is allowed."""
    assert complaint(write(tmp_path, text)).lower() == line.lower()


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """Three mistakes are three lines, not the first of them."""
    lines = complaint(write(tmp_path, "symbols: [aapl]\nrisk: {gross: 1}\nstore: []")).splitlines()

    assert [line.split(" ")[1] for line in lines] == ["symbols.0", "risk.gross", "store"]


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    """A file that is not YAML is answered with the line."""
    assert complaint(write(tmp_path, "symbols: [SPY\nrisk: {}\n")).startswith("desk.yaml: line 2 is not YAML")


def test_a_variable_that_sets_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelled DESK_ variable is not passed over in silence."""
    monkeypatch.setenv("DESK_SYMBOL", "SPY")

    assert complaint(write(tmp_path, "")) == "DESK_SYMBOL sets nothing; did you mean SYMBOLS?"


def test_a_wrong_variable_is_named_as_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says that the value came from the environment and not from the file."""
    monkeypatch.setenv("DESK_RISK__ORDERS_PER_DAY", "many")

    assert complaint(write(tmp_path, "")).startswith("environment: risk.orders_per_day is 'many'")


def test_secrets_in_the_file_are_refused(tmp_path: Path) -> None:
    """desk.yaml is read by anybody, so a secret in it is a mistake."""
    assert "secrets may not be written here" in complaint(write(tmp_path, "secrets: {api_key: x}"))


def test_live_needs_both_switches(tmp_path: Path) -> None:
    """Real money needs mode live and the confirmation; one of them is refused."""
    assert "account.live_confirmed is False" in complaint(write(tmp_path, "account: {mode: live}"))

    both = load_settings(write(tmp_path, "account: {mode: live, live_confirmed: true}"))

    assert both.account.live_confirmed


def test_contradictions_are_refused(tmp_path: Path) -> None:
    """What no single key can say is checked too: shares of equity, doubles, foreign symbols."""
    text = """
symbols: [SPY]
strategies:
  - {name: one, allocation_frac: 0.7, symbols: [QQQ]}
  - {name: one, allocation_frac: 0.7}
session: {no_entry_minutes: 5, close_out_minutes: 6, bar_delay_s: 0.5}
"""

    lines = complaint(write(tmp_path, text)).splitlines()

    assert [line.split(";")[0] for line in lines] == [
        "session.bar_delay_s is 0.5",
        "session.close_out_minutes is 6",
        "strategies: one stands there 2 times",
        "strategies: allocation_frac adds up to 1.4",
        "strategies: one names QQQ",
    ]


def test_the_example_is_valid() -> None:
    """The committed desk.yaml loads."""
    assert load_settings(ROOT / "desk.yaml").account.name == "paper"


def test_the_table_is_in_step() -> None:
    """docs/settings.md is what the settings record says (`python -m tasks.settings_table`)."""
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == settings_table()
