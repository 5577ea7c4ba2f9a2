"""The market data host's paths, put together over one floor."""

from starlette.routing import Route

from desk.exchange.amendments import Amendments
from desk.exchange.archive import Archive
from desk.exchange.corporate import CorporateActionsApi
from desk.exchange.data_plan import DataOptions
from desk.exchange.door import FrontDoor
from desk.exchange.floor import Floor
from desk.exchange.market_meta import MetaApi
from desk.exchange.stock_ticks import TicksApi
from desk.exchange.stocks import StocksApi


def market_data_routes(
    floor: Floor, amendments: Amendments, door: FrontDoor, options: DataOptions
) -> list[Route]:
    """Give every market data route; fixed paths come before those with a symbol in them."""
    archive = Archive(floor)
    found = [
        *MetaApi(door).routes(),
        *StocksApi(floor, archive, door, options).routes(),
        *TicksApi(floor, archive, amendments, door, options).routes(),
        *CorporateActionsApi(floor, door).routes(),
        *amendments.routes(),
    ]
    return sorted(found, key=lambda route: "{symbol}" in route.path)
