"""How long the viewer takes for a tile, as a browser asks for it.

    COVERSLIP_DATA=FOLDER python -m benchmarks.viewer

Starts `coverslip view` anew for each real slide, and asks over HTTP for tiles drawn at
random: first a level, each as often, then a place on it. `cold` are tiles that were not
asked for before; `warm` the same once more; `six at once` others, with six connections,
as a browser has. What the operating system keeps of the file is not taken from it.
Nothing is asserted: it prints, and writes JSON with the load of the machine.
"""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from benchmarks.accuracy.record import circumstances, data_folder

from coverslip import store
from coverslip.slides.finding import find_slides, open_slide
from coverslip.tables import write_csv

OUT = Path(__file__).parent / "results" / "viewer.json"
BAR = 50.0
"""Milliseconds that 95 of 100 tiles must stay below."""

Tile = tuple[int, int, int]


def main() -> None:
    """Measure every slide, print a table, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=300, help="tiles a slide")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    begun = time.perf_counter()
    rows = []
    for path in find_slides([data_folder() / "slides"]):
        rows += measure(path, asked.tiles)
    print(table(rows))
    load = os.getloadavg()[0]
    facts = {"tiles": asked.tiles, "asked": {"p95": BAR}, "rows": rows}
    seconds = round(time.perf_counter() - begun)
    store.write_json(
        asked.out, {**facts, **circumstances(), "load": load, "seconds": seconds}
    )


def measure(path: Path, count: int) -> list[store.Facts]:
    """Return a row for the first tile, for cold and warm ones, and for six at once."""
    with serving(path) as (host, port):
        ask = Asker(host, port, path.stem)
        first = ask.milliseconds((0, 0, 0))
        facts = ask.facts()
        tiles = draw(facts, 2 * count)
        half = len(tiles) // 2
        cold = [ask.milliseconds(tile) for tile in tiles[:half]]
        warm = [ask.milliseconds(tile) for tile in tiles[:half]]
        askers = [Asker(host, port, path.stem) for _ in range(6)]
        shares = [tiles[half + i :: 6] for i in range(6)]
        with ThreadPoolExecutor(6) as pool:
            spent = pool.map(Asker.all, askers, shares)
        together = [took for one in spent for took in one]
    ways = {"cold": cold, "warm": warm, "six at once": together}
    return [
        {"slide": path.name, "what": "first, with opening", **summary([first])},
        *({"slide": path.name, "what": k, **summary(v)} for k, v in ways.items()),
    ]


@contextmanager
def serving(path: Path) -> Iterator[tuple[str, int]]:
    """Serve a study of one slide within this block; give host and port."""
    with tempfile.TemporaryDirectory() as folder, open_slide(path) as slide:
        row = {"slide_id": path.stem, "path": path.absolute(), "mpp": slide.l0_mpp}
        write_csv(Path(folder) / "slides.csv", list(row), [row])
        command = [sys.executable, "-m", "coverslip", "view", folder, "--json"]
        with subprocess.Popen(
            [*command, "--no-browser", "--port", "0"], stdout=subprocess.PIPE, text=True
        ) as server:
            try:
                assert server.stdout is not None
                url = urlsplit(json.loads(server.stdout.readline())["url"])
                yield str(url.hostname), int(url.port or 0)
            finally:
                server.terminate()


class Asker:
    """One connection to the server, kept open."""

    def __init__(self, host: str, port: int, slide_id: str) -> None:
        self.connection = HTTPConnection(host, port)
        self.slide = f"/api/slides/{slide_id}"

    def facts(self) -> store.Facts:
        """Return what the page is told of the slide."""
        return dict(json.loads(self._get(self.slide)))

    def milliseconds(self, tile: Tile) -> float:
        """Ask for a tile; return how long it took until its last byte was here."""
        level, column, row = tile
        begun = time.perf_counter()
        self._get(f"{self.slide}/tiles/{level}/{column}/{row}.jpg")
        return 1000 * (time.perf_counter() - begun)

    def all(self, tiles: list[Tile]) -> list[float]:
        """Ask for tiles, one after the other."""
        return [self.milliseconds(tile) for tile in tiles]

    def _get(self, target: str) -> bytes:
        self.connection.request("GET", target)
        reply = self.connection.getresponse()
        body = reply.read()
        assert reply.status == 200, body
        return body


def draw(facts: store.Facts, count: int, seed: int = 0) -> list[Tile]:
    """Return different tiles, all levels alike as long as they have any left."""
    rng = random.Random(seed)
    levels: dict[int, list[Tile]] = {}
    for level in range(6, facts["top"] + 1):
        step = 1 << (facts["top"] - level)
        across, down = (
            math.ceil(math.ceil(facts[side] / step) / facts["tile"])
            for side in ("width", "height")
        )
        places = [(level, x, y) for x in range(across) for y in range(down)]
        levels[level] = rng.sample(places, len(places))
    drawn: list[Tile] = []
    while levels and len(drawn) < count:
        for level in list(levels):
            drawn.append(levels[level].pop())
            if not levels[level]:
                del levels[level]
    rng.shuffle(drawn)
    return drawn[:count]


def summary(spent: list[float]) -> store.Facts:
    """Return number, median and 95th percentile of milliseconds."""
    median, late = (round(float(v), 1) for v in np.percentile(spent, (50, 95)))
    return {"n": len(spent), "median": median, "p95": late}


def table(rows: list[store.Facts]) -> str:
    """Return a Markdown table, milliseconds."""
    lines = [
        "| slide | tiles | n | median, ms | 95th percentile, ms |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (row[name] for name in ("slide", "what", "n", "median", "p95"))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
