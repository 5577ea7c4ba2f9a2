"""What the letters of trades and quotes mean: exchanges and condition codes, by tape.

The tables name the codes this venue sends and the common ones beside them; Alpaca's own are the same letters
(the SIPs' CTA and UTP specifications).
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import query
from desk.exchange.data_request import routes
from desk.exchange.door import FrontDoor, reply
from desk.exchange.refusals import BAD_REQUEST, Refusal

EXCHANGES = {
    "A": "NYSE American (AMEX)",
    "B": "NASDAQ OMX BX",
    "C": "National Stock Exchange",
    "D": "FINRA ADF",
    "E": "Market Independent",
    "H": "MIAX",
    "I": "International Securities Exchange",
    "J": "Cboe EDGA",
    "K": "Cboe EDGX",
    "L": "Long Term Stock Exchange",
    "M": "Chicago Stock Exchange",
    "N": "New York Stock Exchange",
    "P": "NYSE Arca",
    "Q": "NASDAQ OMX",
    "S": "NASDAQ Small Cap",
    "T": "NASDAQ Int",
    "U": "Members Exchange",
    "V": "IEX",
    "W": "CBOE",
    "X": "NASDAQ OMX PSX",
    "Y": "Cboe BYX",
    "Z": "Cboe BZ",
}
TRADE_CONDITIONS = {
    "@": "Regular Sale",
    "B": "Average Price Trade",
    "C": "Cash Sale",
    "F": "Intermarket Sweep",
    "I": "Odd Lot Trade",
    "M": "Market Center Official Close",
    "N": "Next Day",
    "O": "Opening Prints",
    "Q": "Market Center Official Open",
    "T": "Form T",
    "U": "Extended Hours (Sold Out of Sequence)",
    "X": "Cross Trade",
    "Z": "Sold (Out of Sequence)",
    "4": "Derivatively Priced",
    "5": "Reopening Prints",
    "6": "Closing Prints",
}
QUOTE_CONDITIONS = {
    "A": "Manual Ask, Automated Bid",
    "B": "Manual Bid, Automated Ask",
    "C": "Closed Market Maker",
    "F": "Fast Trading",
    "H": "Manual Bid and Ask",
    "I": "Order Imbalance",
    "L": "Closed Quote",
    "N": "Non Firm Quote",
    "O": "Opening Quote Automated",
    "R": "Regular Two-Sided Open",
    "U": "Manual Bid and Ask (Non Firm)",
    "X": "Order Influx",
    "Y": "Automated Bid, No Offer; or Automated Offer, No Bid",
}
TAPES = ("A", "B", "C")


class MetaApi:
    """The two tables."""

    def __init__(self, door: FrontDoor) -> None:
        """Keep the door."""
        self._door = door

    def routes(self) -> list[Route]:
        """Give the routes under /v2/stocks/meta."""
        return routes(
            self._door,
            {
                "/v2/stocks/meta/exchanges": self.exchanges,
                "/v2/stocks/meta/conditions/{ticktype}": self.conditions,
            },
        )

    async def exchanges(self, request: Request) -> Response:
        """Answer the exchanges by letter."""
        return reply(EXCHANGES)

    async def conditions(self, request: Request) -> Response:
        """Answer the conditions of trades or quotes by code; every tape has the same here."""
        if not request.query_params.get("tape"):
            raise Refusal(400, BAD_REQUEST, "tape is required")
        query.choice(request.query_params, "tape", TAPES, status=400)
        kind = request.path_params["ticktype"]
        if kind not in ("trade", "quote"):
            raise Refusal(400, BAD_REQUEST, f"invalid ticktype: {kind}")
        return reply(TRADE_CONDITIONS if kind == "trade" else QUOTE_CONDITIONS)
