#!/usr/bin/env python3
"""Draw the figures of docs/MATCHING.md as SVG. Python's standard library only.

    plot-matching.py OUT_FOLDER [--set NAME TRUTH PREDICTIONS FIGURES]... [--bench FIGURES]...

TRUTH        the reports that `hearback eval` read, one JSON object a line, gzip or not
PREDICTIONS  what `hearback eval --predictions` wrote of them
FIGURES      what `hearback eval`, or `hearback bench match --json`, printed

Writes precision-recall.svg (the first candidate of the surest reports), reliability.svg (what share of a range of
scores is right) and latency.svg (time of a match against the number of clusters), as far as there is data for them.
"""
from __future__ import annotations

import argparse
import gzip
import json
import math
from pathlib import Path

WIDTH, HEIGHT = 560, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 52
COLOURS = ["#1b6ca8", "#c8553d", "#3a7d44", "#7b4ea3", "#a8841b", "#4a4a4a"]


class Axis:
    """From values to pixels, linear or logarithmic."""

    def __init__(self, low: float, high: float, first: float, last: float, log: bool = False):
        self.log = log
        self.low, self.high = (math.log10(low), math.log10(high)) if log else (low, high)
        self.first, self.last = first, last

    def __call__(self, value: float) -> float:
        at = math.log10(value) if self.log else value
        return self.first + (at - self.low) / (self.high - self.low) * (self.last - self.first)


class Plot:
    """One drawing: axes with their ticks, lines with their names."""

    def __init__(self, title: str, x_name: str, y_name: str, x: tuple, y: tuple, log_x: bool = False, log_y: bool = False):
        self.x = Axis(*x, LEFT, WIDTH - RIGHT, log_x)
        self.y = Axis(*y, HEIGHT - BOTTOM, TOP, log_y)
        self.lines = 0
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
            f'font-size="12"><title>{title}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            f'<text x="{LEFT}" y="22" font-size="15">{title}</text>',
            text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_name, "middle"),
            f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">{y_name}</text>',
        ]

    def ticks(self, xs: list[tuple[float, str]], ys: list[tuple[float, str]]) -> None:
        for value, name in xs:
            at = self.x(value)
            self.parts.append(rule(at, TOP, at, HEIGHT - BOTTOM) + text(at, HEIGHT - BOTTOM + 18, name, "middle"))
        for value, name in ys:
            at = self.y(value)
            self.parts.append(rule(LEFT, at, WIDTH - RIGHT, at) + text(LEFT - 8, at + 4, name, "end"))

    def line(self, name: str, points: list[tuple[float, float]], dashed: bool = False, dots: bool = False) -> None:
        colour = COLOURS[self.lines % len(COLOURS)]
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        if dots:
            self.parts += [f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
        at = TOP + 16 + 17 * self.lines
        self.parts.append(f'<rect x="{LEFT + 10}" y="{at - 5}" width="16" height="3" fill="{colour}"/>')
        self.parts.append(text(LEFT + 32, at, name))
        self.lines += 1

    def write(self, path: Path) -> None:
        path.write_text("\n".join([*self.parts, "</svg>"]) + "\n", encoding="utf-8")
        print(path)


def text(x: float, y: float, what: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{what}</text>'


def rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#dddddd"/>'


def lines(path: str) -> list[dict]:
    read = gzip.open if path.endswith(".gz") else open
    with read(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def surest_first(truth: list[dict], predictions: list[dict]) -> list[tuple[float, float]]:
    """Recall and precision of the first candidates, from the surest report on."""
    label = {report["id"]: report["truth"] for report in truth}
    seen: set = set()
    duplicates = 0
    for report in truth:
        duplicates += report["truth"] in seen
        seen.add(report["truth"])
    rows = [(one["score"], label[one["candidates"][0]] == label[one["id"]]) for one in predictions if one["candidates"]]
    rows.sort(key=lambda row: -row[0])
    points, right, least = [], 0, max(20, len(rows) // 200)
    for count, (score, is_right) in enumerate(rows, 1):
        right += is_right
        # Equal scores stand or fall together.
        is_last = count == len(rows) or rows[count][0] != score
        if is_last and count >= least:
            points.append((right / max(duplicates, 1), right / count))
    return points[:: max(1, len(points) // 400)]


def percent_ticks() -> list[tuple[float, str]]:
    return [(step / 5, f"{step * 20} %") for step in range(6)]


def draw_sets(out: Path, sets: list[list[str]]) -> None:
    curve = Plot("Precision and recall of the first candidate, surest reports first", "recall", "precision", (0, 1), (0, 1))
    trust = Plot("Are scores what they say?", "score", "share that is right", (0, 1), (0, 1))
    for plot in (curve, trust):
        plot.ticks(percent_ticks(), percent_ticks())
    for name, truth, predictions, figures in sets:
        curve.line(name, surest_first(lines(truth), lines(predictions)))
        with open(figures, encoding="utf-8") as file:
            ranges = json.load(file)["calibration"]["shipped"]["ranges"]
        trust.line(name, [(one["mean_score"], one["right"]) for one in ranges], dots=True)
    trust.line("as they should be", [(0, 0), (1, 1)], dashed=True)
    curve.write(out / "precision-recall.svg")
    trust.write(out / "reliability.svg")


def draw_bench(out: Path, files: list[str]) -> None:
    runs = []
    for file in files:
        with open(file, encoding="utf-8") as figures:
            runs.append(json.load(figures))
    runs.sort(key=lambda run: run["clusters"])
    curves: dict[str, list[tuple[float, float]]] = {}
    for run in runs:
        for key in ("p50_ms", "p99_ms"):
            curves.setdefault(f"hearback, {key[:3]}", []).append((run["clusters"], run[key]))
        for name, figures in run.items():
            if isinstance(figures, dict) and "p50_ms" in figures:
                curves.setdefault(f"{name}, p50", []).append((run["clusters"], figures["p50_ms"]))
    every = [value for points in curves.values() for _, value in points]
    low, high = 10 ** math.floor(math.log10(min(every))), 10 ** math.ceil(math.log10(max(every)))
    sizes = [run["clusters"] for run in runs]
    plot = Plot("Time of a match", "clusters", "milliseconds", (min(sizes) * 0.8, max(sizes) * 1.25), (low, high), True, True)
    decades = [10.0**power for power in range(round(math.log10(low)), round(math.log10(high)) + 1)]
    plot.ticks([(size, f"{size:,}") for size in sizes], [(value, f"{value:g}") for value in decades])
    for name, points in curves.items():
        plot.line(name, points, dots=True)
    plot.write(out / "latency.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", nargs=4, action="append", default=[], metavar=("NAME", "TRUTH", "PREDICTIONS", "FIGURES"))
    parser.add_argument("--bench", action="append", default=[], metavar="FIGURES")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.set:
        draw_sets(given.out, given.set)
    if given.bench:
        draw_bench(given.out, given.bench)
    if not (given.set or given.bench):
        parser.error("nothing to draw: give --set or --bench")


if __name__ == "__main__":
    main()
