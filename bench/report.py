#!/usr/bin/env python3
"""
report.py
     Plots, and tables for the README, from the CSV files of bench/out.

     report.py FOLDER plots       peers.svg, study.svg, builds.svg, bulk.svg into the folder
     report.py FOLDER tables      markdown to standard output

Whatever has not been run is left out.

IDENTIFICATION
     bench/report.py
"""
import csv
import os
import re
import sys

LATERAL = "query, LATERAL"
DATA = {
    "gauss3": "3-D Gaussian, 50", "uniform3": "3-D uniform, 10", "uniform2": "2-D uniform, 10",
    "cluster8": "8-D clusters, 10", "latent64": "64-D of 6 factors, 10", "iid64": "64-D i.i.d., 10",
    "iid1536": "1,536-D i.i.d., 10",
}


class Figures:
    """Medians by (figure, what, method), in the order of the file."""

    def __init__(self, folder, name):
        self.values = {}
        path = f"{folder}/{name}.csv"
        if os.path.exists(path):
            with open(path) as f:
                for row in csv.DictReader(f):
                    self.values[row["figure"], row["what"], row["method"]] = float(row["median"])

    def get(self, figure, what, *methods):
        for method in methods:
            if (figure, what, method) in self.values:
                return self.values[figure, what, method]
        return None

    def figures(self):
        return list(dict.fromkeys(k[0] for k in self.values))

    def methods(self, figure, what):
        return [k[2] for k in self.values if k[:2] == (figure, what)]


def data_label(peers, name):
    """Rows, kind, and k."""
    return f"{peers.get(name, 'rows', 'all') or 0:,.0f} × {DATA[name]}"


def short(x):
    if x is None:
        return ""
    if x >= 100:
        return f"{x:,.0f}"
    return f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def markdown(head, rows):
    """Columns that are empty throughout are left out."""
    keep = [i for i in range(len(head)) if any(row[i] != "" for row in rows)]
    print("| " + " | ".join(head[i] for i in keep) + " |")
    print("|" + "---|" * len(keep))
    for row in rows:
        print("| " + " | ".join(row[i] for i in keep) + " |")
    print()


# Tables

def whole_recall(peers, name):
    """HNSW's least effort with recall 1, if any."""
    for m in peers.methods(name, "recall"):
        if m.startswith("pgvector HNSW") and peers.get(name, "recall", m) == 1:
            return m
    return None


def peers_tables(folder):
    peers = Figures(folder, "peers")
    names = [n for n in DATA if n in peers.figures()]
    for what, title in (LATERAL, "µs a query, LATERAL"), ("query, pgbench prepared", "µs a query, single statements"):
        rows = []
        for n in names:
            hnsw = [m for m in peers.methods(n, what) if m.startswith("pgvector HNSW")]
            best = whole_recall(peers, n) or (hnsw[-1] if hnsw else None)
            recall = f" (ef {best.split()[-1]}, recall {short(peers.get(n, 'recall', best))})" if best else ""
            rows.append([data_label(peers, n), short(peers.get(n, what, "floor")),
                         "**%s**" % short(peers.get(n, what, "covertree real[]", "covertree")),
                         short(peers.get(n, what, "cube GiST")), short(peers.get(n, what, "PostGIS GiST")),
                         short(peers.get(n, what, "SP-GiST quad")), short(peers.get(n, what, "GiST point")),
                         short(peers.get(n, what, best)) + recall if best else "",
                         short(peers.get(n, what, "pgvector sequential scan")),
                         short(peers.get(n, what, "nanoflann")), short(peers.get(n, what, "SciPy cKDTree")),
                         short(peers.get(n, what, "scikit-learn KDTree")),
                         short(peers.get(n, what, "mlpack cover tree, single_tree")),
                         short(peers.get(n, what, "brute force float4"))])
        print(f"**{title}**\n")
        markdown(["Rows, k", "floor", "covertree", "cube GiST", "PostGIS GiST", "SP-GiST quad", "GiST point",
                  "pgvector HNSW", "pgvector seq. scan", "nanoflann", "SciPy", "scikit-learn", "mlpack",
                  "brute force float4"], rows)
    rows = [[data_label(peers, n), *(short(peers.get(n, "build", *m)) for m in (
        ("covertree real[]", "covertree"), ("cube GiST",), ("PostGIS GiST",), ("SP-GiST quad",), ("GiST point",),
        ("pgvector HNSW",), ("nanoflann",), ("SciPy cKDTree",), ("scikit-learn KDTree",), ("mlpack cover tree",)))]
        for n in names]
    print("**Seconds to build**\n")
    markdown(["Rows, k", "covertree", "cube GiST", "PostGIS GiST", "SP-GiST quad", "GiST point", "pgvector HNSW",
              "nanoflann", "SciPy", "scikit-learn", "mlpack"], rows)


