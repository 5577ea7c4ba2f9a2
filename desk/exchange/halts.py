"""Halts in the words of the tape: what a status message says of a stop and of a resumption.

Codes are those of the two plans' output specifications, as Alpaca passes them on: tapes A and B (CTA) say 2
and 3, tape C (UTP) says H, P for a volatility pause, and T. The reason is the code the halt was given.
"""

from desk.exchange.orders import HaltNotice
from schemas.market_stream import StreamStatus

VOLATILITY = frozenset({"LUDP", "LUDS", "M"})
REASONS = {
    "T1": "Halt News Pending",
    "T2": "Halt News Dissemination",
    "T5": "Single Stock Trading Pause In Affect",
    "T6": "Regulatory Halt - Extraordinary Market Activity",
    "T8": "Halt ETF",
    "T12": "Trading Halted; For information requested by NASDAQ",
    "H4": "Halt Non-compliance",
    "H9": "Halt Filings Not Current",
    "H10": "Halt SEC Trading Suspension",
    "H11": "Halt Regulatory Concern",
    "LUDP": "Volatility Trading Pause",
    "LUDS": "Volatility Trading Pause - Straddle Condition",
    "MWC1": "Market Wide Circuit Breaker Halt - Level 1",
    "MWC2": "Market Wide Circuit Breaker Halt - Level 2",
    "MWC3": "Market Wide Circuit Breaker Halt - Level 3",
    "IPO1": "IPO Issue Not Yet Trading",
    "M1": "Corporate Action",
    "O1": "Operations Halt, Contact Market Operations",
    "D": "News Released (formerly News Dissemination)",
    "M": "Limit Up-Limit Down (LULD) Trading Pause",
    "P": "News Pending",
}


def status_of(notice: HaltNotice, tape: str) -> StreamStatus:
    """Write a notice as a status message of its tape."""
    if tape == "C":
        pause = notice.code in VOLATILITY
        halted = ("P", "Volatility Trading Pause") if pause else ("H", "Trading Halt")
        code, words = halted if notice.halted else ("T", "Trading Resumption")
    else:
        code, words = ("2", "Trading Halt") if notice.halted else ("3", "Resume")
    return StreamStatus(
        symbol=notice.symbol,
        ts=notice.at,
        status_code=code,
        status_message=words,
        reason_code=notice.code,
        reason_message=REASONS.get(notice.code, ""),
        tape=tape,
    )
