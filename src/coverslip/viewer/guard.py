"""Who may ask: only this machine unless told otherwise, and then only with the token.

A page of another site can send requests to a server on this machine, and can even give
its own name the address 127.0.0.1. So without a token the name that was asked for must
be one of this machine's loopback names, and what another site's page asks for is refused.
"""

import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from email.message import Message
from http.cookies import CookieError, SimpleCookie

LOCAL_NAMES = frozenset(["localhost", "127.0.0.1", "[::1]"])


def is_loopback(host: str) -> bool:
    """Say whether a name or address to listen at is this machine's alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_loopback(headers: Message) -> bool:
    """Say whether a request's address is a loopback one, which browsers trust."""
    host, _ = _split(headers.get("Host", ""))
    return is_loopback(host.lower().strip("[]"))


def _split(host: str) -> tuple[str, str]:
    """Return name and port of a Host header; the port is 80 where it names none."""
    name, colon, port = host.rpartition(":")
    return (host, "80") if not colon or host.endswith("]") else (name, port)


def new_token() -> str:
    """Return a token that cannot be guessed."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Guard:
    """Decides on requests.

    Attributes:
        port: Where the server listens.
        token: What a request must bring; None where being on this machine is enough.
        host: What the server listens at.
    """

    port: int
    token: str | None = None
    host: str = "127.0.0.1"

    @property
    def cookie(self) -> str:
        """Name of the cookie; cookies do not tell ports apart, so it holds the port."""
        return f"coverslip_{self.port}"

    def refusal(self, headers: Message, given: str | None) -> str | None:
        """Say why a request is refused; None when it may pass.

        Args:
            headers: Its headers.
            given: The token in its address, if there was one.
        """
        if self.token is None:
            if not self._known(headers.get("Host", "")):
                return "asked for under a name that is not this machine's own"
        elif not (self.proves(given) or self.proves(self._kept(headers))):
            return "open the address with the token that `coverslip view` printed"
        elsewhere = headers.get("Sec-Fetch-Site", "none") in {"cross-site", "same-site"}
        if elsewhere and headers.get("Sec-Fetch-Mode") != "navigate":
            return "asked for by a page of another site"
        return None

    def proves(self, given: str | None) -> bool:
        """Say whether this is the token; it takes as long whatever was given."""
        if self.token is None or given is None:
            return False
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _known(self, host: str) -> bool:
        name, port = _split(host)
        return port == str(self.port) and name.lower() in LOCAL_NAMES | {self.host}

    def _kept(self, headers: Message) -> str | None:
        try:
            crumbs = SimpleCookie(headers.get("Cookie", ""))
        except CookieError:
            return None
        return crumbs[self.cookie].value if self.cookie in crumbs else None
