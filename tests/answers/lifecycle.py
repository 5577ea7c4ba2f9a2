"""The order machine's answer sheet, written from ALPACA.md §2.5 and INVARIANTS.md I4, not from the code.

Read as: an order that is <left> and then <middle> is <right>.
"""

_SHEET = """
pending           acknowledged      submitted
pending           rejected          rejected
pending           outcome_lost      unknown
pending           partial_fill      partially_filled
pending           fill              filled
pending           canceled          canceled
pending           replaced          canceled
pending           expired           expired
unknown           acknowledged      submitted
unknown           rejected          rejected
unknown           outcome_lost      unknown
unknown           probed            unknown
unknown           never_arrived     rejected
unknown           partial_fill      partially_filled
unknown           fill              filled
unknown           canceled          canceled
unknown           replaced          canceled
unknown           expired           expired
submitted         acknowledged      submitted
submitted         rejected          rejected
submitted         partial_fill      partially_filled
submitted         fill              filled
submitted         cancel_requested  submitted
submitted         cancel_refused    submitted
submitted         canceled          canceled
submitted         replaced          canceled
submitted         expired           expired
partially_filled  acknowledged      partially_filled
partially_filled  partial_fill      partially_filled
partially_filled  fill              filled
partially_filled  cancel_requested  partially_filled
partially_filled  cancel_refused    partially_filled
partially_filled  canceled          canceled
partially_filled  replaced          canceled
partially_filled  expired           expired
filled            acknowledged      filled
filled            fill              filled
filled            cancel_refused    filled
canceled          acknowledged      canceled
canceled          partial_fill      canceled
canceled          fill              filled
canceled          cancel_refused    canceled
canceled          canceled          canceled
canceled          replaced          canceled
expired           acknowledged      expired
expired           partial_fill      expired
expired           fill              filled
expired           cancel_refused    expired
expired           expired           expired
rejected          acknowledged      submitted
rejected          rejected          rejected
rejected          partial_fill      partially_filled
rejected          fill              filled
rejected          canceled          canceled
rejected          replaced          canceled
rejected          expired           expired
"""

LEGAL = {
    (state, event): after for state, event, after in (line.split() for line in _SHEET.split("\n") if line)
}

STATUS_WORDS = {
    *("pending_review", "accepted", "pending_new", "accepted_for_bidding", "held", "new"),
    *("stopped", "suspended", "calculated", "done_for_day", "pending_cancel", "pending_replace"),
    *("partially_filled", "filled", "canceled", "replaced", "expired", "rejected"),
}
