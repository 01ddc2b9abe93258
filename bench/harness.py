"""
harness.py
     What the figures in Python share: a server's connection with its clocks,
     results with their limits, and data sets from fixed seeds.

Times are taken in the client around one statement that does the work of many
queries.  Beside the wall clock the processor time of the backend is taken from
/proc: where the two differ, the machine was busy with something else.  All is in
memory and in one thread, so ratios are those of processor times.

IDENTIFICATION
     bench/harness.py
"""
import argparse
import csv
import io
import os
import statistics
import struct
import threading
import time

import numpy as np
import psycopg2


def say(text):
    print(text, flush=True)


def processor_seconds(pid):
    """Time that the main thread of a process was on a processor."""
    with open(f"/proc/{pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1e9


def page_faults(pid):
    with open(f"/proc/{pid}/stat") as f:
        return int(f.read().rpartition(")")[2].split()[7])


class PeakMemory:
    """Largest private memory of a process while the block runs, in bytes."""

    def __init__(self, pid):
        self.pid = pid
        self.peak = 0
        self.stop = threading.Event()

    def sample(self):
        with open(f"/proc/{self.pid}/status") as f:
            for line in f:
                if line.startswith("RssAnon"):
                    self.peak = max(self.peak, int(line.split()[1]) * 1024)

    def __enter__(self):
        self.sample()
        self.base = self.peak

        def run():
            while not self.stop.wait(0.01):
                self.sample()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class Server:
    """One connection to one server."""

    def __init__(self, host, port):
        self.host = host
        self.port = port
        self.db = psycopg2.connect(host=host, port=port, user="postgres", dbname="postgres")
        self.db.autocommit = True
        self.cursor = self.db.cursor()
        self.pid = self.db.get_backend_pid()
        self.run("SET client_min_messages = warning")
        self.run("CREATE EXTENSION IF NOT EXISTS covertree")
        self.run("CREATE EXTENSION IF NOT EXISTS pg_prewarm")

    def run(self, statement):
        self.cursor.execute(statement)

    def rows(self, statement):
        self.cursor.execute(statement)
        return self.cursor.fetchall()

    def value(self, statement):
        return self.rows(statement)[0][0]

    def has(self, extension):
        return bool(self.rows("SELECT FROM pg_available_extensions WHERE name = '%s'" % extension))

    def timed(self, statement, expected=None):
        """Wall and processor seconds of a statement that returns one value."""
        processor = processor_seconds(self.pid)
        began = time.perf_counter()
        value = self.value(statement)
        wall = time.perf_counter() - began
        processor = processor_seconds(self.pid) - processor
        if expected is not None and value != expected:
            raise RuntimeError(f"expected {expected}, got {value}: {statement}")
        return wall, processor

    def timed_command(self, statement):
        """Wall and processor seconds; the latter of the main thread only."""
        processor = processor_seconds(self.pid)
        began = time.perf_counter()
        self.run(statement)
        return time.perf_counter() - began, processor_seconds(self.pid) - processor

    def create_model(self, name, kernel, knots):
        """A residual model of unit lengthscale and variance, in place of any of that name."""
        if self.rows(f"SELECT FROM covertree_model WHERE name = '{name}'"):
            self.run(f"SELECT covertree_drop_model('{name}')")
        self.cursor.execute("SELECT covertree_create_model(%s, kernel => %s, lengthscale => '{1}', "
                            "inducing => %s::double precision[])", (name, kernel, [list(map(float, z)) for z in knots]))

    def load_points(self, table, numbers, points):
        """A table (id integer, r double precision, pt double precision[]), by binary COPY."""
        n, d = points.shape
        record = np.dtype([("fields", ">i2"), ("l1", ">i4"), ("id", ">i4"), ("l2", ">i4"), ("r", ">f8"),
                           ("l3", ">i4"), ("ndim", ">i4"), ("flags", ">i4"), ("type", ">i4"), ("dim", ">i4"),
                           ("bound", ">i4"), ("e", [("len", ">i4"), ("x", ">f8")], (d,))])
        self.run(f"DROP TABLE IF EXISTS {table}")
        self.run(f"CREATE TABLE {table} (id integer NOT NULL, r double precision NOT NULL, "
                 "pt double precision[] NOT NULL)")
        step = max(1, (32 << 20) // record.itemsize)
        for first in range(0, n, step):
            part = points[first:first + step]
            a = np.zeros(len(part), record)
            a["fields"], a["l1"], a["l2"], a["l3"] = 3, 4, 8, 20 + 12 * d
            a["id"] = np.arange(first, first + len(part))
            a["r"] = numbers[first:first + len(part)]
            a["ndim"], a["type"], a["dim"], a["bound"] = 1, 701, d, 1
            a["e"]["len"] = 8
            a["e"]["x"] = part
            data = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0) + a.tobytes() + b"\xff\xff"
            self.cursor.copy_expert(f"COPY {table} FROM STDIN (FORMAT binary)", io.BytesIO(data))

    def prewarm(self, names):
        self.run("SELECT pg_prewarm(oid) FROM pg_class WHERE relkind IN ('r', 'i') AND relname IN (%s)"
                 % ", ".join(f"'{n}'" for n in names))


class Results:
    """Measurements, and lines of a table with ratios and limits; both as CSV."""

    def __init__(self, folder, name):
        self.folder = folder
        self.name = name
        self.measured = {}
        self.order = []
        self.lines = []
        self.wrong = []
        os.makedirs(folder, exist_ok=True)

    def note(self, figure, what, method, value, unit):
        key = (figure, what, method, unit)
        if key not in self.measured:
            self.order.append(key)
        self.measured.setdefault(key, []).append(float(value))

    def median(self, figure, what, method):
        for key in self.order:
            if key[:3] == (figure, what, method):
                return statistics.median(self.measured[key])
        return None

    def methods(self, figure, what):
        return [k[2] for k in self.order if k[:2] == (figure, what)]

    def conclude(self, figure, what, ours, against, ratio, at_least=None, at_most=None, note=""):
        """One line: a ratio that a limit may be set to; None if not measured."""
        if ratio is None:
            return
        met = ""
        if at_least is not None:
            met = "yes" if ratio >= at_least else "NO"
        if at_most is not None:
            met = "yes" if ratio <= at_most else "NO"
        wanted = f">= {at_least}" if at_least is not None else f"<= {at_most}" if at_most is not None else ""
        self.lines.append(dict(figure=figure, what=what, ours=ours, against=against, ratio=round(ratio, 3),
                               wanted=wanted, met=met, note=note))

    def compare(self, figure, what, ours, theirs, faster, **limits):
        """Ratio of two medians: how many times faster we are, or how much we cost."""
        a, b = self.median(figure, what, ours), self.median(figure, what, theirs)
        if a and b:
            self.conclude(figure, what + (", times faster" if faster else ", cost"), ours, theirs,
                          b / a if faster else a / b, **limits)

    def fault(self, text):
        self.wrong.append(text)
        say("WRONG: " + text)

    def write(self):
        with open(f"{self.folder}/{self.name}.csv", "w", newline="") as f:
            w = csv.writer(f, lineterminator="\n")
            w.writerow(["figure", "what", "method", "unit", "n", "median", "min", "max"])
            for key in self.order:
                v = self.measured[key]
                w.writerow([*key, len(v), f"{statistics.median(v):.6g}", f"{min(v):.6g}", f"{max(v):.6g}"])
        with open(f"{self.folder}/{self.name}_limits.csv", "w", newline="") as f:
            w = csv.DictWriter(f, ["figure", "what", "ours", "against", "ratio", "wanted", "met", "note"],
                               lineterminator="\n")
            w.writeheader()
            w.writerows(self.lines)

    def table(self):
        width = max((len(k[2]) for k in self.order), default=0)
        for head in dict.fromkeys((k[0], k[1], k[3]) for k in self.order):
            say(f"\n{head[0]}: {head[1]}, {head[2]}")
            for key in self.order:
                if (key[0], key[1], key[3]) == head:
                    v = self.measured[key]
                    say(f"  {key[2]:{width}}  {statistics.median(v):12.3f}   ({min(v):.3f} .. {max(v):.3f})")
        if self.lines:
            say("\nratios")
            columns = [(line["figure"], line["what"], f"{line['ours']} : {line['against']}", f"{line['ratio']:.2f}",
                        line["wanted"], line["met"], line["note"]) for line in self.lines]
            widths = [max(len(c[i]) for c in columns) for i in range(7)]
            for c in columns:
                say("  " + "  ".join(f"{c[i]:{widths[i]}}" for i in range(7)).rstrip())

    def finish(self, limits_count):
        """Print and write everything; the exit status of the program."""
        self.table()
        self.write()
        missed = [line for line in self.lines if line["met"] == "NO"]
        if self.wrong:
            say("\nwrong answers:\n" + "\n".join(self.wrong))
            return 1
        return 1 if missed and limits_count else 0


class DataSet:
    """Rows in random order, fresh queries of the same distribution, and k."""

    def __init__(self, name, rows, probes, k, point=False, narrow=False):
        self.name = name
        self.rows = rows
        self.probes = probes
        self.k = k
        self.point = point          # the column is a point
        self.narrow = narrow        # coordinates are exact in float4
        self.n, self.d = rows.shape


def make_data(name, divisor=1, nprobes=1024):
    """The data sets of the figures; always the same bits."""
    rng = np.random.default_rng(20251126)

    def both(n, d, draw):
        return draw(n, d), draw(nprobes, d)

    def narrow(pair):
        return tuple(np.float64(np.float32(a)) for a in pair)

    if name == "gauss3":
        return DataSet(name, *both(32768 // divisor, 3, lambda n, d: rng.standard_normal((n, d))), 50)
    if name == "uniform3":
        return DataSet(name, *both(1000000 // divisor, 3, lambda n, d: rng.random((n, d))), 10)
    if name == "uniform2":
        return DataSet(name, *both(1000000 // divisor, 2, lambda n, d: rng.random((n, d))), 10, point=True)
    if name == "cluster8":
        centres = rng.random((50, 8))
        return DataSet(name, *both(200000 // divisor, 8, lambda n, d: centres[rng.integers(0, 50, n)] +
                                   0.1 * rng.standard_normal((n, d))), 10)
    if name == "latent64":
        # six normal factors, mixed, and noise of a hundredth of a factor
        mix = rng.standard_normal((6, 64))
        return DataSet(name, *narrow(both(100000 // divisor, 64, lambda n, d: rng.standard_normal((n, 6)) @ mix +
                                          0.01 * rng.standard_normal((n, d)))), 10, narrow=True)
    if name == "iid64":
        return DataSet(name, *narrow(both(100000 // divisor, 64, lambda n, d: rng.standard_normal((n, d)))), 10,
                       narrow=True)
    if name == "iid1536":
        return DataSet(name, *narrow(both(20000 // divisor, 1536, lambda n, d: rng.standard_normal((n, d)))), 10,
                       narrow=True)
    raise SystemExit(f"no data set {name}")


def gold(n, nprobes):
    """Rows, inducing points and numbers of the rows that are queries: the gold configuration."""
    rows = np.random.default_rng(42).normal(size=(n, 3))
    knots = rows[np.sort(np.random.default_rng(0).choice(n, min(512, n), replace=False))]
    return rows, knots, np.random.default_rng(43).integers(0, n, nprobes)


def address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def arguments(add=None):
    """The command line that run.sh gives to every figure; add(parser) knows more."""
    p = argparse.ArgumentParser()
    p.add_argument("--server", type=address, required=True)
    p.add_argument("--drivers", help="folder of the compiled peers")
    p.add_argument("--scratch", help="folder for passing files")
    p.add_argument("--out", required=True)
    p.add_argument("--divisor", type=int, default=1)
    p.add_argument("--quick", action="store_true")
    p.add_argument("--large", action="store_true")
    p.add_argument("--reps", type=int, default=5)
    p.add_argument("--options", default="")
    p.add_argument("names", nargs="*")
    if add:
        add(p)
    return p.parse_args()


DATA_SETS = ["gauss3", "uniform3", "uniform2", "cluster8", "latent64", "iid64", "iid1536"]
