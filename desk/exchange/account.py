"""The account over HTTP: what it is worth, how it is set, and how it came there (ALPACA.md section 2.1)."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import intake, portfolio
from desk.exchange.books import INITIAL_MARGIN, MAINTENANCE_MARGIN, Totals
from desk.exchange.door import FrontDoor, reply
from desk.exchange.equity import EquityHistory
from desk.exchange.floor import Floor
from desk.exchange.orders import fixed_id
from desk.exchange.wire import Json, amount, instant
from desk.hours import previous_session


class AccountApi:
    """Handlers over one floor."""

    def __init__(self, floor: Floor, door: FrontDoor) -> None:
        """Keep the floor and the door."""
        self._floor = floor
        self._door = door
        self._equity = EquityHistory(floor)

    def routes(self) -> list[Route]:
        """Give the routes under /v2/account but the activities."""
        return self._door.routes(
            ("GET", "/v2/account", self.account),
            ("GET", "/v2/account/configurations", self.configurations),
            ("PATCH", "/v2/account/configurations", self.configure),
            ("GET", "/v2/account/portfolio/history", self.history),
        )

    async def account(self, request: Request) -> Response:
        """Answer the account."""
        return reply(account(self._floor))

    async def configurations(self, request: Request) -> Response:
        """Answer the account's settings."""
        return reply(self._floor.settings.to_json())

    async def configure(self, request: Request) -> Response:
        """Change some of the settings and answer all."""
        settings = self._floor.settings.patched(intake.loads(await request.body()))
        self._floor.configure(settings)
        return reply(settings.to_json())

    async def history(self, request: Request) -> Response:
        """Answer equity and profit over time."""
        params: Mapping[str, str] = request.query_params
        return reply(portfolio.history(self._floor, self._equity, params))


def account(floor: Floor) -> Json:
    """Write the account: the fields of 2026, none of the pattern-day-trader rule's."""
    totals = floor.totals()
    cash_power = amount(totals.non_marginable_buying_power)
    return {
        "id": account_id(floor),
        "admin_configurations": {},
        "user_configurations": None,
        "account_number": f"PA{fixed_id(f'number:{floor.seed}')[:8].upper()}",
        "status": "ACTIVE",
        "crypto_status": "ACTIVE",
        "options_approved_level": 0,
        "options_trading_level": 0,
        "currency": "USD",
        "buying_power": amount(totals.buying_power),
        "regt_buying_power": amount(totals.regt_buying_power),
        "effective_buying_power": amount(totals.buying_power),
        "non_marginable_buying_power": cash_power,
        "options_buying_power": cash_power,
        "cash": amount(totals.cash),
        "accrued_fees": amount(floor.books.accrued_fees),
        "portfolio_value": amount(totals.equity),
        "trading_blocked": floor.standing.trading_blocked,
        "transfers_blocked": False,
        "account_blocked": False,
        "created_at": instant(floor.opened_at),
        "trade_suspended_by_user": floor.settings.suspend_trade,
        "multiplier": str(totals.multiplier),
        "shorting_enabled": floor.shorting_enabled,
        "equity": amount(totals.equity),
        "last_equity": amount(totals.last_equity),
        "long_market_value": amount(totals.long_market_value),
        "short_market_value": amount(totals.short_market_value),
        "position_market_value": amount(totals.gross),
        "crypto_tier": 0,
        "sma": "0",
        "intraday_adjustments": "0",
        "pending_reg_taf_fees": amount(floor.books.accrued_fees),
        "balance_asof": previous_session(floor.hours.session_date).session_date.isoformat(),
        **_margins(totals),
    }


def account_id(floor: Floor) -> str:
    """Give the account's id."""
    return fixed_id(f"account:{floor.seed}")


def _margins(totals: Totals) -> Json:
    """Write the margin requirements."""
    return {
        "initial_margin": amount(totals.gross * INITIAL_MARGIN),
        "maintenance_margin": amount(totals.gross * MAINTENANCE_MARGIN),
        "last_maintenance_margin": amount(totals.last_gross * MAINTENANCE_MARGIN),
    }
