#!/usr/bin/env python3
"""How much of the cores the simulated histories walk through.

Builds `simulate` with the compiler's own counters, lets it run, and prints covered lines file by file, with the lines that
no history came to. Exit 1 below the goal. Needs the LLVM tools of the compiler's version: those of rustup's component
`llvm-tools`, or Debian's package `llvm-N`.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORES = [ROOT / "services" / service / "src" / "core" for service in ("extractor", "transformer", "loader")]
TARGET = ROOT / "target" / "coverage"


def said(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def tools():
    """The LLVM tools that read what this compiler writes."""
    version = re.search(r"LLVM version: (\d+)", said("rustc", "-vV"))[1]
    sysroot = Path(said("rustc", "--print", "sysroot").strip())
    found = []
    for name in ("llvm-profdata", "llvm-cov"):
        own = next(iter(sysroot.glob(f"lib/rustlib/*/bin/{name}")), None)
        tool = own or shutil.which(f"{name}-{version}")
        if not tool:
            sys.exit(f"{name} of LLVM {version} is not here: rustup component add llvm-tools, or apt-get install llvm-{version}")
        found.append(str(tool))
    return found


def lines(report):
    """The lines of each core file with how often they were walked."""
    files, current = {}, None
    for line in report.splitlines():
        if line.startswith("SF:"):
            path = Path(line[3:])
            # A core is its folder and, where it has one, the file of the same name beside it.
            inside = any(core in path.parents or path == core.with_suffix(".rs") for core in CORES)
            current = files.setdefault(path, {}) if inside else None
        elif line.startswith("DA:") and current is not None:
            number, count = line[3:].split(",")[:2]
            current[int(number)] = current.get(int(number), 0) + int(count)
    return files


def spans(numbers):
    """`3-5 9` for 3, 4, 5 and 9."""
    found = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--goal", type=float, default=95.0, help="percent of the lines")
    arguments = parser.parse_args()
    profdata, cov = tools()
    profiles = TARGET / "profiles"
    shutil.rmtree(profiles, ignore_errors=True)
    profiles.mkdir(parents=True)
    # Build scripts count, too; nobody reads theirs.
    environment = os.environ | {"RUSTFLAGS": "-C instrument-coverage", "LLVM_PROFILE_FILE": str(profiles / "build-%p")}
    build = ["cargo", "build", "--locked", "-p", "simulation", "--bin", "simulate", "--target-dir", str(TARGET)]
    subprocess.run(build, check=True, cwd=ROOT, env=environment)
    simulate = TARGET / "debug" / "simulate"
    environment = os.environ | {"LLVM_PROFILE_FILE": str(profiles / "run-%p")}
    subprocess.run([simulate, "--seeds", str(arguments.seeds)], check=True, cwd=ROOT, env=environment)
    merged = TARGET / "run.profdata"
    subprocess.run([profdata, "merge", "-sparse", *profiles.glob("run-*"), "-o", merged], check=True)
    files = lines(said(cov, "export", "--format=lcov", f"--instr-profile={merged}", str(simulate)))
    known = walked = 0
    for path, counts in sorted(files.items()):
        missed = [number for number, count in sorted(counts.items()) if count == 0]
        known += len(counts)
        walked += len(counts) - len(missed)
        share = 100 * (1 - len(missed) / len(counts))
        print(f"{str(path.relative_to(ROOT)):<48} {len(counts):>5} lines {share:>6.1f} %  {spans(missed)}")
    if not known:
        sys.exit("no line of the cores was seen at all")
    share = 100 * walked / known
    print(f"{walked} of {known} lines of the cores: {share:.2f} %, {arguments.goal:g} % wanted")
    sys.exit(share < arguments.goal)


if __name__ == "__main__":
    main()
