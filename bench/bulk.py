#!/usr/bin/env python3
"""
bulk.py
     Many queries at once, in SQL, against libraries in memory.

     bulk.py --server HOST:PORT --drivers FOLDER --scratch FOLDER --out FOLDER
             [--divisor=N] [--large] [...] [part ...]

     euclid      covertree_knn() on 32,768 x 3-D, 1,024 queries, k = 50
     graph       covertree_knn_graph() on 1,000,000 x 3-D, k = 10: the ten nearest
                 others of each row
     latent64, iid64 covertree_knn() on 100,000 x 64-D, six hidden factors or none,
                 k = 10, against blocked brute force by OpenBLAS (sgemm)
     rbf, matern52   covertree_knn() in the residual metric, gold configuration

The results of our functions are counted in the server and not sent to
the client; libraries leave theirs in arrays.  Both run on all cores unless the
name says one thread; rates are then of processor time.

IDENTIFICATION
     bench/bulk.py
"""
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from harness import Results, Server, arguments, gold, make_data, say

PARTS = ["euclid", "graph", "latent64", "iid64", "rbf", "matern52"]
THREADS = len(os.sched_getaffinity(0))


# Of each query the k nearest rows, in one thread: products of blocks, of which
# those are kept that may be among the k nearest.
BRUTE_FORCE = """
import sys, time
import numpy as np
rows, queries = np.load(sys.argv[1]), np.load(sys.argv[2])
k = int(sys.argv[3])
began = time.thread_time()
half = (rows * rows).sum(axis=1) / 2
best = np.full((len(queries), k), -np.inf, np.float32)
ids = np.zeros((len(queries), k), np.int64)
for first in range(0, len(rows), 4096):
    score = queries @ rows[first:first + 4096].T - half[first:first + 4096]
    for q, i in enumerate(score > best[:, :1]):
        near = np.flatnonzero(i)
        if len(near):
            all_scores = np.concatenate((best[q], score[q, near]))
            order = np.argsort(-all_scores)[k - 1::-1]
            best[q], ids[q] = all_scores[order], np.concatenate((ids[q], near + first))[order]
print(time.thread_time() - began)
np.save(sys.argv[4], ids)
"""


