#!/usr/bin/env python3
"""
builds.py
     How long builds take, in how much memory, and whether the order of the
     rows matters.

     builds.py --server HOST:PORT --drivers FOLDER --scratch FOLDER --out FOLDER
               [--divisor=N] [--large] [...] [part ...]

     gauss3      32,768 x 3-D: in less than 0.1 s
     uniform3    1,000,000 x 3-D: against PostGIS GiST and cube; two threads against one
     memory      the same (--large: 10,000,000) with maintenance_work_mem 256MB and 4GB;
                 the smaller one is a tenth of it where the rows are
     residual    32,768 rows, 512 inducing points: against the feature matrix alone
     order       pages and distances of trees built, and grown, from rows in various orders

IDENTIFICATION
     bench/builds.py
"""
import os
import subprocess

import numpy as np

from harness import PeakMemory, Results, Server, arguments, gold, make_data, say

PARTS = ["gauss3", "uniform3", "memory", "residual", "order"]


class Builds:
    def __init__(self, args):
        self.args = args
        self.server = Server(*args.server)
        self.results = Results(args.out, "builds")
        self.memory_limit = 2048
        for extension in "cube", "postgis":
            if self.server.has(extension):
                self.server.run(f"CREATE EXTENSION IF NOT EXISTS {extension}")

    def build(self, figure, method, table, definition, workers=2, what="build"):
        """One index, noted with its size and memory, and dropped by the next."""
        self.server.run("DROP INDEX IF EXISTS built")
        # leaves the log old files to write to, as a server in use has them: new ones are filled with zeroes first
        self.server.run("CHECKPOINT")
        # a fresh backend, whose memory is not that of the build before
        server = Server(self.server.host, self.server.port)
        server.run(f"SET max_parallel_maintenance_workers = {workers}")
        server.run(f"SET maintenance_work_mem = '{self.memory_limit}MB'")
        with PeakMemory(server.pid) as memory:
            wall, processor = server.timed_command(f"CREATE INDEX built ON {table} {definition}")
        # of one thread the processor time, which a busy machine leaves alone
        alone = workers == 0 or not definition.startswith("USING covertree")
        self.results.note(figure, what, method, processor if alone else wall, "s")
        self.results.note(figure, what + ", elapsed", method, wall, "s")
        self.results.note(figure, "memory of the build", method, (memory.peak - memory.base) / 2**20, "MB")
        self.results.note(figure, "index size", method, server.value("SELECT pg_relation_size('built')") / 2**20, "MB")
        server.db.close()

    def load(self, rows):
        self.server.load_points("data", [0.0] * len(rows), rows)
        self.server.run("VACUUM (FREEZE, ANALYZE) data")
        self.server.prewarm(["data"])

    def compare(self, figure, peers):
        """Ours with one thread and two, and the peers, by turns."""
        ours = "USING covertree (pt)" + self.args.options
        tables = {"cube GiST": ("data_cube", "cube(pt) AS pt", "USING gist (pt)"),
                  "PostGIS GiST nd": ("data_postgis", "ST_MakePoint(pt[1], pt[2], pt[3]) AS pt",
                                      "USING gist (pt gist_geometry_ops_nd)"),
                  "PostGIS GiST 2d": ("data_postgis", "ST_MakePoint(pt[1], pt[2], pt[3]) AS pt", "USING gist (pt)")}
        tables = {name: t for name, t in tables.items() if name in peers and
                  (name[:4] == "cube" or self.server.has("postgis"))}
        for table, column in {t[:2] for t in tables.values()}:
            self.server.run(f"DROP TABLE IF EXISTS {table}")
            self.server.run(f"CREATE TABLE {table} AS SELECT id, {column} FROM data")
            self.server.run(f"VACUUM (FREEZE, ANALYZE) {table}")
            self.server.prewarm([table])
        for i in range(self.args.reps + 1):
            # the leader and one worker are two processes; both are first in their turn
            for workers in (1, 0) if i % 2 else (0, 1):
                name = "covertree, %s" % ("2 threads" if workers else "1 thread")
                self.build(figure if i else "warm-up", name, "data", ours, workers)
            for name, (table, _, definition) in tables.items():
                if i == 1 or i and name != "cube GiST":
                    self.build(figure, name, table, definition)
        for table in {t[0] for t in tables.values()}:
            self.server.run(f"DROP TABLE {table}")
        r = self.results
        two, one = "covertree, 2 threads", "covertree, 1 thread"
        r.compare(figure, "build", two, "PostGIS GiST nd", False, at_most=1 if figure == "uniform3" else None)
        r.compare(figure, "build", two, "PostGIS GiST 2d", False)
        r.compare(figure, "build", two, "cube GiST", True)
        r.compare(figure, "build", two, one, True, at_least=1.6 if figure == "uniform3" else None)

    def gauss3(self):
        self.load(make_data("gauss3", self.args.divisor).rows)
        self.compare("gauss3", ["cube GiST", "PostGIS GiST nd"])
        self.results.conclude("gauss3", "build, s", "covertree, 2 threads", "the limit",
                              self.results.median("gauss3", "build", "covertree, 2 threads"), at_most=0.1)

    def uniform3(self):
        self.load(make_data("uniform3", self.args.divisor).rows)
        self.compare("uniform3", ["cube GiST", "PostGIS GiST nd", "PostGIS GiST 2d"])

    def memory(self):
        """Beyond maintenance_work_mem, and within."""
        n = (10000000 if self.args.large else 1000000) // self.args.divisor
        small = 256 if self.args.large and self.args.divisor == 1 else max(4, n * 26 // 10**6)
        rng = np.random.default_rng(7)
        self.load(rng.random((n, 3)))
        for i in range(2 if self.args.large else self.args.reps):
            for limit in 4096, small:
                self.memory_limit = limit
                self.build("memory", f"{limit} MB", "data", "USING covertree (pt)" + self.args.options)
                self.note_search("memory", f"{limit} MB", 3, np.random.default_rng(8).random((256, 3)))
        self.memory_limit = 2048
        r = self.results
        r.compare("memory", "build", f"{small} MB", "4096 MB", False, at_most=4)
        r.conclude("memory", "memory of the build", f"{small} MB", "maintenance_work_mem",
                   r.median("memory", "memory of the build", f"{small} MB") / small, at_most=1)

    def residual(self):
        """Gold configuration; the features by numpy and OpenBLAS, on the same threads."""
        rows, knots, _ = gold((131072 if self.args.large else 32768) // self.args.divisor, 1)
        self.load(rows)
        # few pages, which the server would not give a second thread for
        self.server.run("ALTER TABLE data SET (parallel_workers = 1)")
        rows.tofile(f"{self.args.scratch}/rows")
        knots.tofile(f"{self.args.scratch}/knots")
        for kernel in "rbf", "matern52":
            self.server.create_model("builds", kernel, knots)
            figure = "residual " + kernel
            definition = "USING covertree (pt float8_residual_ops (model = builds))"
            for i in range(self.args.reps):
                for threads in (2, 1) if i % 2 else (1, 2):
                    suffix = ", %s" % ("2 threads" if threads == 2 else "1 thread")
                    self.build(figure, "exact_metric" + suffix, "data", definition, 2 * (threads - 1))
                    self.build(figure, "spatial_proxy" + suffix, "data",
                               definition + " WITH (strategy = spatial_proxy)", 2 * (threads - 1))
                    done = subprocess.run([f"{self.args.drivers}/residual", kernel, f"{self.args.scratch}/rows",
                                           str(len(rows)), f"{self.args.scratch}/knots", str(len(knots))],
                                          env={**os.environ, "OMP_NUM_THREADS": str(threads)},
                                          capture_output=True, text=True, check=True)
                    self.results.note(figure, "build", "feature matrix by OpenBLAS" + suffix, done.stdout.split()[0],
                                      "s")
            for suffix in ", 2 threads", ", 1 thread":
                self.results.compare(figure, "build", "exact_metric" + suffix, "feature matrix by OpenBLAS" + suffix,
                                     False, at_most=3)
            self.results.compare(figure, "build", "exact_metric, 2 threads", "exact_metric, 1 thread", True)
            self.results.compare(figure, "build", "spatial_proxy, 1 thread", "exact_metric, 1 thread", False,
                                 at_most=0.333)
            self.server.run("DROP INDEX built")

    # Order of the rows

    @staticmethod
    def orders(rows):
        """Permutations of the rows."""
        n, d = rows.shape
        rng = np.random.default_rng(3)
        sample = rows[rng.choice(n, 64, replace=False)]
        nearest = np.zeros(n, int)
        best = np.full(n, np.inf)
        for i, centre in enumerate(sample):
            square = ((rows - centre) ** 2).sum(axis=1)
            closer = square < best
            nearest[closer], best[closer] = i, square[closer]
        order = np.argsort(rows[:, 0], kind="stable")
        return {"shuffled": rng.permutation(n), "sorted": order, "reversed": order[::-1],
                "clustered": np.argsort(nearest, kind="stable")}

    def note_search(self, figure, method, d, probes, k=10, operand="pt"):
        server = self.server
        server.run("DROP TABLE IF EXISTS probe_point, probe")
        server.load_points("probe_point", [0.0] * len(probes), probes)
        server.run(f"CREATE TABLE probe AS SELECT id, {operand} AS pt FROM probe_point ORDER BY id")
        server.run("SET enable_seqscan = off; SET enable_sort = off")
        server.prewarm(["data", "built"])
        statement = ("SELECT count(n.id) FROM probe q CROSS JOIN LATERAL "
                     f"(SELECT p.id FROM data p ORDER BY p.pt <~> q.pt LIMIT {k}) n")
        counts = "SELECT pages_read, distances FROM covertree_scan_stats()"
        server.timed(statement, len(probes) * k)
        before = server.rows(counts)[0]
        server.timed(statement, len(probes) * k)
        after = server.rows(counts)[0]
        for what, a, b in zip(("pages per query", "distances per query"), before, after):
            self.results.note(figure, what, method, (b - a) / len(probes), what.split()[0])
        server.run("RESET enable_seqscan; RESET enable_sort")

    def order(self):
        cases = [("order, uniform3", make_data("uniform3", self.args.divisor * 5, 256), "pt", None),
                 ("order, latent64", make_data("latent64", self.args.divisor * 2, 256), "pt", None)]
        rows, knots, probes = gold(32768 // self.args.divisor, 128)
        for figure, data, column, _ in cases:
            self.order_of(figure, data.rows, data.probes, column, 10, "pt")
        self.server.create_model("builds", "rbf", knots)
        self.order_of("order, residual rbf", rows, rows[probes], "pt float8_residual_ops (model = builds)", 50,
                      "residual_query('builds', pt)", grown=False)
        for figure in ("order, uniform3", "order, latent64", "order, residual rbf"):
            for what in "pages per query", "distances per query":
                values = [self.results.median(figure, what, f"built, {o}")
                          for o in ("shuffled", "sorted", "reversed", "clustered")]
                if all(values):
                    self.results.conclude(figure, what, "worst order", "best order", max(values) / min(values),
                                          at_most=1.2)

    def order_of(self, figure, rows, probes, column, k, operand, grown=True):
        definition = f"USING covertree ({column})" + self.args.options
        for name, permutation in self.orders(rows).items():
            self.load(rows[permutation])
            self.build(figure, f"built, {name}", "data", definition)
            self.results.note(figure, "pages", f"built, {name}",
                              self.server.value("SELECT pages FROM covertree_stats('built')"), "pages")
            self.note_search(figure, f"built, {name}", rows.shape[1], probes, k, operand)
            if grown:
                self.grow(figure, f"grown, {name}", definition, probes, k, operand)

    def grow(self, figure, method, definition, probes, k, operand):
        """The same rows inserted one by one in this order, a fifth of them."""
        server = self.server
        server.run("DROP INDEX built")
        server.run("CREATE TEMP TABLE waiting AS SELECT * FROM data WHERE id % 5 = 0")
        server.run("TRUNCATE data")
        server.run(f"CREATE INDEX built ON data {definition}")
        wall, _ = server.timed_command("INSERT INTO data SELECT * FROM waiting ORDER BY id")
        rows = server.value("SELECT count(*) FROM waiting")
        server.run("DROP TABLE waiting")
        server.run("VACUUM (FREEZE, ANALYZE) data")
        self.results.note(figure, "insert", method, 1e6 * wall / rows, "us a row")
        self.results.note(figure, "pages", method, server.value("SELECT pages FROM covertree_stats('built')"), "pages")
        self.note_search(figure, method, None, probes, k, operand)


def main():
    args = arguments()
    builds = Builds(args)
    for part in args.names or PARTS:
        say(part)
        getattr(builds, part)()
        builds.results.write()
    builds.server.run("DROP TABLE IF EXISTS data, probe, probe_point")
    raise SystemExit(builds.results.finish(not args.quick))


main()
