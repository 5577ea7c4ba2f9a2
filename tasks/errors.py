"""What the front door answers with one line: the desk's errors, where cli and flows may reach them."""

from desk.errors import BrokerError as BrokerError
from desk.errors import ConfigError as ConfigError
from desk.errors import DeskError as DeskError
from desk.errors import LedgerError as LedgerError
from desk.errors import OpenBreaks as OpenBreaks
