"""The verb `view`: a study in the browser."""

from dataclasses import dataclass
from pathlib import Path

from coverslip.errors import OptionError
from coverslip.viewer.assets import find_openseadragon
from coverslip.viewer.evidence import Evidence
from coverslip.viewer.guard import is_loopback, new_token
from coverslip.viewer.routes import Site
from coverslip.viewer.server import Server
from coverslip.viewer.view_options import PORT, ViewOptions


@dataclass
class Viewing:
    """A study that is being shown.

    Attributes:
        server: Listening, and answering within `serve`.
    """

    server: Server

    @property
    def url(self) -> str:
        """The address to open, with the token where one is asked for."""
        guard = self.server.guard
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(guard.host, guard.host)
        name = f"[{host}]" if ":" in host else host
        token = f"?token={guard.token}" if guard.token else ""
        return f"http://{name}:{guard.port}/{token}"

    def serve(self) -> None:
        """Answer until `close` is called from another thread, or Ctrl-C is pressed."""
        try:
            self.server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            pass
        finally:
            self.server.server_close()
            self.server.site.evidence.close()

    def close(self) -> None:
        """Let `serve` come to its end."""
        self.server.shutdown()


def view(
    study: Path,
    options: ViewOptions | None = None,
    *,
    run: str | None = None,
    annotations: Path | None = None,
    openseadragon: Path | None = None,
) -> Viewing:
    """Begin to show a study in the browser.

    Args:
        study: A study folder.
        options: Where it is served.
        run: The run to begin with; the latest when none is named.
        annotations: Folder of annotations named after the slides.
        openseadragon: OpenSeadragon's script, where its package is not installed.

    Returns:
        What is listening now; `serve` answers.

    Raises:
        DataError: It is not a study, or the annotations are no folder.
        MissingExtraError: OpenSeadragon is not installed.
        OptionError: The port is taken, or the host is not this machine's.
    """
    options = options or ViewOptions()
    script = find_openseadragon(openseadragon)
    site = Site(Evidence(study, annotations, run, options.device), script)
    guarded = options.token or not is_loopback(options.host)
    token = new_token() if guarded else None
    if options.port is not None:
        return Viewing(Server(site, options.host, options.port, token))
    try:
        return Viewing(Server(site, options.host, PORT, token))
    except OptionError:
        return Viewing(Server(site, options.host, 0, token))
