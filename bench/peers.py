#!/usr/bin/env python3
"""
peers.py
     covertree beside every peer: the same points, by turns, in one run.

     peers.py --server HOST:PORT [--vector-server HOST:PORT] [--trixie FOLDER]
              --drivers FOLDER --scratch FOLDER --out FOLDER
              [--divisor=N] [--quick] [--reps=N] [--with=OPTIONS] [data set ...]

Peers inside PostgreSQL answer 1,024 queries by one statement with LATERAL (fewer where
that would take long), and one by one by prepared statements of pgbench.
Each has a table of its own with just its column, in the same order of rows.
Peers in memory answer the same queries in one thread, from their own arrays.
Times of pgbench are what a client waits for; all others are processor times.
Answers are compared with a brute force in double precision.

IDENTIFICATION
     bench/peers.py
"""
import os
import re
import subprocess
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from harness import DATA_SETS, Results, Server, address, arguments, make_data, page_faults, say

HNSW_EFFORTS = [40, 80, 160, 200, 320, 640, 1000]


class Method:
    """
    A way to find neighbours in a server: its table and index, and the order
    that it is asked for.  before and after are statements around a search.
    """

    def __init__(self, name, table, column, definition, order, before=(), exact=False, build=None):
        self.name = name
        self.table = table
        self.column = column            # select list of the table, from base
        self.definition = definition    # of the index, or None
        self.order = order
        self.before = before
        self.exact = exact              # ours: anything but the truth is an error
        self.build = build              # name of the index, where methods share it
        self.queries = 0
        self.recall = None

    def nearest(self, k):
        return f"SELECT p.id FROM {self.table} p {self.order} LIMIT {k}"


def array_methods(data, options, suffix=""):
    """Ours: both element types where coordinates fit both."""
    order = "ORDER BY p.pt <~> q.pt"
    if data.point:
        return [Method("covertree" + suffix, "d_point", "point(pt[1], pt[2]) AS pt",
                       "USING covertree (pt)" + options, "ORDER BY p.pt <~> q.p", exact=True)]
    methods = []
    if data.narrow:
        methods.append(Method("covertree real[]" + suffix, "d_real", "pt::real[] AS pt",
                              "USING covertree (pt)" + options, order, exact=True))
    if data.d * 8 < 7000:
        methods.append(Method("covertree" + suffix, "d_double", "pt",
                              "USING covertree (pt)" + options, order, exact=True))
    return methods


def floor_of(ours, suffix=""):
    return Method("floor" + suffix, ours.table, None, "(r)", "WHERE p.r >= q.r ORDER BY p.r")


def methods_here(data, server, options):
    methods = array_methods(data, options)
    if data.d <= 100:
        methods.append(Method("cube GiST", "d_cube", "cube(pt) AS pt", "USING gist (pt)", "ORDER BY p.pt <-> q.c"))
    if data.d in (2, 3) and server.has("postgis"):
        args = ", ".join(f"pt[{i + 1}]" for i in range(data.d))
        methods.append(Method("PostGIS GiST", "d_geometry", f"ST_MakePoint({args}) AS pt",
                              "USING gist (pt%s)" % (" gist_geometry_ops_nd" if data.d == 3 else ""),
                              "ORDER BY p.pt %s q.g" % ("<<->>" if data.d == 3 else "<->")))
    if data.point:
        methods.append(Method("SP-GiST quad", "d_quad", "point(pt[1], pt[2]) AS pt",
                              "USING spgist (pt quad_point_ops)", "ORDER BY p.pt <-> q.p"))
        methods.append(Method("GiST point", "d_gist", "point(pt[1], pt[2]) AS pt",
                              "USING gist (pt)", "ORDER BY p.pt <-> q.p"))
    methods.append(floor_of(methods[0]))
    return methods


def methods_there(data, options):
    """In the server that has pgvector."""
    methods = array_methods(data, options, ", PostgreSQL 17")
    vector = f"pt::vector({data.d}) AS pt"
    for effort in HNSW_EFFORTS:
        methods.append(Method(f"pgvector HNSW ef {effort}", "d_vector", vector, "USING hnsw (pt vector_l2_ops)",
                              "ORDER BY p.pt <-> q.v", [f"SET hnsw.ef_search = {effort}"], build="pgvector HNSW"))
    methods.append(Method("pgvector sequential scan", "d_plain", vector, None, "ORDER BY p.pt <-> q.v"))
    methods.append(floor_of(methods[0], ", PostgreSQL 17"))
    return methods


