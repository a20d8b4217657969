"""HTTP for one study: GET and HEAD, a thread a connection, from the standard library.

A server for a handful of people on one machine or behind a tunnel. It does not encrypt.
"""

import os
import socket
import socketserver
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from coverslip.errors import OptionError
from coverslip.viewer.guard import Guard, names_loopback
from coverslip.viewer.routes import Asked, Reply, Site

IDLE = 60.0
"""Seconds after which a connection that says nothing is closed."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""With every answer. Slides are patient data: a browser keeps none of them."""

ALONE = {"Cross-Origin-Opener-Policy": "same-origin"}
"""Only where a browser heeds it: elsewhere it complains of it, since we do not encrypt."""


class Server(ThreadingHTTPServer):
    """Listens from when it is made; `serve_forever` answers.

    Args:
        site: What can be asked for.
        host: Name or address to listen at.
        port: Port; 0 takes a free one.
        token: What requests must bring, if anything.

    Raises:
        OptionError: It cannot listen there.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # there, it would admit a second server

    def __init__(self, site: Site, host: str, port: int, token: str | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.site = site
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise OptionError(
                f"cannot listen at {host}, port {port} ({reason}): give another --port "
                "(0 takes a free one) or --host"
            ) from None
        self.guard = Guard(self.server_port, token, host)

    def server_bind(self) -> None:
        """Bind, without asking the network for this machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment] # bytes for other families

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base's
        """Pass over connections that break off: browsers do it all the time."""


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE
    wbufsize = (
        1 << 16
    )  # head and body leave together: apart, each waits for the other's
    disable_nagle_algorithm = True  # receipt, 40 ms a tile
    server: Server

    def do_GET(self) -> None:
        """Send what was asked for."""
        asked = Asked.of(self.path)
        guard, given = self.server.guard, asked.query.get("token")
        refusal = guard.refusal(self.headers, given)
        if refusal is not None:
            return self._send(_plain(HTTPStatus.FORBIDDEN, refusal))
        if guard.proves(given) and asked.parts == ("",):
            return self._remember(str(given))
        return self._send(self.server.site.reply(self.path))

    do_HEAD = do_GET  # noqa: N815 - the base's name

    def do_POST(self) -> None:
        """Refuse: nothing here can be changed."""
        self.close_connection = True
        refused = _plain(HTTPStatus.METHOD_NOT_ALLOWED, "read-only: GET and HEAD only")
        self._send(refused, {"Allow": "GET, HEAD", "Connection": "close"})

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = do_POST  # noqa: N815 - the base's names

    def version_string(self) -> str:
        """Say no more than the program's name."""
        return "coverslip"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: ids of slides do not belong into a log."""

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        """Send what the base class refuses, in one line and with our headers."""
        self.close_connection = True
        status = HTTPStatus(code)
        self._send(
            _plain(status, message or explain or status.phrase),
            {"Connection": "close"},
        )

    def _remember(self, token: str) -> None:
        """Let the browser keep the token, and take it out of the address."""
        cookie = f"{self.server.guard.cookie}={token}; Path=/; HttpOnly; SameSite=Lax"
        plain = urlsplit(self.path).path
        self._send(
            _plain(HTTPStatus.SEE_OTHER, ""), {"Set-Cookie": cookie, "Location": plain}
        )

    def _send(self, reply: Reply, more: dict[str, str] | None = None) -> None:
        self.send_response(reply.status)
        facts = {"Content-Type": reply.kind, "Content-Length": str(len(reply.body))}
        asked = getattr(self, "headers", None)  # none of a request that is no HTTP
        alone = ALONE if asked and names_loopback(asked) else {}
        for name, value in {**HEADERS, **alone, **facts, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)


def _plain(status: HTTPStatus, text: str) -> Reply:
    return Reply(f"{text}\n".encode(), "text/plain; charset=utf-8", status)
