"""Does the fast way to train learn what the plain one learns?

Validation AUC as in `benchmarks.speed.training_auc`, of the same seeds and bags: in bf16
with 8 slides a step and bags that stay on the GPU, beside float32 one slide a step. The
bags are of real tissue, or made up where there is no real data.
"""

from benchmarks.accuracy.record import data_folder
from benchmarks.accuracy.tissue_bags import read_pool
from benchmarks.gpu.plan import Plan
from benchmarks.speed.training_auc import ON_A_GPU, WAYS, compare, made_up_pool
from numpy.random import default_rng

from coverslip import store
from coverslip.errors import DataError


def main(plan: Plan) -> list[store.Facts]:
    """Train both ways with every seed."""
    try:
        pool, of = read_pool(data_folder()), "real tissue"
    except DataError:
        pool, of = made_up_pool(default_rng(0)), "made-up patches (no real data here)"
    ways = [next(iter(WAYS)), *ON_A_GPU]
    rows = compare(pool, ways, plan.seeds, device=plan.device, bags=dict(plan.bags))
    return [{**row, "what": f"{row['what']}, bags of {of}"} for row in rows]
