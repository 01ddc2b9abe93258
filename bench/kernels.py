#!/usr/bin/env python3
"""
kernels.py
     What each hot loop costs beside what the processor's ports allow.

     kernels.py --work FOLDER --out FOLDER [--listing] [--level=avx512] [case ...]

For each case of kernels/driver.c: core cycles, and instructions, per point and dimension (or
what the case counts), and the least cycles that the execution ports need for the
instructions that were executed, for two kinds of processor:

     Golden Cove    Intel's cores since 2021; 512-bit arithmetic on ports 0 and 5
     Zen 4          AMD's since 2022; 512-bit instructions take a 256-bit pipe twice

Instructions are counted by single steps, so rare paths count as often as they
are taken.  A limit is the largest, over all sets of ports, of the work that
only these can do divided by their number, or what the front end delivers.
Latency and caches are left out: they are what is left between limit and cycles.
--listing adds the loop that was executed most, with its mix and its registers.
A case may be given by the beginning of its name.

IDENTIFICATION
     bench/kernels.py
"""
import argparse
import collections
import csv
import glob
import itertools
import os
import re
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FLAGS = ["-O2", "-g", "-std=gnu99", "-ffp-contract=off", "-fno-math-errno", "-no-pie", "-static"]

# By kind: ports and cycles up to 256 bits, and the same of 512 bits.  Cycles of
# roots and quotients as measured (Golden Cove) or published.
GOLDEN_COVE = {
    "load": ("ABC", 1, "AB", 1), "store": ("ST", 1, "S", 1), "scalar": ("0156x", 1, "", 0), "branch": ("06", 1, "", 0),
    "mul": ("01", 1, "05", 1), "add": ("15", 1, "05", 1), "logic": ("015", 1, "05", 1), "shuffle": ("15", 1, "5", 1),
    "lane": ("5", 1, "5", 1), "mask": ("5", 1, "5", 1), "kmask": ("05", 1, "05", 1), "shift": ("01", 1, "0", 1),
    "root": ("0", 12, "0", 24), "root of floats": ("0", 6, "0", 12), "quotient": ("0", 8, "0", 16),
    "estimate": ("0", 1, "0", 2),
}
ZEN4 = {
    "load": ("AB", 1, "AB", 2), "store": ("S", 1, "S", 2), "scalar": ("wxyz", 1, "", 0), "branch": ("wz", 1, "", 0),
    "mul": ("01", 1, "01", 2), "add": ("23", 1, "23", 2), "logic": ("0123", 1, "0123", 2), "shuffle": ("12", 1, "12", 2),
    "lane": ("12", 1, "12", 2), "mask": ("01", 1, "01", 2), "kmask": ("23", 1, "23", 1), "shift": ("12", 1, "12", 2),
    "root": ("1", 8.5, "1", 17), "root of floats": ("1", 5, "1", 10), "quotient": ("1", 5, "1", 10),
    "estimate": ("1", 1, "1", 2),
}
MODELS = {"Golden Cove": GOLDEN_COVE, "Zen 4": ZEN4}
FRONT_END = 6       # operations a cycle, both
ROOTS = "root", "root of floats", "quotient"


def ports_and_cycles(model, kind, width):
    """Where an operation runs on that many bytes, and how long it keeps a port busy."""
    narrow, cycles, wide, wide_cycles = model[kind]
    if width == 64:
        return wide, wide_cycles
    return narrow, cycles / 2 if width == 16 and kind in ROOTS else cycles


# Kinds of vector instructions by the beginning of their names (without v); the first that fits.
KINDS = [
    ("estimate", "rsqrt"), ("root of floats", "sqrtps sqrtss"), ("root", "sqrt"), ("quotient", "div"),
    ("lane", "extract insert perm broadcast pbroadcast compress expand pmovsx pmovzx pmovqd pmovdb cvtps2pd cvtpd2ps"
             " cvtss2sd cvtsd2ss cvttpd cvtpd2dq cvtdq2pd valign"),
    ("shuffle", "unpck shuf pshuf punpck blend hadd phadd movddup movshdup movhl movlh palignr movq movd"),
    ("mask", "cmp pcmp ptest testps testpd fpclass ucomis comis"),
    ("shift", "psll psrl psra"),
    ("logic", "and or xor pand por pxor pternlog padd psub pmax pmin pabs movmsk pmovmsk"),
    ("add", "add sub max min cvt rndscale round scalef getexp getmant addsub"),
    ("mul", "mul fmadd fmsub fnmadd fnmsub fixupimm pmul pmadd pdp"),
]
MOVES = ("mov", "lddqu")


