"""What becomes of the user stream's events on their way to those who listen.

One filter stands between the floor and every listener, in process or behind a socket, so each event is
decided once whoever hears it. It loses, doubles, holds back and spoils frames; while it is silent nothing
passes; and it tells listeners when their connection is cut. An event that is held back goes out after the
next one, or when its time has come.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from desk.exchange.faults import Mischief
from desk.exchange.orders import VenueEvent
from schemas.faults import Family, FaultKind, StreamName

SPOILT_EVENT = "surprised"  # no client knows it
SPOILT_STATUS = "undetermined"
_FATES = (FaultKind.FRAME_LOST, FaultKind.FRAMES_DUPLICATED, FaultKind.FRAMES_REORDERED)
_SPOILS = (FaultKind.FRAME_EMPTY, FaultKind.UNKNOWN_EVENT, FaultKind.UNKNOWN_STATUS)
HELD_MAX = 1_000  # events held back at once; the oldest is let go


class Twist(StrEnum):
    """How a frame differs from what the floor said."""

    NONE = "none"
    EMPTY = "empty"  # nothing in it
    EVENT = "event"  # its event is an unknown word, and it carries no execution
    STATUS = "status"  # its order's status is an unknown word


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as listeners get it."""

    told: VenueEvent
    twist: Twist = Twist.NONE


class Cut(StrEnum):
    """Why a connection ends."""

    LOST = "lost"
    SLOW = "slow client"


class Listener(Protocol):
    """Somebody connected to the user stream."""

    def frame(self, frame: Frame) -> None:
        """Take one frame."""
        ...

    def cut(self, cause: Cut) -> None:
        """Learn that the connection has ended."""
        ...


@dataclass(slots=True)
class _Held:
    told: VenueEvent
    until: datetime


class StreamFaults:
    """The filter of one floor's user stream."""

    def __init__(self, mischief: Mischief, now: Callable[[], datetime]) -> None:
        """Pass everything on until the plan says otherwise."""
        self._mischief = mischief
        self._now = now
        self._listeners: list[Listener] = []
        self._held: list[_Held] = []
        self._silent_until: datetime | None = None

    def listen(self, listener: Listener) -> None:
        """Connect a listener; a second time changes nothing."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def leave(self, listener: Listener) -> None:
        """Disconnect a listener; one that is not connected changes nothing."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    @property
    def is_heard(self) -> bool:
        """Tell whether anybody listens."""
        return len(self._listeners) > 0

    @property
    def is_silent(self) -> bool:
        """Tell whether the stream is open and mute."""
        return self._silent_until is not None and self._now() < self._silent_until

    def silence(self, seconds: float) -> None:
        """Say nothing for some seconds of the venue's time; what happens meanwhile is lost."""
        until = self._now() + timedelta(seconds=seconds)
        self._silent_until = until if self._silent_until is None else max(until, self._silent_until)

    def cut(self, cause: Cut) -> None:
        """End every connection; events held back die with them."""
        self._held.clear()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.cut(cause)

    def admits(self) -> FaultKind | None:
        """Decide about a client that wants to connect: None lets it in."""
        strike = self._mischief.connection(StreamName.USER, self._now())
        return None if strike is None else strike.kind

    def hear(self, told: VenueEvent) -> None:
        """Take an event from the floor."""
        if not self._mischief.has(Family.FRAME):
            if not self.is_silent:
                self._send(Frame(told))
            return
        now, symbols = self._now(), (told.order.symbol,)
        fate = self._mischief.strike(_FATES, symbols, now)
        spoil = self._mischief.strike(_SPOILS, symbols, now)
        self.release()
        if fate is not None and fate.kind is FaultKind.FRAMES_REORDERED:
            self._let_go(len(self._held) - HELD_MAX + 1)
            self._held.append(_Held(told, now + timedelta(seconds=fate.rule.delay)))
            return
        if fate is None or fate.kind is not FaultKind.FRAME_LOST:
            for frame in _spoilt(told, None if spoil is None else spoil.kind):
                self._send(frame)
            if fate is not None:
                self._send(Frame(told))
        self._let_go(len(self._held))

    def release(self) -> None:
        """Send the events whose holding time has passed."""
        now = self._now()
        due = [held for held in self._held if held.until <= now]
        if due:
            self._held = [held for held in self._held if held.until > now]
            for held in due:
                self._send(Frame(held.told))

    def _let_go(self, many: int) -> None:
        """Send the oldest events held back."""
        for _ in range(many):
            self._send(Frame(self._held.pop(0).told))

    def _send(self, frame: Frame) -> None:
        """Give a frame to everybody, unless the stream is mute."""
        if not self.is_silent:
            for listener in tuple(self._listeners):
                listener.frame(frame)


def _spoilt(told: VenueEvent, kind: FaultKind | None) -> tuple[Frame, ...]:
    """Give the frames an event becomes."""
    match kind:
        case FaultKind.FRAME_EMPTY:
            return Frame(told, Twist.EMPTY), Frame(told)
        case FaultKind.UNKNOWN_EVENT:
            return Frame(told, Twist.EVENT), Frame(told)
        case FaultKind.UNKNOWN_STATUS:
            return (Frame(told, Twist.STATUS),)
        case _:
            return (Frame(told),)
