"""Ray: an engine whose tasks run on the machines of a cluster. Nothing else knows Ray.

A task and its items go there, outcomes come back; slides, features and models stay on
storage that all machines share. What a lost machine was at is done again by another: a
task keeps what it finds complete, and files are written whole.
"""

import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from coverslip.errors import (
    ClusterError,
    CoverslipError,
    MissingExtraError,
    OptionError,
    OutputError,
    SlideWarning,
)
from coverslip.pipeline.engine import Item, Outcome, Result, attempt
from coverslip.pipeline.sharing import cores_of, share_of

if TYPE_CHECKING:
    from coverslip.prepare.encoders.devices import Device

RETRIES = 5
"""How often an item is tried again after the process or the machine at it was lost."""

AHEAD = 4
"""Tasks that wait for each core, so that none is idle and few are lost."""


@dataclass(frozen=True)
class RayEngine:
    """The machines of a Ray cluster.

    Without a network a task takes one core. A network takes a GPU (or a share of it)
    and its share of the machine's cores; where no machine has a GPU, as many cores as
    PyTorch has threads here, so that sums are rounded as `LocalEngine` rounds them.

    Attributes:
        shared: Folder that every machine must see: the study.
        address: Of the cluster. None takes what RAY_ADDRESS says, else starts one on
            this machine, which ends with the command.
        gpu: Share of a GPU that a network takes.

    Raises:
        OptionError: The share is not in (0, 1].
    """

    shared: Path
    address: str | None = None
    gpu: float = 1.0
    remote = True

    def __post_init__(self) -> None:
        if not 0 < self.gpu <= 1:
            raise OptionError(f"gpu={self.gpu:g}: a share of one GPU, above 0 up to 1")

    def run(
        self,
        task: Callable[[Item], Result],
        items: Sequence[Item],
        network: "Device | None" = None,
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of each item as it comes, in any order.

        Raises:
            MissingExtraError: Ray is not installed.
            OptionError: A GPU is asked for, and no machine has one.
            ClusterError: The cluster cannot be reached, or a machine of it does not see
                the shared folder, or has another coverslip.
            CoverslipError: Something that concerns all items, such as a full disk.
        """
        ray = _connected(self.address)
        share = share_of(_machines(ray), network, self.gpu)
        with _beacon(self.shared) as beacon:
            place = Place(Path.cwd(), self.shared, beacon, share.threads)
            work = ray.remote(_work).options(
                num_cpus=share.cpus, num_gpus=share.gpus, max_retries=RETRIES
            )
            sent = ray.put(task)
            left, flying = iter(items), dict[Any, Item]()
            try:
                while True:
                    room = AHEAD * cores_of(_machines(ray)) - len(flying)
                    for item in islice(left, max(0, room)):
                        flying[work.remote(sent, item, place)] = item
                    if not flying:
                        return
                    landed, _ = ray.wait(list(flying), num_returns=1)
                    yield _outcome(ray, landed[0], flying.pop(landed[0]))
            finally:
                for reference in flying:
                    ray.cancel(reference)


@dataclass(frozen=True)
class Place:
    """What makes one machine like another: the folders it sees, and its threads.

    Attributes:
        here: The folder that the command runs in; relative paths start there.
        shared: The folder that must be seen.
        beacon: A file in it that was made for this run.
        threads: Of PyTorch and OpenCV.
    """

    here: Path
    shared: Path
    beacon: Path
    threads: int

    def enter(self) -> None:
        """Make this process work as the one that sent the task would.

        Raises:
            ClusterError: This machine does not see the shared folder.
        """
        import cv2
        import torch

        with suppress(OSError):  # whole paths do without
            os.chdir(self.here)
        if not self.beacon.exists():
            raise ClusterError(
                f"{self.shared}: machine {socket.gethostname()} does not see this "
                "folder: keep the study, the slides and the folder that the command "
                "runs in on storage that all machines share, under the same paths"
            )
        torch.set_num_threads(self.threads)
        cv2.setNumThreads(self.threads)


@dataclass(frozen=True)
class Said:
    """What comes back of an item.

    Attributes:
        outcome: What became of it, or an error that concerns all items.
        warned: What its owner should know besides.
    """

    outcome: Outcome[Any, Any] | CoverslipError
    warned: tuple[str, ...]


def _work(task: Callable[[Item], Result], item: Item, place: Place) -> Said:
    """Do one item, in a process of some machine; return errors rather than raise."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("default")
        outcome = _done(task, item, place)
    told = []
    for one in heard:
        if issubclass(one.category, SlideWarning):
            told.append(str(one.message))
        else:  # as if nobody had listened
            where = one.filename, one.lineno
            warnings.warn_explicit(one.message, one.category, *where)
    return Said(outcome, tuple(dict.fromkeys(told)))


def _done(
    task: Callable[[Item], Result], item: Item, place: Place
) -> Outcome[Item, Result] | CoverslipError:
    try:
        place.enter()
        if isinstance(item, Path) and not item.exists():
            return Outcome(
                item,
                error=f"{item}: machine {socket.gethostname()} does not see this file: "
                "keep it on storage that all machines share",
            )
        outcome = attempt(task, item)
    except CoverslipError as error:
        return error
    foreseen = isinstance(outcome.cause, CoverslipError)
    return outcome if foreseen else replace(outcome, cause=None)  # may not travel


def _outcome(ray: Any, reference: Any, item: Item) -> Outcome[Item, Any]:  # noqa: ANN401 - Ray's
    """Return what came back of an item, from wherever it was done at last.

    Raises:
        CoverslipError: What concerns all items.
    """
    try:
        said: Said = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise ClusterError(
            f"{item}: a machine cannot run the task ({_line(error)}): install the same "
            "Python, coverslip and extras on all machines"
        ) from error
    except ray.exceptions.RayError as error:
        lost = ClusterError(
            f"{item}: the process at it was lost {RETRIES + 1} times "
            f"({type(error).__name__}): give it more memory, or look at it alone with "
            "--engine local"
        )
        return Outcome(item, error=str(lost), trace=str(error), cause=lost)
    for text in said.warned:
        warnings.warn(text, SlideWarning, stacklevel=3)
    if isinstance(said.outcome, CoverslipError):
        raise said.outcome
    return said.outcome


def _line(error: Exception) -> str:
    """Return the last line of what Ray tells, which is the error itself."""
    return str(error).strip().splitlines()[-1].strip()


@contextmanager
def _beacon(folder: Path) -> Iterator[Path]:
    """Within this block a file lies in a folder, by which others know that they see it.

    Its name is that of an unfinished file, which `coverslip.store` clears away when the
    process was killed.

    Raises:
        OutputError: The folder cannot be made or written.
    """
    owner = f".{socket.gethostname()}-{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lamp = NamedTemporaryFile(dir=folder, prefix=".seen-", suffix=owner)  # noqa: SIM115 - below
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot write ({error.strerror}): choose a folder that you may "
            "write to"
        ) from error
    with lamp:
        yield Path(lamp.name)