def limits_table(folder):
    """Every ratio that has a limit."""
    rows = []
    for name in "peers", "builds", "bulk":
        path = f"{folder}/{name}_limits.csv"
        if os.path.exists(path):
            with open(path) as f:
                rows += [[r["figure"], r["what"], r["ours"], r["against"], r["ratio"], r["wanted"], r["met"]]
                         for r in csv.DictReader(f) if r["wanted"]]
    if rows:
        print("**Limits**\n")
        markdown(["figure", "what", "ours", "against", "ratio", "wanted", "met"], rows)


def builds_tables(folder):
    builds = Figures(folder, "builds")
    rows = [[f, m, short(builds.get(f, "build", m)), short(builds.get(f, "memory of the build", m)),
             short(builds.get(f, "index size", m))]
            for f in builds.figures() if f != "warm-up" and not f.startswith("order") for m in builds.methods(f, "build")]
    if rows:
        print("**Builds**\n")
        markdown(["figure", "method", "seconds", "memory, MB", "index, MB"], rows)
    rows = [[f.partition(", ")[2], m, *(short(builds.get(f, w, m)) for w in (
        "pages", "pages per query", "distances per query"))]
        for f in builds.figures() if f.startswith("order") for m in builds.methods(f, "pages")]
    if rows:
        print("**Order of the rows**\n")
        markdown(["rows", "tree", "pages", "pages a query", "distances a query"], rows)


def study_table(folder):
    """A line for each base; both strategies side by side where they differ."""
    study = Figures(folder, "study")
    whats = ["build, 1 thread", "distances per query", "pages per query", "depth in levels", "mean fan-out",
             "mean radius / base^level", "overlap"]
    rows = []
    for f in study.figures():
        bases = [m for m in study.methods(f, "query") if m.startswith("exact_metric")]
        for exact in bases:
            proxy = exact.replace("exact_metric", "spatial_proxy")
            differ = any(study.get(f, w, exact) != study.get(f, w, proxy) for w in whats[1:])
            rows.append([f, exact.split()[-1], *(short(study.get(f, w, exact)) for w in whats),
                         *(short(study.get(f, w, proxy)) if differ else "" for w in whats if w != whats[2])])
    if rows:
        print("**Study** (on the right: `spatial_proxy`, where it differs)\n")
        markdown(["rows", "base", "build, s", "distances", "pages", "levels", "fan-out", "radius", "overlap",
                  "build, s", "distances", "levels", "fan-out", "radius", "overlap"], rows)


def bulk_table(folder):
    bulk = Figures(folder, "bulk")
    rows = [[f, m, short(bulk.get(f, "queries", m))] for f in bulk.figures() if f != "warm-up"
            for m in bulk.methods(f, "queries")]
    if rows:
        print("**Bulk search**\n")
        markdown(["figure", "method", "queries a second"], rows)


# Plots

OURS = "#1f6f8b"
THEIRS = "#b9c4cc"
FLOOR = "#6b6b6b"


def plot_module():
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "covertree", "svg.fonttype": "none", "font.size": 8,
                                "axes.spines.top": False, "axes.spines.right": False})
    import matplotlib.pyplot as plt
    return plt


def save(plt, figure, folder, name, folder_note=""):
    when = environment(folder)
    figure.text(0.995, 0.004, when + folder_note, ha="right", va="bottom", fontsize=6, color="#555555")
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(f"{folder}/{name}.svg", metadata={"Date": None})
    plt.close(figure)
    # trailing blanks are matplotlib's
    path = f"{folder}/{name}.svg"
    with open(path) as f:
        text = re.sub(r"[ \t]+\n", "\n", f.read())
    with open(path, "w") as f:
        f.write(text)


