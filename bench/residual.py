#!/usr/bin/env python3
"""
residual.py
     Data of the residual figures, and their peer: exact brute force.

     residual.py KERNEL ROWS KNOTS K PROBES REPETITIONS FOLDER

KERNEL is rbf or matern52, of variance and lengthscale 1.  Writes data.csv (the
rows), knots.csv (the inducing points), probe.csv (the queries, which are rows),
answer.csv (the K nearest rows of each) and time.csv (microseconds a query: all,
the product alone, and all in batches) to the folder, and the library that multiplies to standard output.

The peer is the fastest exact search of single queries that we know of: all
feature rows in memory, a matrix-vector product by OpenBLAS, the kernel over all
rows, and a selection of the best; everything in double precision.  The features
of the query are not even computed, since it is a row.  Who has many queries at
hand can multiply matrices instead: batches of 64 show what that saves.

IDENTIFICATION
     bench/residual.py
"""
import os
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

JITTER = 1e-6


def covariance(kernel, square):
    """Kernel of squared distances; overwrites its argument."""
    if kernel == "rbf":
        square *= -0.5
        return np.exp(square, out=square)
    square *= 5
    a = np.sqrt(square)
    square *= 1 / 3
    square += a
    square += 1
    np.negative(a, out=a)
    square *= np.exp(a, out=a)
    return square


def squares(x, y):
    """Squared distances of the columns of x from those of y."""
    return sum((x[j][:, None] - y[j]) ** 2 for j in range(len(x)))


class Brute:
    def __init__(self, kernel, rows, knots):
        n = len(rows)
        self.kernel = kernel
        self.x = np.ascontiguousarray(rows.T)
        z = np.ascontiguousarray(knots.T)
        factor = np.linalg.cholesky(covariance(kernel, squares(z, z)) + JITTER * np.eye(len(knots)))
        # A column for each row of the data: OpenBLAS is faster that way.
        self.v = np.empty((len(knots), n))
        for i in range(0, n, 4096):
            block = slice(i, i + 4096)
            self.v[:, block] = np.linalg.solve(factor, covariance(kernel, squares(z, self.x[:, block])))
        variance = np.maximum(1 - np.einsum("ij,ij->j", self.v, self.v), 1e-12)
        self.scale = 1 / np.sqrt(variance)
        self.features = np.ascontiguousarray(self.v.T)

    def product(self, rows):
        """Features of one row, or of some, times those of all."""
        return self.features[rows] @ self.v

    def search(self, row, k, product=None):
        """The k nearest rows and their distances; features of the query are given."""
        x = self.x
        rho = x[0] - x[0, row]
        rho *= rho
        for j in range(1, len(x)):
            d = x[j] - x[j, row]
            d *= d
            rho += d
        rho = covariance(self.kernel, rho)
        rho -= self.product(row) if product is None else product
        rho *= self.scale
        rho *= self.scale[row]
        np.abs(rho, out=rho)
        rho[row] = 1
        best = np.argpartition(rho, len(rho) - k)[len(rho) - k:]
        best = best[np.lexsort((best, -rho[best]))]
        return best, np.sqrt(1 - np.minimum(rho[best], 1))


def blas():
    with open("/proc/self/maps") as maps:
        paths = {line.split()[-1] for line in maps if "openblas" in line}
    if not paths:
        sys.exit("residual.py: numpy does not use OpenBLAS, install libopenblas0-pthread")
    return "/".join(sorted(paths)[0].split("/")[-2:])


def main():
    kernel, folder = sys.argv[1], sys.argv[7]
    n, m, k, nprobes, repetitions = map(int, sys.argv[2:7])

    # the gold configuration
    rows = np.random.default_rng(42).normal(size=(n, 3))
    knots = rows[np.sort(np.random.default_rng(0).choice(n, m, replace=False))]
    probes = np.random.default_rng(43).integers(0, n, nprobes)

    def write(name, lines):
        with open(os.path.join(folder, name), "w") as f:
            f.writelines(line + "\n" for line in lines)

    def point(x):
        return '"{' + ",".join(repr(float(c)) for c in x) + '}"'

    write("data.csv", (f"{i},{point(x)}" for i, x in enumerate(rows)))
    write("knots.csv", (f"{i},{point(x)}" for i, x in enumerate(knots)))
    write("probe.csv", (f"{i},{row}" for i, row in enumerate(probes)))

    brute = Brute(kernel, rows, knots)
    # this warms up, too
    answers = [brute.search(row, k) for row in probes]
    write("answer.csv", (f"{i},{row},{float(d)!r}"
                         for i, (best, distances) in enumerate(answers)
                         for row, d in zip(best, distances)))
    few = probes[:256]

    def single():
        for row in few:
            brute.search(row, k)

    def multiply():
        for row in few:
            brute.product(row)

    def batches():
        for i in range(0, len(few), 64):
            for row, product in zip(few[i:i + 64], brute.product(few[i:i + 64])):
                brute.search(row, k, product)

    def microseconds(work):
        began = time.perf_counter()
        work()
        return 1e6 * (time.perf_counter() - began) / len(few)

    write("time.csv", (f"{i + 1},{microseconds(single)},{microseconds(multiply)},{microseconds(batches)}"
                       for i in range(repetitions)))
    print(f"numpy {np.__version__}, {blas()}")


main()
