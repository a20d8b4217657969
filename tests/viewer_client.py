"""What tests of the viewer share: a server in a thread, and a client that tidies nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse

from coverslip.viewer.viewing import Viewing

LESION_BOX = (256, 256, 768, 768)
"""What `slide_cohort` paints, in level-0 pixels."""


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    body: bytes
    headers: HTTPResponse


@dataclass
class Client:
    """Asks a server exactly what it is told to, which a browser would tidy up."""

    viewing: Viewing

    def ask(self, target: str, method: str = "GET", **headers: str) -> Answer:
        """Send one request; `Host` and others can be overruled."""
        port = self.viewing.server.guard.port
        sent = {"Host": f"127.0.0.1:{port}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.putrequest(method, target, skip_host=True)
            for name, value in sent.items():
                connection.putheader(name, value)
            connection.endheaders()
            reply = connection.getresponse()
            return Answer(reply.status, reply.read(), reply)
        finally:
            connection.close()


@contextmanager
def served(viewing: Viewing) -> Iterator[Client]:
    """Answer in another thread within this block."""
    thread = threading.Thread(target=viewing.serve)
    thread.start()
    try:
        yield Client(viewing)
    finally:
        viewing.close()
        thread.join()