class Bench:
    def __init__(self, args):
        self.args = args
        self.results = Results(args.out, "peers")
        self.servers = {"here": Server(*args.server)}
        if args.vector_server:
            self.servers["there"] = Server(*args.vector_server)
        for server in self.servers.values():
            wanted = ["cube", "postgis", "vector"]
            for extension in wanted:
                if server.has(extension):
                    server.run(f"CREATE EXTENSION IF NOT EXISTS {extension}")
            server.run("SET max_parallel_maintenance_workers = 2")

    # Data and indexes

    def load(self, data, server):
        """Base tables: every other table of a server is made from these."""
        rng = np.random.default_rng(1)
        vector = server.rows("SELECT FROM pg_extension WHERE extname = 'vector'")
        server.load_points("base", rng.random(data.n), data.rows)
        server.load_points("base_probe", 0.9 * rng.random(len(data.probes)), data.probes)
        extra = ""
        if data.d == 2:
            extra += ", point(pt[1], pt[2]) AS p"
        if server.rows("SELECT FROM pg_extension WHERE extname = 'cube'") and data.d <= 100:
            extra += ", cube(pt) AS c"
        if data.d in (2, 3) and server.rows("SELECT FROM pg_extension WHERE extname = 'postgis'"):
            extra += ", ST_MakePoint(%s) AS g" % ", ".join(f"pt[{i + 1}]" for i in range(data.d))
        if vector:
            extra += ", pt::vector AS v"
        server.run("DROP TABLE IF EXISTS probe")
        server.run(f"CREATE TABLE probe AS SELECT id, r, pt{extra} FROM base_probe ORDER BY id")
        server.run("ALTER TABLE probe ADD PRIMARY KEY (id)")
        server.run("ANALYZE probe")

    def prepare(self, data, server, methods):
        """Tables and indexes of the methods; those that cannot be built in time are left out."""
        done = {}
        for m in methods:
            if m.table not in done:
                done[m.table] = {}
                server.run(f"DROP TABLE IF EXISTS {m.table}")
                server.run(f"CREATE TABLE {m.table} AS SELECT id, r, {m.column} FROM base")
                server.run(f"VACUUM (FREEZE, ANALYZE) {m.table}")
                server.prewarm([m.table])
            if m.definition and m.definition not in done[m.table]:
                done[m.table][m.definition] = self.build(data, server, m, f"{m.table}_{len(done[m.table])}")
                server.run(f"VACUUM (FREEZE, ANALYZE) {m.table}")
        return [m for m in methods if m.definition is None or done[m.table][m.definition]]

    def build(self, data, server, m, index):
        name = m.build or m.name
        server.run("SET statement_timeout = '%ds'" % (60 if self.args.quick else 0))
        try:
            seconds, _ = server.timed_command(f"CREATE INDEX {index} ON {m.table} {m.definition}")
        except Exception as error:
            say(f"{data.name}: no index of {name}: {str(error).splitlines()[0]}")
            return None
        finally:
            server.run("SET statement_timeout = 0")
        server.prewarm([index])
        if not m.name.startswith("floor"):
            self.results.note(data.name, "build", name, seconds, "s")
            self.results.note(data.name, "index size", name,
                              server.value(f"SELECT pg_relation_size('{index}')") / data.n, "bytes a row")
        return index

    # Searches

    def statement(self, data, m, queries):
        return (f"SELECT count(n.id) FROM (SELECT * FROM probe WHERE id < {queries}) q "
                f"CROSS JOIN LATERAL ({m.nearest(data.k)}) n")

    def settle(self, server, m):
        """The plan that the method stands for."""
        server.run("RESET ALL")
        server.run("SET max_parallel_workers_per_gather = 0")
        server.run("SET client_min_messages = warning")
        for setting in ["SET enable_seqscan = off", "SET enable_sort = off"] if m.definition else \
                ["SET enable_indexscan = off"]:
            server.run(setting)
        for statement in m.before:
            server.run(statement)

    def answers(self, data, server, m):
        """Rows found for the first queries, -1 where fewer came; sets the recall."""
        n = min(m.queries, 256)
        found = server.rows(f"SELECT q.id, (SELECT array_agg(n.id) FROM ({m.nearest(data.k)}) n) FROM probe q "
                            f"WHERE q.id < {n} ORDER BY q.id")
        hits = wrong = 0
        for i, ids in found:
            ids = np.array(ids or [], int)
            d = np.sqrt(((data.rows[ids] - data.probes[i]) ** 2).sum(axis=1))
            hits += (d <= data.distances[i, -1] * (1 + 1e-12)).sum()
            if m.exact and not (len(ids) == data.k and np.allclose(d, data.distances[i], rtol=1e-12, atol=0)):
                wrong += 1
        m.recall = hits / (n * data.k)
        self.results.note(data.name, "recall", m.name, m.recall, "share")
        if wrong:
            self.results.fault(f"{data.name}: {m.name} on {wrong} of {n} queries")

    def pilot(self, data, server, m):
        """How many queries fit the time; the plan; the answers."""
        self.settle(server, m)
        few = 16 if data.d < 1000 else 4
        server.timed(self.statement(data, m, few))
        wall, _ = server.timed(self.statement(data, m, few))
        m.queries = int(max(few, min(1024, (0.3 if self.args.quick else 1.5) * few / wall)))
        plan = "\n".join(r[0] for r in server.rows("EXPLAIN " + self.statement(data, m, m.queries)))
        if m.definition and not re.search(r"Index (Only )?Scan using \S+ on " + m.table, plan):
            raise RuntimeError(f"{data.name}: {m.name} does not use its index:\n{plan}")
        if not m.name.startswith("floor"):
            self.answers(data, server, m)

    def search(self, data, server, m):
        self.settle(server, m)
        # while others had their turn, what this one reads has grown cold
        server.timed(self.statement(data, m, m.queries))
        wall, processor = server.timed(self.statement(data, m, m.queries))
        self.results.note(data.name, "query, LATERAL", m.name, 1e6 * processor / m.queries, "us")
        self.results.note(data.name, "query, LATERAL, elapsed", m.name, 1e6 * wall / m.queries, "us")

    def work(self, data, server, m):
        """Pages and distances of ours."""
        self.settle(server, m)
        before = server.rows("SELECT pages_read, distances FROM covertree_scan_stats()")[0]
        server.value(self.statement(data, m, m.queries))
        after = server.rows("SELECT pages_read, distances FROM covertree_scan_stats()")[0]
        for what, a, b in zip(("pages per query", "distances per query"), before, after):
            self.results.note(data.name, what, m.name, (b - a) / m.queries, what.split()[0])

    def faults(self, data, server, m):
        """Page faults of prepared statements, one by one in a fresh connection."""
        server = Server(server.host, server.port)
        self.settle(server, m)
        probe = self.single(m, data.k, "$1")
        server.run(f"PREPARE one (integer) AS {probe}")
        for i in range(32):
            server.rows(f"EXECUTE one ({i})")
        n = min(256, m.queries)
        before = page_faults(server.pid)
        for i in range(n):
            server.rows(f"EXECUTE one ({i})")
        self.results.note(data.name, "page faults, single", m.name, (page_faults(server.pid) - before) / n, "faults")
        server.db.close()

    def single(self, m, k, number):
        """One query, its operand looked up by number."""
        return re.sub(r"q\.(\w+)", rf"(SELECT \1 FROM probe WHERE id = {number})", m.nearest(k))

    def pgbench(self, data, server, m, us):
        """Latency of prepared statements, as pgbench sees it."""
        script = f"{self.args.scratch}/{m.table}.pgbench"
        count = int(max(16, min(4000, (0.3 if self.args.quick else 1.5) * 1e6 / (us + 50))))
        with open(script, "w") as f:
            f.write(f"\\set i random(0, {len(data.probes) - 1})\n" + self.single(m, data.k, ":i") + ";\n")
        settings = ["max_parallel_workers_per_gather=0"] + (["enable_seqscan=off", "enable_sort=off"] if m.definition
                                                          else ["enable_indexscan=off"])
        settings += [s.replace("SET ", "").replace(" ", "") for s in m.before]
        done = subprocess.run([self.args.pgbench, "-n", "-M", "prepared", "-t", str(count), "-h", server.host, "-p",
                               str(server.port), "-U", "postgres", "-f", script, "--random-seed=1", "postgres"],
                              env={**os.environ, "PGOPTIONS": " ".join("-c " + s for s in settings)},
                              capture_output=True, text=True)
        latency = re.search(r"latency average = ([\d.]+) ms", done.stdout)
        if not latency:
            raise RuntimeError("pgbench: " + done.stderr)
        self.results.note(data.name, "query, pgbench prepared", m.name, 1e3 * float(latency[1]), "us")

    # Peers in memory

    def files(self, data):
        names = [f"{self.args.scratch}/{data.name}.{what}" for what in ("rows", "probes", "ids", "distances")]
        data.rows.tofile(names[0])
        data.probes.tofile(names[1])
        return names

    def driver(self, data, name, what, queries, files, more=(), reps=1):
        command = [f"{self.args.drivers}/{name}"] + ([what] if what else [])
        command += [files[0], str(data.n), str(data.d), files[1], str(queries), str(data.k), str(reps), *more]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [float(x) for x in done.stdout.split()]

    def truth(self, data, files):
        self.driver(data, "brute", "f64", len(data.probes), files, files[2:])
        data.ids = np.fromfile(files[2], np.int32).reshape(-1, data.k)
        # in the units in which the others are compared
        data.distances = np.sqrt(((data.rows[data.ids] - data.probes[:, None]) ** 2).sum(axis=2))
        data.distances.sort(axis=1)

    def memory_peers(self, data, files):
        """Functions that note one round each."""
        note = self.results.note
        few = len(data.probes) if data.d < 20 else 256 if data.d < 100 else 32
        peers = []

        def brute(kind, label):
            def run():
                note(data.name, "query, LATERAL", label,
                     self.driver(data, "brute", kind, few, files)[1], "us")
            return run
        peers.append(brute("f32", "brute force float4"))
        peers.append(brute("f64", "brute force float8"))

        def nanoflann():
            build, us = self.driver(data, "nanoflann", None, few if data.d < 20 else 32, files)
            note(data.name, "build", "nanoflann", build, "s")
            note(data.name, "query, LATERAL", "nanoflann", us, "us")
        if data.d < 100:
            peers.append(nanoflann)
        if data.d < 20:
            peers += self.python_peers(data)
        return peers

    def python_peers(self, data):
        from scipy.spatial import cKDTree
        from sklearn.neighbors import KDTree

        def timed(label, make, query):
            began = time.perf_counter()
            tree = make()
            self.results.note(data.name, "build", label, time.perf_counter() - began, "s")

            def run():
                began = time.thread_time()
                query(tree)
                self.results.note(data.name, "query, LATERAL", label,
                                  1e6 * (time.thread_time() - began) / len(data.probes), "us")
            return run
        return [timed("SciPy cKDTree", lambda: cKDTree(data.rows), lambda t: t.query(data.probes, data.k)),
                timed("scikit-learn KDTree", lambda: KDTree(data.rows), lambda t: t.query(data.probes, data.k))]

    def mlpack(self, data):
        """Its cover tree, by its command; once, for it is slow."""
        folder = f"{self.args.trixie}/tmp/mlpack.{os.getpid()}"
        os.mkdir(folder)
        try:
            queries = len(data.probes) // (1 if data.n < 100000 else 8)
            for name, rows in ("rows", data.rows), ("probes", data.probes[:queries]):
                np.savetxt(f"{folder}/{name}.csv", rows, fmt="%.17g", delimiter=",")
            inside = folder[len(self.args.trixie):]
            for algorithm in "single_tree", "dual_tree":
                done = subprocess.run(["chroot", self.args.trixie, "mlpack_knn", "-r", inside + "/rows.csv", "-q",
                                       inside + "/probes.csv", "-k", str(data.k), "-t", "cover", "-a", algorithm,
                                       "-n", inside + "/neighbors.csv", "-v"], capture_output=True, text=True)
                seconds = re.search(r"computing_neighbors: ([\d.]+)", done.stdout)
                if not seconds:
                    say(f"{data.name}: no mlpack: {done.stdout[-300:]}{done.stderr[-300:]}")
                    return
                self.results.note(data.name, "query, LATERAL", f"mlpack cover tree, {algorithm}",
                                  1e6 * float(seconds[1]) / queries, "us")
                build = re.search(r"tree_building: ([\d.]+)", done.stdout)
                if build:
                    self.results.note(data.name, "build", "mlpack cover tree", float(build[1]), "s")
        finally:
            subprocess.run(["rm", "-rf", folder], check=True)

    # One data set

    def choose_efforts(self, data, server, methods):
        """Of HNSW's efforts the default, the first that finds all, and otherwise the largest."""
        kept, whole = [], False
        for m in methods:
            if not m.name.startswith("pgvector HNSW"):
                self.pilot(data, server, m)
                kept.append(m)
            elif not whole:
                self.pilot(data, server, m)
                whole = m.recall == 1
                if m.name.endswith("ef 40") or m.name.endswith("ef 200") or whole or m.name.endswith("ef 1000"):
                    kept.append(m)
                else:
                    self.search(data, server, m)
        return kept

    def run(self, name):
        data = make_data(name, self.args.divisor)
        say(f"{name}: {data.n} rows, {data.d} dimensions, k = {data.k}")
        self.results.note(name, "rows", "all", data.n, "rows")
        files = self.files(data)
        self.truth(data, files)
        searches = []
        for place, server in self.servers.items():
            self.load(data, server)
            methods = methods_here(data, server, self.args.options) if place == "here" else \
                methods_there(data, self.args.options)
            methods = self.prepare(data, server, methods)
            searches += [(server, m) for m in self.choose_efforts(data, server, methods)]
        memory = self.memory_peers(data, files)
        for _ in range(self.args.reps):
            for server, m in searches:
                self.search(data, server, m)
            for peer in memory:
                peer()
        for _ in range((self.args.reps + 1) // 2):
            for server, m in searches:
                self.pgbench(data, server, m, self.results.median(name, "query, LATERAL", m.name))
        for server, m in searches:
            if m.exact:
                self.work(data, server, m)
            self.faults(data, server, m)
        if self.args.trixie and name in ("gauss3", "cluster8"):
            self.mlpack(data)
        self.conclude(data, [m for _, m in searches])
        for server in self.servers.values():
            server.run("RESET ALL")
            for table in {m.table for _, m in searches} | {"base", "base_probe", "probe"}:
                server.run(f"DROP TABLE IF EXISTS {table}")
        for f in files:
            os.remove(f)

    def conclude(self, data, methods):
        r, name = self.results, data.name
        lateral = "query, LATERAL"
        single = "query, pgbench prepared"
        ours = "covertree real[]" if data.narrow else "covertree"
        there = ours + ", PostgreSQL 17"
        recall = {m.name: m.recall for m in methods}
        low = data.d <= 3
        r.compare(name, lateral, ours, "floor", False, at_most=1.8 if low else None)
        r.compare(name, single, ours, "floor", False, at_most=1.8 if low else None)
        faults = [r.median(name, "page faults, single", m) for m in (ours, "floor")]
        r.conclude(name, "page faults, single, more than", ours, "floor", faults[0] - faults[1],
                   at_most=1 if low else None)
        for m in methods:
            if m.exact or m.name.startswith("floor") or m.name == "pgvector sequential scan":
                continue
            limit = None
            if m.name == "pgvector HNSW ef 40" and name == "cluster8":
                limit = 8
            if m.name.startswith("pgvector HNSW") and m.recall == 1 and name == "latent64":
                limit = 2
            note = f"recall {m.recall:.4f}" if m.name.startswith("pgvector HNSW") else ""
            for what in lateral, single:
                r.compare(name, what, there if m.name.startswith("pgvector") else ours, m.name, True,
                          at_least=limit if what == lateral else None, note=note)
        r.compare(name, lateral, ours, "brute force float4", False, at_most=1.6 if name == "iid64" else None)
        if "covertree" != ours and "covertree" in recall:
            r.compare(name, lateral, "covertree", "brute force float8", False)
        for what in lateral, single:
            r.compare(name, what, there, "pgvector sequential scan", False, at_most=1)
        for peer in "nanoflann", "SciPy cKDTree", "scikit-learn KDTree", "mlpack cover tree, single_tree":
            r.compare(name, lateral, ours, peer, False)


def main():
    def add(p):
        p.add_argument("--vector-server", type=address)
        p.add_argument("--trixie", help="folder of Debian 13")
        p.add_argument("--pgbench", default="pgbench")

    args = arguments(add)
    bench = Bench(args)
    for name in args.names or DATA_SETS:
        bench.run(name)
        bench.results.write()
    raise SystemExit(bench.results.finish(not args.quick))


main()
