"""Seeds that once failed, with a word why. A seed means what it meant with the minutes beside it."""

from tasks.simulate import MINUTES_DEFAULT

# (seed, minutes, what it had found)
KEPT: tuple[tuple[int, int, str], ...] = (
    (0, MINUTES_DEFAULT, "the first seed there is"),
    (300, MINUTES_DEFAULT, "a break accepted while start-up looked again was not booked before trading"),
    (577, MINUTES_DEFAULT, "the venue in process named no legs, so one of a lost answer looked foreign"),
    (2424, MINUTES_DEFAULT, "a trade by hand at the instant of opening the books was counted twice"),
    (106740, MINUTES_DEFAULT, "the auditor held a limit against the closes of the minute before"),
    (136935, MINUTES_DEFAULT, "a day was closed while an exit waited for the next open, its cancel refused"),
    (144747, MINUTES_DEFAULT, "the venue in process named no legs to who asked by client id"),
    (115124, MINUTES_DEFAULT, "the auditor wanted a latch for a loss that was first known at the bell"),
)
