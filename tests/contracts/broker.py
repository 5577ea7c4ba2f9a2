"""What every Broker, MarketData, Clock and TradeUpdates must do, said once.

A test module makes a subclass of `BrokerContract` with a fixture `venue` that gives a fresh venue on
`flat_market()` with 100,000 USD, five minutes before the open of `DAY`. Nothing here knows
whether it talks to an object or to a server.
"""

from tests.contracts.account import AccountContract
from tests.contracts.feeds import FeedContract
from tests.contracts.order_classes import OrderClassContract
from tests.contracts.orders import OrderContract


class BrokerContract(AccountContract, OrderContract, OrderClassContract, FeedContract):
    """The suite; subclasses give the fixture `venue`."""
