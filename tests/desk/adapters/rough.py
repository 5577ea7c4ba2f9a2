"""A small HTTP server that answers as badly as told, over real sockets."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Said:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """What to send back; the body is JSON unless it is text already."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False  # close the kept-alive connection afterwards, without having said so


HANG = "hang"  # read the request and never answer
RESET = "reset"  # read the request and reset the connection
DRIP = "drip"  # answer one byte at a time, never finishing
HTML = "<html><body>Internal Server Error</body></html>"  # as a proxy before Alpaca answers

Script = Callable[[Said], Answer | str]


@dataclass
class Rough:
    """The running server: its base URL and every request it has seen."""

    url: str
    seen: list[Said]
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))  # once per connection

    def count(self, method: str) -> int:
        """Count the requests of a method."""
        return sum(said.method == method for said in self.seen)


@contextmanager
def rough_server(script: Script) -> Iterator[Rough]:
    """Serve by the script until the block ends."""
    over = threading.Event()
    rough = Rough("", [])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            parts = urlsplit(self.path)
            said = Said(
                self.command,
                parts.path,
                {key: values[-1] for key, values in parse_qs(parts.query).items()},
                dict(self.headers.items()),
                json.loads(raw) if raw else None,
            )
            rough.seen.append(said)
            answer = script(said)
            if isinstance(answer, Answer):
                self._send(answer)
            else:
                self._misbehave(answer)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve

        def _send(self, answer: Answer) -> None:
            body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            payload = b"" if answer.status == 204 else body.encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)
            self.close_connection = answer.hang_up

        def _misbehave(self, how: str) -> None:
            self.close_connection = True
            if how == HANG:
                over.wait()
            elif how == RESET:
                self.connection.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
                self.connection.close()
            elif how == DRIP:
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                try:
                    while not over.wait(0.02):
                        self.wfile.write(b" ")
                except OSError:
                    self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing on stderr."""

        def finish(self) -> None:
            try:
                super().finish()
            except (OSError, ValueError):
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def shutdown_request(self, request: Any) -> None:
            super().shutdown_request(request)
            rough.closed.release()

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that gave up is expected here."""

    server = Server(("127.0.0.1", 0), Handler)
    rough.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield rough
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