def registers(operands):
    return re.findall(r"%([xyz])mm(\d+)", operands)


class Instruction:
    """One line of objdump (AT&T syntax: the destination is last)."""

    def __init__(self, address, text):
        self.address = address
        self.text = " ".join(text.split("#")[0].split())
        self.name, _, self.operands = self.text.partition(" ")
        self.operands = re.sub(r"<.*>", "", self.operands).strip()
        self.width = max([{"x": 16, "y": 32, "z": 64}[r[0]] for r in registers(self.operands)], default=8)
        self.vector = self.width > 8 or bool(re.match(r"k[a-z]+[bwdq]$", self.name))
        parts = re.split(r",(?![^(]*\))", self.operands)
        self.memory = "(" in self.operands or bool(re.search(r"(^|,)0x[0-9a-f]+$", self.operands)) and \
            not self.branch
        self.to_memory = "(" in parts[-1]
        if self.name.startswith(("lea", "nop", "prefetch")) or self.branch:
            self.to_memory = False

    @property
    def branch(self):
        return self.name.startswith(("j", "call", "ret"))

    @property
    def target(self):
        m = re.match(r"([0-9a-f]+)", self.operands)
        return int(m[1], 16) if self.branch and m else None

    def kind(self):
        """Kind of arithmetic, or None for a plain move."""
        if self.branch:
            return "branch"
        if self.name.startswith("nop") or self.name in ("vzeroupper", "endbr64"):
            return None
        if re.match(r"k[a-z]+[bwdq]$", self.name):
            return "kmask"
        if not self.vector:
            return None if self.name.startswith("mov") and self.memory else "scalar"
        name = self.name[1:] if self.name.startswith("v") else self.name
        if name.startswith(MOVES) and not name.startswith(("movddup", "movshdup", "movmsk", "movhl", "movlh")):
            # between register files, or masked to registers, it is work
            if re.match(r"mov[dq]$", name) and not self.memory:
                return "shuffle"
            return None
        if name.startswith(("broadcast", "pbroadcast")) and self.memory:
            return None
        if name.startswith(("cvtps2pd", "pmovsx", "pmovzx")) and self.memory and not name.startswith("pmov"):
            return "add"
        for kind, names in KINDS:
            if name.startswith(tuple(names.split())):
                return kind
        return "logic"

    def work(self):
        """Kinds of work that it is, each with a width."""
        if self.name.startswith("nop") or self.name == "endbr64":
            return []
        found = []
        if self.memory and not self.name.startswith("lea"):
            found.append(("store" if self.to_memory else "load", self.width))
            if self.to_memory and not self.name.startswith(("mov", "vmov", "vextract", "kmov")):
                found.append(("load", self.width))
        kind = self.kind()
        if kind:
            found.append((kind, max(16, self.width)))
        if self.name.startswith(("vcompress", "vpcompress")):
            found.append(("lane", self.width))  # two operations
        if kind == "lane" and self.name.startswith(("vcvtps2pd", "vcvtpd2ps")):
            found.append(("add", max(16, self.width)))
        return found


def port_limit(executed, model):
    """Cycles that the ports need for instructions executed so many times, and which set them."""
    load = collections.Counter()
    uops = 0
    previous = None
    for i, count in executed:
        fused = i.branch and previous is not None and previous.name.startswith(("cmp", "test", "add", "sub", "dec",
                                                                               "inc", "and"))
        if not fused:
            uops += count
        elif previous.kind() == "scalar":
            ports, cost = ports_and_cycles(model, "scalar", 16)
            load[ports] -= count * cost         # one operation with the branch
        for kind, width in i.work():
            ports, cost = ports_and_cycles(model, kind, width)
            load[ports] += count * cost
        previous = i
    best = (uops / FRONT_END, "front end")
    ports = sorted(set("".join(load)))
    for size in range(1, min(len(ports), 6) + 1):
        for chosen in itertools.combinations(ports, size):
            work = sum(n for p, n in load.items() if set(p) <= set(chosen))
            if work / size > best[0] + 1e-9:
                best = (work / size, "ports " + "".join(chosen) if size > 1 else "port " + chosen[0])
    return best


