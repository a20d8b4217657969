"""How much of a cluster's machines one task takes; of Ray nothing is known here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coverslip.errors import OptionError
from coverslip.prepare.encoders.devices import threads

if TYPE_CHECKING:
    from coverslip.prepare.encoders.devices import Device


@dataclass(frozen=True)
class Share:
    """What one task takes of a machine."""

    cpus: int
    gpus: float
    threads: int


def cores_of(machines: Sequence[dict[str, float]]) -> int:
    """Return how many cores machines have together."""
    return max(1, int(sum(machine.get("CPU", 0) for machine in machines)))


def share_of(
    machines: Sequence[dict[str, float]], network: "Device | None", gpu: float
) -> Share:
    """Say what a task takes.

    Raises:
        OptionError: A GPU is asked for, and no machine has one.
    """
    if network is None:
        return Share(1, 0, 1)
    with_gpu = [machine for machine in machines if machine.get("GPU")]
    if network == "cuda" and not with_gpu:
        raise OptionError(
            "device=cuda: no machine of the cluster has a GPU: use --device cpu, or "
            "start Ray where there is one"
        )
    if network != "cpu" and with_gpu:
        each = min(machine.get("CPU", 0) / machine["GPU"] for machine in with_gpu)
        cpus = max(1, int(each * gpu))
        return Share(cpus, gpu, cpus)
    count = threads()
    largest = max((int(machine.get("CPU", 0)) for machine in machines), default=0)
    return Share(max(1, min(count, largest)), 0, count)