class Bulk:
    def __init__(self, args):
        self.args = args
        self.server = Server(*args.server)
        self.results = Results(args.out, "bulk")

    def threads(self, n):
        self.server.run(f"SET max_parallel_workers_per_gather = {n - 1}")

    def load(self, rows, column):
        self.server.load_points("data", [0.0] * len(rows), rows)
        self.server.run("VACUUM (FREEZE, ANALYZE) data")
        self.server.run("SET max_parallel_maintenance_workers = 2; SET enable_seqscan = off; SET enable_sort = off")
        self.server.run(f"CREATE INDEX data_pt ON data USING covertree ({column}){self.args.options}")
        self.server.prewarm(["data", "data_pt"])

    def queries(self, points):
        """The queries as one array, in a table, so that sending them is not timed."""
        self.server.load_points("probe", [0.0] * len(points), points)
        self.server.run("DROP TABLE IF EXISTS batch")
        self.server.run("CREATE TABLE batch AS SELECT array_agg(pt ORDER BY id) AS queries FROM probe")
        self.server.run("VACUUM ANALYZE probe, batch")

    def time(self, figure, method, statement, count, expected):
        """Elapsed time; of one thread its processor time, which a busy machine leaves alone.

        Mean of as many searches in a row as take half a second, for peers run that long at a stretch.
        """
        alone = method.endswith(("one thread", "LATERAL"))
        self.server.timed(statement, expected)  # warms up
        times = []
        while not times or sum(wall for wall, _ in times) < 0.5:
            times.append(self.server.timed(statement, expected))
        seconds = sum(processor if alone else wall for wall, processor in times)
        self.results.note(figure, "queries", method, count * len(times) / seconds, "per second")

    def rate(self, figure, method):
        return self.results.median(figure, "queries", method)

    def check_against_lateral(self, figure, k, operand, step):
        """Rows, order and bits of the bulk search are those of single searches."""
        wrong = self.server.value(f"""
            WITH bulk AS (SELECT b.query, b.rank, b.tid, b.distance
                          FROM batch, covertree_knn('data_pt', queries, {k}) b),
                 first AS (SELECT min(query) AS query FROM bulk)
            SELECT count(*)
            FROM (SELECT * FROM probe WHERE id % {step} = 0) q CROSS JOIN first CROSS JOIN LATERAL
                 (SELECT p.ctid, p.pt <~> {operand} AS d, row_number() OVER () AS rank
                  FROM (SELECT ctid, pt FROM data ORDER BY pt <~> {operand} LIMIT {k}) p) n
                 LEFT JOIN bulk b ON b.query = q.id + first.query AND b.rank = n.rank
            WHERE b.tid IS DISTINCT FROM n.ctid OR float8send(b.distance) IS DISTINCT FROM float8send(n.d)""")
        if wrong:
            self.results.fault(f"{figure}: {wrong} rows differ from LATERAL")
        self.results.note(figure, "rows that differ from LATERAL", "covertree_knn", wrong, "rows")

    def lateral(self, k, operand):
        return (f"SELECT count(n.id) FROM probe q CROSS JOIN LATERAL "
                f"(SELECT p.id FROM data p ORDER BY p.pt <~> {operand} LIMIT {k}) n")

    def libraries(self, figure, rows, points, k):
        from scipy.spatial import cKDTree
        from sklearn.neighbors import KDTree

        scipy, sklearn = cKDTree(rows), KDTree(rows)
        parts = np.array_split(points, 8 * THREADS)

        def all_parts(threads):
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda p: sklearn.query(p, k), parts))

        def timed(method, work):
            clock = time.thread_time if method.endswith("one thread") else time.perf_counter
            work()
            began = clock()
            work()
            self.results.note(figure, "queries", method, len(points) / (clock() - began), "per second")

        def run():
            timed("SciPy cKDTree", lambda: scipy.query(points, k, workers=THREADS))
            timed("scikit-learn KDTree", lambda: all_parts(THREADS))
            timed("SciPy cKDTree, one thread", lambda: scipy.query(points, k))
            timed("scikit-learn KDTree, one thread", lambda: sklearn.query(points, k))
        return run

    def euclid(self):
        data = make_data("gauss3", self.args.divisor)
        self.load(data.rows, "pt")
        self.queries(data.probes)
        statement = f"SELECT count(*) FROM batch, covertree_knn('data_pt', queries, {data.k})"
        library = self.libraries("euclid", data.rows, data.probes, data.k)
        n = len(data.probes)
        for i in range(self.args.reps + 1):
            figure = "euclid" if i else "warm-up"
            for threads, suffix in (THREADS, ""), (1, ", one thread"):
                self.threads(threads)
                self.time(figure, "covertree_knn" + suffix, statement, n, n * data.k)
            self.threads(1)
            self.time(figure, "covertree, LATERAL", self.lateral(data.k, "q.pt"), n, n * data.k)
            library()
        self.check_against_lateral("euclid", data.k, "q.pt", 1)
        r = self.results
        r.conclude("euclid", "queries/s, thousands", "covertree_knn, one thread", "the limit",
                   self.rate("euclid", "covertree_knn, one thread") / 1000, at_least=100)
        for peer in "covertree, LATERAL", "SciPy cKDTree", "scikit-learn KDTree":
            r.conclude("euclid", "times as many", "covertree_knn", peer,
                       self.rate("euclid", "covertree_knn") / self.rate("euclid", peer))

    def graph(self):
        data = make_data("uniform3", self.args.divisor)
        k = 10
        self.load(data.rows, "pt")
        statement = f"SELECT count(*) FROM covertree_knn_graph('data_pt', {k})"
        # a row is its own nearest, so the libraries look for one more
        library = self.libraries("graph", data.rows, data.rows, k + 1)
        for _ in range(min(self.args.reps, 3)):
            for threads, suffix in (THREADS, ""), (1, ", one thread"):
                self.threads(threads)
                self.time("graph", "covertree_knn_graph" + suffix, statement, data.n, data.n * k)
            library()
        self.threads(THREADS)
        wrong = self.server.value(f"""
            WITH graph AS (SELECT g.tid, g.rank, g.neighbor, g.distance
                           FROM covertree_knn_graph('data_pt', {k}) g)
            SELECT count(*)
            FROM (SELECT ctid, pt FROM data WHERE id % {max(1, data.n // 500)} = 0) q CROSS JOIN LATERAL
                 (SELECT n.ctid, n.pt <~> q.pt AS d, row_number() OVER () AS rank
                  FROM (SELECT ctid, pt FROM data p WHERE p.ctid <> q.ctid
                        ORDER BY p.pt <~> q.pt LIMIT {k}) n) n
                 LEFT JOIN graph g ON g.tid = q.ctid AND g.rank = n.rank
            WHERE g.neighbor IS DISTINCT FROM n.ctid OR float8send(g.distance) IS DISTINCT FROM float8send(n.d)""")
        if wrong:
            self.results.fault(f"graph: {wrong} rows differ from LATERAL")
        self.results.note("graph", "rows that differ from LATERAL", "covertree_knn_graph", wrong, "rows")
        for peer, limit in ("scikit-learn KDTree", 2), ("SciPy cKDTree", None):
            for suffix in "", ", one thread":
                self.results.conclude("graph", "times as many", "covertree_knn_graph" + suffix, peer + suffix,
                                      self.rate("graph", "covertree_knn_graph" + suffix) /
                                      self.rate("graph", peer + suffix), at_least=limit)

    def wide(self, name):
        """Points of many dimensions; their coordinates are exact in float."""
        data = make_data(name, self.args.divisor)
        n = len(data.probes)
        self.load(data.rows, "pt")
        self.queries(data.probes)
        files = [f"{self.args.scratch}/wide.{f}.npy" for f in ("rows", "queries", "ids")]
        np.save(files[0], np.float32(data.rows))
        np.save(files[1], np.float32(data.probes))
        statement = f"SELECT count(*) FROM batch, covertree_knn('data_pt', queries, {data.k})"
        self.server.run("SET work_mem = '64MB'")
        for _ in range(min(self.args.reps, 3)):
            for threads, suffix in (THREADS, ""), (1, ", one thread"):
                self.threads(threads)
                self.time(name, "covertree_knn" + suffix, statement, n, n * data.k)
            self.time(name, "covertree, LATERAL", self.lateral(data.k, "q.pt"), n, n * data.k)
            done = subprocess.run([sys.executable, "-c", BRUTE_FORCE, *files[:2], str(data.k), files[2]],
                                  env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, capture_output=True, text=True,
                                  check=True)
            self.results.note(name, "queries", "sgemm, one thread", n / float(done.stdout), "per second")
        self.server.run("RESET work_mem")
        self.check_against_lateral(name, data.k, "q.pt", 4)
        for suffix, peer in (", one thread", "covertree, LATERAL"), ("", "covertree, LATERAL"), \
                (", one thread", "sgemm, one thread"):
            self.results.conclude(name, "times as many", "covertree_knn" + suffix, peer,
                                  self.rate(name, "covertree_knn" + suffix) / self.rate(name, peer))
        self.recall(name, data, files[2])

    def recall(self, name, data, ids):
        """Of the rows that brute force finds in float, how many are ours?"""
        found = self.server.rows("SELECT b.query, d.id FROM batch, "
                                 f"covertree_knn('data_pt', queries, {data.k}) b JOIN data d ON d.ctid = b.tid "
                                 "ORDER BY b.query, b.rank")
        ours = np.array([f[1] for f in found]).reshape(-1, data.k)
        recall = np.mean([len(np.intersect1d(a, b)) / data.k for a, b in zip(ours, np.load(ids))])
        self.results.note(name, "recall against brute force in float", "covertree_knn", recall, "share")
        if recall < 0.999:
            self.results.fault(f"{name}: recall {recall}")

    def residual(self, kernel):
        n = (131072 if self.args.large else 32768) // self.args.divisor
        k = 50
        rows, knots, probes = gold(n, 1024)
        self.server.create_model("bulk", kernel, knots)
        self.load(rows, "pt float8_residual_ops (model = bulk)")
        self.queries(rows[probes])
        files = [f"{self.args.scratch}/bulk.{f}" for f in ("rows", "knots", "queries", "ids", "distances")]
        rows.tofile(files[0])
        knots.tofile(files[1])
        probes.astype(np.int32).tofile(files[2])
        statement = f"SELECT count(*) FROM batch, covertree_knn('data_pt', queries, {k})"
        # less than half of what brute force has its features in
        self.server.run("SET work_mem = '%s'" % ("256MB" if self.args.large else "64MB"))
        for i in range(min(self.args.reps, 3)):
            for threads, suffix in (THREADS, ""), (1, ", one thread"):
                self.threads(threads)
                self.time(kernel, "covertree_knn" + suffix, statement, len(probes), len(probes) * k)
                done = subprocess.run([f"{self.args.drivers}/residual", kernel, files[0], str(n), files[1],
                                       str(len(knots)), files[2], str(len(probes)), str(k), *files[3:]],
                                      env={**os.environ, "OMP_NUM_THREADS": str(threads)}, capture_output=True,
                                      text=True, check=True)
                self.results.note(kernel, "queries", "blocked brute force" + suffix,
                                  1e6 / float(done.stdout.split()[1]), "per second")
        self.compare_with_brute_force(kernel, k, files)
        self.check_against_lateral(kernel, k, "residual_query('bulk', q.pt)", 32)
        limit = {("rbf", False): 4, ("rbf", True): 10, ("matern52", False): 2, ("matern52", True): 5}
        for suffix in "", ", one thread":
            self.results.conclude(kernel, "times as many", "covertree_knn" + suffix, "blocked brute force" + suffix,
                                  self.rate(kernel, "covertree_knn" + suffix) /
                                  self.rate(kernel, "blocked brute force" + suffix),
                                  at_least=limit[kernel, self.args.large], note=f"{n} rows")

    def compare_with_brute_force(self, kernel, k, files):
        """Recall, and the largest difference of correlations of the same rank."""
        self.server.run("SET enable_seqscan = on")
        found = self.server.rows("SELECT b.query, d.id, b.distance FROM batch, "
                                 f"covertree_knn('data_pt', queries, {k}) b JOIN data d ON d.ctid = b.tid "
                                 "ORDER BY b.query, b.rank")
        ids = np.array([f[1] for f in found]).reshape(-1, k)
        distances = np.array([f[2] for f in found]).reshape(-1, k)
        true_ids = np.fromfile(files[3], np.int32).reshape(-1, k)
        true_distances = np.fromfile(files[4]).reshape(-1, k)
        recall = np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(ids, true_ids)])
        difference = np.abs(distances ** 2 - true_distances ** 2).max()
        self.results.note(kernel, "recall against brute force", "covertree_knn", recall, "share")
        self.results.note(kernel, "largest difference of correlations", "covertree_knn", difference, "rho")
        if recall < 0.9999 or difference > 1e-6:
            self.results.fault(f"{kernel}: recall {recall}, correlations within {difference}")


def main():
    args = arguments()
    bulk = Bulk(args)
    if not bulk.server.rows("SELECT FROM pg_proc WHERE proname = 'covertree_knn'"):
        say("this version has no bulk search")
        raise SystemExit(0)
    for part in args.names or PARTS:
        say(part)
        if part in ("rbf", "matern52"):
            bulk.residual(part)
        elif part in ("latent64", "iid64"):
            bulk.wide(part)
        else:
            getattr(bulk, part)()
        bulk.results.write()
        bulk.server.run("DROP TABLE IF EXISTS data, probe, batch")
    raise SystemExit(bulk.results.finish(not args.quick))


main()