def environment(folder):
    lines = {}
    path = f"{folder}/environment.txt"
    if os.path.exists(path):
        with open(path) as f:
            lines = dict(line.strip().split(": ", 1) for line in f if ": " in line)
    return f"{lines.get('processor', '')}, {lines.get('date', '')[:10]}"


def bars(axes, names, values, label, log=True):
    colours = [OURS if n.startswith("covertree") or n.startswith("built") else FLOOR if n.startswith("floor")
               else THEIRS for n in names]
    places = range(len(names))[::-1]
    axes.barh(list(places), values, color=colours, height=0.7)
    axes.set_yticks(list(places), names)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 2, max(values) * 4)
    for y, v in zip(places, values):
        axes.text(v * 1.08, y, short(v), va="center", fontsize=7)
    axes.set_xlabel(label)


def plot_peers(plt, folder):
    peers = Figures(folder, "peers")
    names = [n for n in DATA if n in peers.figures()]
    if not names:
        return
    figure, axes = plt.subplots((len(names) + 1) // 2, 2, figsize=(10, 2.6 * ((len(names) + 1) // 2)), squeeze=False)
    for ax, n in zip(axes.flat, names):
        found = []
        for m in peers.methods(n, LATERAL):
            recall = peers.get(n, "recall", m)
            if m.startswith("pgvector HNSW") and m not in (whole_recall(peers, n), "pgvector HNSW ef 40",
                                                           "pgvector HNSW ef 1000"):
                continue
            note = f" (recall {recall:.2f})" if recall is not None and recall < 1 else ""
            found.append((peers.get(n, LATERAL, m), m.replace("sequential scan", "seq. scan") + note))
        found.sort()
        bars(ax, [m for _, m in found], [v for v, _ in found], "µs a query")
        ax.set_title(", k = ".join(data_label(peers, n).rsplit(", ", 1)), fontsize=9, loc="left")
    for ax in axes.flat[len(names):]:
        ax.axis("off")
    save(plt, figure, folder, "peers")


def plot_study(plt, folder):
    study = Figures(folder, "study")
    figures = study.figures()
    if not figures:
        return
    whats = [("distances per query", "distances a query"), ("query", "µs a query"), ("build, 1 thread", "build, s"),
             ("mean fan-out", "mean fan-out"), ("depth in levels", "levels")]
    figure, axes = plt.subplots(len(figures), len(whats), figsize=(12, 2.2 * len(figures)), squeeze=False)
    for row, f in zip(axes, figures):
        for ax, (what, label) in zip(row, whats):
            for strategy, style in ("exact_metric", dict(color=OURS, marker="o")), \
                    ("spatial_proxy", dict(color="#d1773c", marker="s", linestyle="--")):
                points = [(float(m.split()[-1]), study.get(f, what, m)) for m in study.methods(f, what)
                          if m.startswith(strategy)]
                if points:
                    ax.plot(*zip(*points), markersize=3, label=strategy, **style)
            ax.set_title(f"{f}: {label}", fontsize=8, loc="left")
            ax.set_ylim(bottom=0)
    axes[0][0].legend(fontsize=7, frameon=False)
    for ax in axes[-1]:
        ax.set_xlabel("base")
    save(plt, figure, folder, "study")


def plot_simple(plt, folder, name, what, label, log=True):
    """A panel of bars for each figure of a file."""
    data = Figures(folder, name)
    figures = [f for f in data.figures() if f != "warm-up" and data.methods(f, what)]
    if not figures:
        return
    rows = (len(figures) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(10, 2.2 * rows), squeeze=False)
    for ax, f in zip(axes.flat, figures):
        methods = data.methods(f, what)
        bars(ax, methods, [data.get(f, what, m) for m in methods], label, log)
        ax.set_title(f, fontsize=9, loc="left")
    for ax in axes.flat[len(figures):]:
        ax.axis("off")
    save(plt, figure, folder, name)


def main():
    folder, what = sys.argv[1:]
    if what == "plots":
        plt = plot_module()
        plot_peers(plt, folder)
        plot_study(plt, folder)
        plot_simple(plt, folder, "builds", "build", "seconds")
        plot_simple(plt, folder, "bulk", "queries", "queries a second")
    else:
        peers_tables(folder)
        bulk_table(folder)
        builds_tables(folder)
        limits_table(folder)
        study_table(folder)


main()
