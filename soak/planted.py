"""Every defect there is to plant, by what it would break; soak/mutants.py plants them one at a time."""

from soak.planted_books import BOOKS
from soak.planted_orders import ORDERS
from soak.planted_outside import OUTSIDE
from soak.planted_rules import RULES

PLANTED = (*ORDERS, *BOOKS, *RULES, *OUTSIDE)