def _connected(address: str | None) -> Any:  # noqa: ANN401 - the module, loaded late
    """Return Ray, connected to the cluster; the connection stays for the next batch.

    Raises:
        MissingExtraError: Ray is not installed.
        ClusterError: The cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise MissingExtraError(
            "Ray is not installed: pip install 'coverslip[ray]', or use --engine local"
        ) from None
    asked = address or os.environ.get("RAY_ADDRESS")
    if ray.is_initialized():
        _check_connected(ray, asked)
    else:
        try:
            ray.init(
                asked or "local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise ClusterError(
                f"Ray at {asked or 'this machine'}: cannot be reached ({_line(error)}): "
                "run the command on a machine of the cluster, with the token of the cluster if it has one"
            ) from error
    return ray


def _check_connected(ray: Any, asked: str | None) -> None:  # noqa: ANN401 - the module
    """Refuse to work on another cluster than the one that is asked for.

    Raises:
        ClusterError: This process is connected to another one.
    """
    if asked is None or ":" not in asked or "://" in asked:
        return  # any will do, or Ray's own names for what cannot be compared
    now = ray.get_runtime_context().gcs_address
    host, _, port = asked.rpartition(":")
    with suppress(OSError):
        found = socket.gethostbyname(host)
        own = [ray.util.get_node_ip_address()] if found.startswith("127.") else []
        if now not in {asked, *(f"{place}:{port}" for place in (found, *own))}:
            raise ClusterError(
                f"Ray at {asked}: this process is connected to {now} already: call "
                "ray.shutdown() first, or leave the address out"
            )


def _machines(ray: Any) -> list[dict[str, float]]:  # noqa: ANN401 - the module
    """Return what each machine of the cluster has now."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