class Program:
    def __init__(self, work):
        self.path = f"{work}/driver"
        sources = sorted(glob.glob(f"{TOP}/src/kernel/*.c"))
        subprocess.run(["gcc", *FLAGS, f"-I{TOP}/include", "-o", self.path, f"{TOP}/bench/kernels/driver.c", *sources,
                        "-lm"], check=True)
        self.code = {}
        done = subprocess.run(["objdump", "-d", "--no-show-raw-insn", self.path], capture_output=True, text=True,
                              check=True)
        for line in done.stdout.splitlines():
            m = re.match(r" +([0-9a-f]+):\t(.*)", line)
            if m:
                self.code[int(m[1], 16)] = Instruction(int(m[1], 16), m[2])

    def run(self, *args):
        return subprocess.run([self.path, *args], capture_output=True, text=True, check=True).stdout

    def cases(self):
        return [line.split("\t") for line in self.run("list").splitlines()]

    def has_level(self, level):
        return subprocess.run([self.path, "time", "argmin_f64", level], capture_output=True).returncode == 0

    def trace(self, case, level):
        """Executed instructions in order of address, with their counts."""
        lines = (line.split() for line in self.run("trace", case, level).splitlines())
        return [(self.code[int(a, 16)], int(n)) for a, n in lines if int(a, 16) in self.code]


def inner_loop(executed):
    """The innermost loop that most of the instructions were executed in."""
    best = []
    most = 0
    for branch, count in executed:
        if branch.target is None or branch.target > branch.address or branch.name == "call":
            continue
        body = [(i, n) for i, n in executed if branch.target <= i.address <= branch.address]
        if not body or body[0][0].address != branch.target or body[0][1] < 2:
            continue
        # an outer loop has parts that are executed more often than its end
        if max(n for _, n in body) > 1.5 * body[-1][1]:
            continue
        weight = sum(n for _, n in body)
        if weight > most:
            most, best = weight, body
    return best


def mix(body):
    kinds = collections.Counter()
    for i, _ in body:
        work = i.work()
        for kind, _ in work:
            kinds[kind] += 1
        if not work and not i.name.startswith("nop"):
            kinds["move"] += 1
    return ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())


def show_loop(name, level, executed, units):
    body = inner_loop(executed)
    if not body:
        print(f"\n{name}, {level}: no loop")
        return
    total = sum(n for _, n in executed)
    vectors = {r[1] for i, _ in body for r in registers(i.operands)}
    spilled = sum("(%rsp" in i.operands and i.width > 8 for i, _ in body)
    print(f"\n{name}, {level}: inner loop of {len(body)} instructions, executed {body[-1][1]} times a call, "
          f"{100 * sum(n for _, n in body) / total:.0f} % of all instructions")
    print(f"  mix: {mix(body)}; {len(vectors)} vector registers, {spilled} accesses to the stack")
    once = [(i, 1) for i, _ in body]
    for model_name, model in MODELS.items():
        cycles, bound = port_limit(once, model)
        print(f"  {model_name}: at least {cycles:.1f} cycles a round ({bound})")
    for i, _ in body:
        print(f"    {re.sub('<.*>', '', i.text)}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--work", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--level", action="append")
    p.add_argument("--listing", action="store_true")
    p.add_argument("names", nargs="*")
    args = p.parse_args()
    os.makedirs(args.work, exist_ok=True)
    program = Program(args.work)
    levels = [level for level in args.level or ["avx512", "avx2"] if program.has_level(level)]
    traces = []
    with open(f"{args.out}/kernels.csv", "w", newline="") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(["case", "level", "unit", "instructions", "cycles", *(f"limit {m}" for m in MODELS), "bound"])
        print(f"{'':24} {'':7} {'instr.':>8} {'cycles':>8} {'limit':>8} {'cycles/':>8} {'limit':>8}  bound by, per")
        print(f"{'':24} {'':7} {'':>8} {'':>8} {'GldCove':>8} {'limit':>8} {'Zen 4':>8}")
        for name, unit, units in program.cases():
            if args.names and not name.startswith(tuple(args.names)):
                continue
            units = int(units)
            for level in levels:
                cycles = float(program.run("time", name, level)) / units
                executed = program.trace(name, level)
                instructions = sum(n for _, n in executed) / units
                limits = [port_limit(executed, m) for m in MODELS.values()]
                w.writerow([name, level, unit, f"{instructions:.4f}", f"{cycles:.4f}",
                            *(f"{x / units:.4f}" for x, _ in limits), limits[0][1]])
                print(f"{name:24} {level:7} {instructions:8.3f} {cycles:8.3f} {limits[0][0] / units:8.3f} "
                      f"{cycles / (limits[0][0] / units):8.2f} {limits[1][0] / units:8.3f}  {limits[0][1]}, {unit}",
                      flush=True)
                traces.append((name, level, executed, units))
    if args.listing:
        for trace in traces:
            show_loop(*trace)


main()
