"""What a struck call is answered: status, body and headers, the same in process and over HTTP.

Texts of refusals are Alpaca's (ALPACA.md section 2.4) but for the margin's, whose words under the rule of
June 2026 nobody has published; its status and code are those of every refusal by the account's state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from desk.exchange.faults import Strike
from desk.exchange.refusals import BAD_REQUEST, FORBIDDEN, Refusal
from schemas.faults import FaultKind

RATE_LIMITED = 42910000
HTML = "text/html"
JSON = "application/json"
GATEWAY = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


@dataclass(frozen=True, slots=True)
class Trouble:
    """An answer that is not the one asked for; status 0: none at all, the connection ends."""

    status: int
    lands: bool
    body: str = ""
    media_type: str = HTML
    headers: Mapping[str, str] = field(default_factory=dict)
    refusal: Refusal | None = None  # an answer in Alpaca's own words
    silent_s: float = 0.0  # real seconds before the connection ends

    @property
    def cuts_body(self) -> bool:
        """Tell whether the true answer is given, cut off in its middle."""
        return self.status == 200


def trouble_of(strike: Strike, call_symbol: str) -> Trouble | None:
    """Give the answer of a struck call, or None where the true answer is given and only shaped."""
    kind, lands = strike.kind, strike.lands
    match kind:
        case FaultKind.ANSWER_LOST | FaultKind.REFUSED_504:
            return Trouble(504, lands, GATEWAY.format("504 Gateway Time-out"))
        case FaultKind.HANG:
            return Trouble(0, lands, silent_s=strike.rule.delay)
        case FaultKind.RESET:
            return Trouble(0, lands)
        case FaultKind.RATE_LIMITED:
            headers = {"Retry-After": str(strike.rule.retry_after_s), "X-RateLimit-Remaining": "0"}
            refusal = Refusal(429, RATE_LIMITED, "rate limit exceeded")
            return Trouble(429, False, headers=headers, refusal=refusal)
        case FaultKind.RATE_LIMITED_BARE:
            return Trouble(429, False, GATEWAY.format("429 Too Many Requests"))
        case FaultKind.HTML_500:
            return Trouble(500, lands, GATEWAY.format("500 Internal Server Error"))
        case FaultKind.UNAVAILABLE_503:
            return Trouble(503, lands, GATEWAY.format("503 Service Temporarily Unavailable"))
        case FaultKind.UNAUTHORIZED_401:
            return Trouble(401, False, '{"message":"unauthorized."}', JSON)
        case FaultKind.BAD_JSON:
            return Trouble(200, True, media_type=JSON)
        case _:
            said = refusal_of(kind, call_symbol)
            return None if said is None else Trouble(said.status, False, refusal=said)


def refusal_of(kind: FaultKind, symbol: str) -> Refusal | None:
    """Give the refusal a kind stands for, with the fields of its body, or None for another kind."""
    match kind:
        case FaultKind.DUPLICATE_CLIENT_ID:
            return Refusal(422, BAD_REQUEST, "client_order_id must be unique")
        case FaultKind.WASH_TRADE:
            return Refusal(
                403,
                FORBIDDEN,
                "potential wash trade detected. use complex orders",
                existing_order_id="00000000-0000-4000-a000-000000000000",
                reject_reason="opposite side market/stop order exists",
            )
        case FaultKind.INSUFFICIENT_QTY:
            return Refusal(
                403,
                FORBIDDEN,
                "insufficient qty available for order (requested: 1, available: 0)",
                available="0",
                existing_qty="0",
                held_for_orders="0",
                symbol=symbol,
            )
        case FaultKind.BUYING_POWER:
            return Refusal(403, FORBIDDEN, "insufficient buying power", buying_power="0", cost_basis="1")
        case FaultKind.MARGIN:
            return Refusal(403, FORBIDDEN, "insufficient intraday margin")
        case _:
            return None
