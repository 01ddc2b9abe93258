#!/usr/bin/env python3
"""
study.py
     How expansion base and strategy shape an index, and what that costs.

     study.py --server HOST:PORT --out FOLDER [--divisor=N] [--large] [...] [data set ...]

Builds an index for each base and strategy over four sets of rows, and notes
what covertree_stats(), covertree_levels() and covertree_scan_stats() tell; before that, how
much room the metric leaves for a tree at all:

     euclid3     32,768 points, normal: boxes and even division above nets
     euclid64    50,000 points in 64 dimensions of six factors: nets and balls
     rbf         the residual metric, gold configuration: 512 inducing points
     matern52    the same with the rougher kernel

IDENTIFICATION
     bench/study.py
"""
from harness import Results, Server, arguments, gold, make_data, say

BASES = [1.2, 1.3, 1.5, 2.0, 2.5, 3.0]
STRATEGIES = ["exact_metric", "spatial_proxy"]
NPROBES = {"euclid3": 512, "euclid64": 256, "rbf": 64, "matern52": 64}
FIGURES = ["euclid3", "euclid64", "rbf", "matern52"]


def load(server, name, args):
    """Tables data and probe; returns the column of the index, and k."""
    server.run("DROP TABLE IF EXISTS data, probe")
    if name in ("rbf", "matern52"):
        rows, knots, probes = gold((131072 if args.large else 32768) // args.divisor, NPROBES[name])
        server.create_model("study", name, knots)
        operand, column, k = "residual_query('study', pt)", "pt float8_residual_ops (model = study)", 50
        points = rows[probes]
    else:
        data = make_data("gauss3" if name == "euclid3" else "latent64", args.divisor, NPROBES[name])
        rows, points = data.rows, data.probes
        if name == "euclid64":
            rows = rows[:len(rows) // 2]
        operand, column, k = "pt", "pt", data.k
    server.load_points("data", [0.0] * len(rows), rows)
    server.load_points("probe_point", [0.0] * len(points), points)
    server.run(f"CREATE TABLE probe AS SELECT id, {operand} AS pt FROM probe_point ORDER BY id")
    server.run("DROP TABLE probe_point")
    server.run("VACUUM (FREEZE, ANALYZE) data")
    return column, k, len(rows)


def shape(server, results, name, method, base):
    """What the tree looks like."""
    def note(what, value, unit):
        if value is not None:
            results.note(name, what, method, value, unit)

    names = ["height", "pages", "mean_fanout", "max_fanout", "overlap"]
    height, pages, mean, largest, overlap = server.rows(
        f"SELECT {', '.join(names)} FROM covertree_stats('data_pt')")[0]
    levels = server.rows("SELECT level, nodes, mean_radius, radius_ratio FROM covertree_levels('data_pt') "
                         "WHERE level IS NOT NULL AND nodes > 0 AND mean_radius IS NOT NULL")
    note("height in pages", height, "pages")
    note("depth in levels", len(levels), "levels")
    note("pages", pages, "pages")
    note("mean fan-out", mean, "children")
    note("largest fan-out", largest, "children")
    note("overlap", overlap, "share of pairs of siblings")
    nodes = sum(r[1] for r in levels)
    if nodes:
        note("mean radius / base^level", sum(r[1] * r[2] / base ** r[0] for r in levels) / nodes, "ratio")
        note("largest radius / base^level", max((r[3] for r in levels if r[3] is not None), default=None), "ratio")


def search(server, results, name, method, k, nrows):
    """What a query costs."""
    statement = ("SELECT count(n.id) FROM probe q CROSS JOIN LATERAL "
                 f"(SELECT p.id FROM data p ORDER BY p.pt <~> q.pt LIMIT {k}) n")
    counts = "SELECT pages_read, distances, subtrees_pruned FROM covertree_scan_stats()"
    nprobes = NPROBES[name]
    server.timed(statement, nprobes * k)
    before = server.rows(counts)[0]
    _, processor = server.timed(statement, nprobes * k)
    pages, distances, pruned = [(b - a) / nprobes for a, b in zip(before, server.rows(counts)[0])]
    results.note(name, "query", method, 1e6 * processor / nprobes, "us")
    results.note(name, "pages per query", method, pages, "pages")
    results.note(name, "distances per query", method, distances, "distances")
    results.note(name, "rows evaluated", method, 100 * distances / nrows, "%")
    results.note(name, "subtrees pruned", method, pruned, "subtrees")


def room(server, results, name, k):
    """
    How much room the metric leaves for a tree: how far the rows are from a
    query in distances of its kth neighbour (a tree has the logarithm of that, to the
    base, as levels), and how many more rows are within twice that distance.
    """
    distance = "acos(greatest(0, 1 - d * d))" if name in ("rbf", "matern52") else "d"
    median, expansion = server.rows(f"""
        WITH pair AS (SELECT s.id, {distance} AS t
                      FROM (SELECT q.id, p.pt <~> q.pt AS d
                            FROM (SELECT * FROM probe ORDER BY id LIMIT 16) q, data p) s),
             kth AS (SELECT id, (array_agg(t ORDER BY t))[{k}] AS r FROM pair GROUP BY id)
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY median / r),
               percentile_cont(0.5) WITHIN GROUP (ORDER BY n)
        FROM (SELECT id, r, percentile_cont(0.5) WITHIN GROUP (ORDER BY t) AS median,
                     count(*) FILTER (WHERE t <= 2 * r)::float8 / {k} AS n
              FROM pair JOIN kth USING (id) WHERE r > 0 GROUP BY id, r) s""")[0]
    results.note(name, "median distance / that of the kth neighbour", "rows", median, "ratio")
    results.note(name, "rows within twice the kth distance / k", "rows", expansion, "ratio")
    say(f"{name}: half of the rows are nearer than {median:.2f} times the distance of neighbour {k}; "
        f"{expansion:.1f} times as many rows are within twice that distance")


def digest(server, k):
    """The answers to a few queries; the same whatever the options."""
    return server.rows("SELECT q.id, n.id, n.d FROM (SELECT * FROM probe ORDER BY id LIMIT 32) q CROSS JOIN LATERAL "
                       f"(SELECT p.id, p.pt <~> q.pt AS d FROM data p ORDER BY p.pt <~> q.pt LIMIT {k}) n")


def main():
    args = arguments()
    server = Server(*args.server)
    results = Results(args.out, "study")
    server.run("SET enable_seqscan = off; SET enable_sort = off; SET max_parallel_maintenance_workers = 0")
    for name in args.names or FIGURES:
        column, k, nrows = load(server, name, args)
        say(f"{name}: {nrows} rows")
        room(server, results, name, k)
        answers = None
        for strategy in STRATEGIES:
            for base in BASES:
                method = f"{strategy}, base {base}"
                server.run("DROP INDEX IF EXISTS data_pt")
                _, processor = server.timed_command(f"CREATE INDEX data_pt ON data USING covertree ({column}) "
                                                    f"WITH (strategy = {strategy}, base = {base})")
                results.note(name, "build, 1 thread", method, processor, "s")
                server.prewarm(["data", "data_pt"])
                shape(server, results, name, method, base)
                search(server, results, name, method, k, nrows)
                found = digest(server, k)
                if answers is not None and found != answers:
                    results.fault(f"{name}: other answers with {method}")
                answers = found
        server.run("DROP TABLE data, probe")
        wide_table(results, name)
        results.write()
    results.write()
    raise SystemExit(1 if results.wrong else 0)


def wide_table(results, name):
    """A line for each shape."""
    whats = [("build, 1 thread", "build s"), ("query", "query us"), ("pages per query", "pages"),
             ("distances per query", "distances"), ("depth in levels", "levels"), ("height in pages", "height"),
             ("mean fan-out", "fan-out"), ("largest fan-out", "largest"), ("mean radius / base^level", "radius"),
             ("largest radius / base^level", "largest"), ("overlap", "overlap")]
    say(f"{name:24}" + "".join(f"{label:>11}" for _, label in whats))
    for method in results.methods(name, "query"):
        values = [results.median(name, what, method) for what, _ in whats]
        texts = ["-" if v is None else f"{v:.0f}" if v >= 10 or v == int(v) else f"{v:.3f}" for v in values]
        say(f"{method:24}" + "".join(f"{t:>11}" for t in texts))


main()
