"""What can go wrong, by whose fault it is and what is known.

DeskError
├── ConfigError            ours: settings, secrets, arguments; says key, value and what is allowed
├── BrokerError            theirs
│   ├── Rejected           a definite no: nothing exists at the broker because of this call
│   ├── NotFound           a definite answer to a read: the broker does not know the thing
│   ├── OutcomeUnknown     the write may or may not have happened (I4); ask, never assume
│   └── BrokerUnavailable  a read failed after its bounded retries; nothing changed
├── DataError              bars
│   ├── BadBatch           a whole delivery cannot be used
│   └── NoBars             nothing for this date or symbol where something must be
├── LedgerError            our memory
│   ├── LedgerUnavailable  disk full, locked, corrupt: no append, so no order
│   ├── LeaseHeld          another session has the account
│   ├── LeaseLost          our fencing token is no longer the newest: stop at once (I12)
│   └── Overtaken          what a person decided on has changed meanwhile; nothing was written
├── WarehouseError         the DuckDB projection; never a reason to stop trading (I11)
│   ├── WarehouseBusy         another process holds the DuckDB file; rows wait in the spool
│   ├── WarehouseUnavailable  the file is missing, corrupt or cannot be written
│   └── BadQuery              a person's SQL cannot be answered
├── IllegalTransition      an order event that cannot follow the order's state
├── OpenBreaks             the end-of-day books do not equal the broker's
└── KillIncomplete         the broker still shows orders or positions after the kill switch
"""

from collections.abc import Sequence


class DeskError(Exception):
    """The root; `str()` is one line fit to show a person."""


class ConfigError(DeskError):
    """A setting, secret or argument is wrong."""


class BrokerError(DeskError):
    """The broker's side failed or refused."""


class Rejected(BrokerError):
    """The broker refused; nothing exists because of this call."""

    def __init__(self, message: str, *, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class NotFound(BrokerError):
    """The broker does not know the thing asked for."""


class OutcomeUnknown(BrokerError):
    """A write was sent and no definite answer came."""


class BrokerUnavailable(BrokerError):
    """A read failed after its bounded retries."""


class NotReady(DeskError):
    """Start-up found something that forbids trading: clock skew, calendars that differ, a blocked account."""


class DataError(DeskError):
    """Bars are missing or unusable."""


class BadBatch(DataError):
    """A whole delivery cannot be used."""


class NoBars(DataError):
    """There are no bars where some must be."""


class LedgerError(DeskError):
    """Our own memory failed."""


class LedgerUnavailable(LedgerError):
    """Nothing could be appended: disk full, file locked, file corrupt."""


class LeaseHeld(LedgerError):
    """Another session holds the account."""


class LeaseLost(LedgerError):
    """Another session has taken the account; this one must stop."""


class Overtaken(LedgerError):
    """What a person saw when deciding is not so any more; nothing was written."""


class WarehouseError(DeskError):
    """The warehouse could not do what was asked."""


class WarehouseBusy(WarehouseError):
    """Another process holds the warehouse file."""


class WarehouseUnavailable(WarehouseError):
    """The warehouse file is missing, corrupt or cannot be written."""


class BadQuery(WarehouseError):
    """A person's SQL cannot be answered."""


class IllegalTransition(DeskError):
    """An order event cannot follow the order's state."""


class OpenBreaks(DeskError):
    """Books differ and no person has accepted the difference."""

    def __init__(self, message: str, break_ids: Sequence[str]) -> None:
        super().__init__(message)
        self.break_ids = tuple(break_ids)


class KillIncomplete(DeskError):
    """The broker still shows open orders or positions."""
