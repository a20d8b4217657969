"""What experiment trackers are told of a run: what made it, and what came out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from coverslip import store
from coverslip.learn.checkpoint import MODEL_FILE
from coverslip.learn.resume import STATE_FILE
from coverslip.learn.splits import Split
from coverslip.pipeline.cohort import Cohort
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.trackers.hook import Followers, TrackedRun, Tracking, flat


@contextmanager
def followed(
    tracking: Tracking | None,
    folder: Path,
    cohort: Cohort,
    split: Split,
    options: LearnOptions,
) -> Iterator[Followers]:
    """Let trackers follow one training; the block trains and judges in `folder`.

    A model that is there already is not followed again. When the block ends well, the
    figures of `metrics.json` and the pictures are handed over.

    Args:
        tracking: Which trackers; None for none.
        folder: The training's.
        cohort: Labelled bags.
        split: Which slide is in which subset; trackers are told how many.
        options: Which model, and how.
    """
    if tracking is None or not tracking.names or (folder / MODEL_FILE).exists():
        yield Followers()
        return
    parts = {name: len(cohort.part(split, name)) for name in ("train", "val", "test")}
    params = {
        **_params(options),
        **flat({"features": cohort.facts, "slides": parts}),
        "classes": ", ".join(cohort.join.labels.classes),
    }
    run = TrackedRun(
        tracking.study,
        folder,
        params,
        tracking.parent_of(folder),
        resumed=(folder / STATE_FILE).exists(),
    )
    with tracking.followers().following(run) as followers:
        yield followers
        _hand_over(followers, folder)


@contextmanager
def followed_whole(
    tracking: Tracking,
    runs: Sequence[tuple[Path, LearnOptions, Sequence[Path]]],
    counts: Mapping[str, int],
) -> Iterator[None]:
    """Let trackers follow runs of several trainings, each of which has its own record.

    Args:
        tracking: Which trackers.
        runs: Folder, options and the folders of the trainings of each.
        counts: Numbers of folds, repeats and seeds.
    """
    with ExitStack() as stack:
        open_runs = []
        for folder, options, parts in runs:
            done = all((part / MODEL_FILE).exists() for part in parts)
            if done or list(parts) == [folder] or not tracking.names:
                continue
            begun = any(part.exists() for part in parts)
            params = {**_params(options), **counts}
            run = TrackedRun(tracking.study, folder, params, resumed=begun)
            followers = stack.enter_context(tracking.followers().following(run))
            open_runs.append((followers, folder))
        yield
        for followers, folder in open_runs:
            _hand_over(followers, folder)


def _params(options: LearnOptions) -> dict[str, object]:
    return {
        "model": options.model,
        **flat(
            {"model": options.of_model().facts(), "train": options.training.facts()}
        ),
    }


def _hand_over(followers: Followers, folder: Path) -> None:
    table = folder / "metrics.json"
    figures = final_figures(store.read_json(table)) if table.exists() else {}
    # the pictures only: tables, metrics.json among them, have the names of slides
    followers.finish(figures, sorted((folder / "figures").glob("*.png")))


def final_figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a `metrics.json` one level deep, such as `test/auc`.

    Args:
        metrics: Of a run, of one model or of folds; its intervals and lists stay there.
    """
    found: dict[str, float] = {}
    for part in ("val", "test", "mean_of_folds", "pooled"):
        for name, value in metrics.get(part, {}).items():
            one = value.get("mean") if part == "mean_of_folds" else value
            if isinstance(one, (int, float)) and not isinstance(one, bool):
                found[f"{part}/{name}"] = float(one)
    return found
