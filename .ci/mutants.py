#!/usr/bin/env python3
"""Whether the simulation notices when something in the cores is wrong.

cargo-mutants names every small change it knows of in the files of the cores; so many of them are drawn by seed. Each is
applied alone to a copy of the tree, where `simulate` is built and runs until a history violates something. What it lets
pass is given to the unit tests of its crate, and told apart. A change that does not build says nothing, and another one
is drawn for it. One line of JSON a change goes to target/mutants/results.jsonl; RESUME=1 goes on from there.

`--list` draws the lists of what was found, without running anything. Needs `cargo install cargo-mutants --locked`.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "target" / "mutants"
TREE, RESULTS = HOME / "tree", HOME / "results.jsonl"
SIMULATE = str(HOME / "build" / "debug" / "simulate")
STAGES = ("extractor", "transformer", "loader")
# The cores, and nothing that is left out of a build that ships.
FILES = [f"services/{stage}/src/core/**" for stage in STAGES] + ["services/transformer/src/core.rs"]
LEFT_OUT = ("/ablation.rs", "/tests.rs", "/tests/", "/sim/")


def known():
    """Every change that cargo-mutants knows of, in a fixed order."""
    command = ["cargo", "mutants", "--list", "--json", *(f"--file={name}" for name in FILES)]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)
    ours = [m for m in listed if not any(part in m["file"] for part in LEFT_OUT)]
    ours = [m for m in ours if m["file"].split("/")[1] in STAGES]
    return sorted(ours, key=lambda m: (m["file"], m["span"]["start"]["line"], m["span"]["start"]["column"], m["name"]))


def copied():
    """A copy of what is committed or changed, and its own cache of builds."""
    TREE.mkdir(parents=True, exist_ok=True)
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    for name in filter(None, names.split("\0")):
        here, there = ROOT / name, TREE / name
        if here.is_file() and not (there.is_file() and there.read_bytes() == here.read_bytes()):
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(here, there)


def run(command, seconds):
    """Exit status and output; None where it took too long."""
    environment = os.environ | {"CARGO_TARGET_DIR": str(HOME / "build"), "RUST_BACKTRACE": "0", "CARGO_INCREMENTAL": "1"}
    try:
        done = subprocess.run(command, cwd=TREE, env=environment, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout + done.stderr


def built():
    """Builds the copy as it is."""
    return run(["cargo", "build", "--offline", "-q", "-p", "simulation", "--bin", "simulate"], 600)[0]


def applied(mutant):
    """The file with the change in it."""
    lines = (ROOT / mutant["file"]).read_text().splitlines(keepends=True)
    at = {end: mutant["span"][end] for end in ("start", "end")}
    first, last = at["start"]["line"] - 1, at["end"]["line"] - 1
    head, tail = lines[first][: at["start"]["column"] - 1], lines[last][at["end"]["column"] - 1 :]
    return "".join(lines[:first]) + head + mutant["replacement"] + tail + "".join(lines[last + 1 :])


def judged(mutant, seeds):
    """What the simulation makes of a change: `unbuilt`, `simulation` where it was killed, or `survived`."""
    path = TREE / mutant["file"]
    path.write_text(applied(mutant))
    try:
        if built() != 0:
            return "unbuilt", ""
        status, words = run([SIMULATE, "--seeds", str(seeds), "--until-caught"], 240)
        if status is None:
            return "simulation", "no end within four minutes"
        if status != 0:
            return "simulation", next((line for line in words.splitlines() if line.startswith("seed ")), "")
        return "survived", ""
    finally:
        path.write_text((ROOT / mutant["file"]).read_text())


def unit_tested(mutant):
    """The unit tests of the core that notice what the simulation let pass."""
    path = TREE / mutant["file"]
    path.write_text(applied(mutant))
    try:
        stage = mutant["file"].split("/")[1]
        status, words = run(["cargo", "test", "--offline", "-q", "-p", stage, "--lib", "core::"], 600)
        failed = [line.strip() for line in words.splitlines() if line.startswith("    core::")]
        return ("unit tests", ", ".join(sorted(set(failed))[:3])) if status in (None, 101) else ("survived", "")
    finally:
        path.write_text((ROOT / mutant["file"]).read_text())


def told(results, wanted):
    """The sum, and the survivors."""
    counts = Counter(result["end"] for result in results)
    valid = [result for result in results if result["end"] != "unbuilt"]
    killed = counts["simulation"] + counts["unit tests"]
    for result in valid:
        if result["end"] != "simulation":
            print(f"{result['end']:<11} {result['name']}  {result['how']}")
    print(
        f"{killed} of {len(valid)} killed: {counts['simulation']} by the simulation, {counts['unit tests']} by unit tests"
        f" alone; {counts['survived']} survived, {counts['unbuilt']} did not build; {wanted} wanted"
    )
    return killed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=200)
    parser.add_argument("--goal", type=int, default=190, help="killed, of 200")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--histories", type=int, default=300, help="a change is given so many")
    parser.add_argument("--minutes", type=float, default=1e9, help="stops after so many; RESUME=1 goes on")
    parser.add_argument("--again", default="", help="judges anew what ended so, such as survived,unbuilt")
    parser.add_argument("--units", action="store_true", help="gives what survives to the unit tests of the cores, too")
    parser.add_argument("--list", action="store_true", help="prints what was found, and runs nothing")
    arguments = parser.parse_args()
    results = []
    if (os.environ.get("RESUME") or arguments.list) and RESULTS.exists():
        results = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    if arguments.list:
        told(results, arguments.mutants)
        return
    if not shutil.which("cargo-mutants"):
        sys.exit("cargo-mutants is not here: cargo install cargo-mutants --locked")
    HOME.mkdir(parents=True, exist_ok=True)
    copied()
    drawn = known()
    random.Random(arguments.seed).shuffle(drawn)
    results = [result for result in results if result["end"] not in arguments.again.split(",")]
    done = {result["name"] for result in results}
    until = time.monotonic() + arguments.minutes * 60
    late = lambda: time.monotonic() > until
    write = lambda: RESULTS.write_text("".join(json.dumps(result, ensure_ascii=False) + "\n" for result in results))
    write()
    if built() != 0 or run([SIMULATE, "--seeds", str(arguments.histories)], 600)[0] != 0:
        sys.exit("without any change something is wrong already")
    for mutant in drawn:
        valid = sum(result["end"] != "unbuilt" for result in results)
        if valid >= arguments.mutants or late():
            break
        if mutant["name"] in done:
            continue
        began = time.monotonic()
        end, how = judged(mutant, arguments.histories)
        results.append({"name": mutant["name"], "end": end, "how": how, "seconds": round(time.monotonic() - began, 1)})
        write()
        print(f"{valid + 1:>4} {end:<11} {mutant['name']}  {how}", flush=True)
    # Each crate's tests are built once, and then again only where a change is.
    named = {mutant["name"]: mutant for mutant in drawn}
    for result in sorted(results, key=lambda result: result["name"]):
        if arguments.units and result["end"] == "survived" and result["name"] in named and not late():
            result["end"], result["how"] = unit_tested(named[result["name"]])
            write()
            print(f"     {result['end']:<11} {result['name']}  {result['how']}", flush=True)
    killed = told(results, arguments.mutants)
    valid = sum(result["end"] != "unbuilt" for result in results)
    sys.exit(valid < arguments.mutants or killed * 200 < arguments.goal * valid)


if __name__ == "__main__":
    main()
