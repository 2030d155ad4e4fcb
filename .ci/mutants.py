#!/usr/bin/env python3
"""Whether the simulation notices when something in the cores is wrong.

cargo-mutants names every small change it knows of in the files of the cores; so many of them are drawn by seed. All of
them are put into one build of a copy of the tree, each behind a switch (`switched`); what finds no place there is built
by itself, and what does not build there either says nothing and another one is drawn for it. With each change
`simulate` runs until a history violates something; what it lets pass is given to the unit tests of its core, and told
apart. One line of JSON a change goes to target/mutants/results.jsonl; RESUME=1 goes on from there.

`--list` draws the lists of what was found, without running anything. Needs `cargo install cargo-mutants --locked`.
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import switched

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "target" / "mutants"
TREE, RESULTS, APART = HOME / "tree", HOME / "results.jsonl", HOME / "apart.json"
STAGES = ("extractor", "transformer", "loader")
# The cores, and nothing that is left out of a build that ships.
FILES = [f"services/{stage}/src/core/**" for stage in STAGES] + ["services/transformer/src/core.rs"]
LEFT_OUT = ("/ablation.rs", "/tests.rs", "/tests/", "/sim/")
# Thousands of histories: here the cores' speed is worth its time in the compiler.
ENVIRONMENT = os.environ | {
    "CARGO_TARGET_DIR": str(HOME / "build"),
    "CARGO_PROFILE_DEV_OPT_LEVEL": "1",
    "CARGO_INCREMENTAL": "1",
    "RUST_BACKTRACE": "0",
}
SIMULATE = ["cargo", "build", "--offline", "--keep-going", "-q", "-p", "simulation", "--bin", "simulate"]
LANES = 2
# A change may make a core ask for memory without end.
MEMORY = 6 << 30


def tests(*crates):
    """Builds the unit tests of these crates."""
    return ["cargo", "test", "--offline", "--no-run", "-q", "--lib", *(f"-p={crate}" for crate in crates)]


def known():
    """Every change that cargo-mutants knows of, in a fixed order."""
    command = ["cargo", "mutants", "--list", "--json", *(f"--file={name}" for name in FILES)]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)
    ours = [m for m in listed if not any(part in m["file"] for part in LEFT_OUT)]
    ours = [m for m in ours if m["file"].split("/")[1] in STAGES]
    return sorted(ours, key=lambda m: (m["file"], m["span"]["start"]["line"], m["span"]["start"]["column"], m["name"]))


def copied(apart=()):
    """A copy of what is committed or changed, but for the files that are written anew anyway."""
    TREE.mkdir(parents=True, exist_ok=True)
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    for name in filter(None, names.split("\0")):
        here, there = ROOT / name, TREE / name
        if not here.is_file() or (name in apart and there.is_file()):
            continue
        if not (there.is_file() and there.read_bytes() == here.read_bytes()):
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(here, there)


def kept(made, name):
    """Programs that the next build would write over, by what they are: `simulate`, or the crate that is tested."""
    folder = HOME / "programs" / name
    folder.mkdir(parents=True, exist_ok=True)
    programs = {}
    for program in made:
        what = program.name.split("-")[0]
        shutil.copy2(program, folder / what)
        programs[what] = folder / what
    return programs


def built_together(drawn):
    """One build with all of the changes that find a place in it.

    Gives their numbers, the programs, and why each of the others surely does not build (empty where that is to be seen).
    """
    apart = json.loads(APART.read_text()) if APART.exists() else {}
    mutants = {number: mutant for number, mutant in drawn.items() if mutant["name"] not in apart}
    copied({mutant["file"] for mutant in mutants.values()} | {f"services/{stage}/src/lib.rs" for stage in STAGES})

    def note(number, why):
        apart[drawn[number]["name"]] = why
        APART.write_text(json.dumps(apart, ensure_ascii=False, indent=0))

    inside, made = switched.build(ROOT, TREE, STAGES, mutants, (SIMULATE, tests(*STAGES)), ENVIRONMENT, note)
    return inside, kept(made, "all"), apart


def built_apart(number, mutant):
    """The programs with one change as plain text; `None` where it does not build."""
    copied()
    source = switched.Source(ROOT / mutant["file"])
    (TREE / mutant["file"]).write_bytes(source.replaced(0, len(source.text), mutant))
    made = []
    for command in (SIMULATE, tests(mutant["file"].split("/")[1])):
        status, _, programs, _ = switched.errors(command, TREE, ENVIRONMENT)
        if status != 0:
            return None
        made += programs
    return kept(made, str(number))


def lived(command, number, cpu, folder=TREE):
    """Exit status and output of a program with one change; `None` for what took `cpu` seconds of it and more."""
    command = ["prlimit", f"--cpu={cpu}", f"--as={MEMORY}", "--", *command]
    environment = ENVIRONMENT | {switched.VARIABLE: str(number), "CARGO_MANIFEST_DIR": str(folder), "INSTA_UPDATE": "no"}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=cpu * 10)
    except subprocess.TimeoutExpired:
        return None, ""
    return (None if done.returncode in (-9, -24) else done.returncode), done.stdout + done.stderr


def simulated(programs, number, histories, cpu):
    """What the simulation makes of a change: whether it notices it, and how."""
    status, words = lived([programs["simulate"], "--seeds", str(histories), "--until-caught"], number, cpu)
    if status is None:
        return True, f"no end within {cpu} s of work"
    return status != 0, next((line for line in words.splitlines() if line.startswith("seed ")), "no words of its own" if status else "")


def unit_tested(programs, number, crate, cpu):
    """Whether the unit tests of a core notice a change, and which."""
    status, words = lived([programs[crate], "core::"], number, cpu, TREE / "services" / crate)
    failed = sorted({line.strip() for line in words.splitlines() if line.startswith("    core::")})
    return status != 0, ", ".join(failed[:3]) or ("no end" if status != 0 else "")


def unchanged(programs, histories):
    """How long simulation and unit tests take with nothing changed, which they must bear: seconds of a processor."""
    began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    noticed, how = simulated(programs, 0, histories, 3_600)
    if noticed:
        sys.exit(f"without any change something is wrong already: {how}")
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began
    for crate in STAGES:
        noticed, how = unit_tested(programs, 0, crate, 600)
        if noticed:
            sys.exit(f"without any change unit tests of {crate} fail already: {how}")
    return spent


def judged(mutant, number, programs, histories, cpu):
    """Who notices a change: `simulation`, `unit tests` or nobody, `survived`."""
    began = time.monotonic()
    noticed, how = simulated(programs, number, histories, cpu)
    end = "simulation"
    if not noticed:
        noticed, how = unit_tested(programs, number, mutant["file"].split("/")[1], max(cpu, 120))
        end = "unit tests" if noticed else "survived"
    return {"name": mutant["name"], "end": end, "how": how, "seconds": round(time.monotonic() - began, 1)}


def told(results, wanted):
    """The sum, and the survivors."""
    counts = Counter(result["end"] for result in results)
    valid = [result for result in results if result["end"] != "unbuilt"]
    killed = counts["simulation"] + counts["unit tests"]
    for result in sorted(valid, key=lambda result: (result["end"], result["name"])):
        if result["end"] != "simulation":
            print(f"{result['end']:<11} {result['name']}  {result['how']}")
    print(
        f"{killed} of {len(valid)} noticed: {counts['simulation']} by the simulation, {counts['unit tests']} by unit tests"
        f" alone; {counts['survived']} survived, {counts['unbuilt']} did not build; {wanted} wanted"
    )
    return killed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=200)
    parser.add_argument("--goal", type=int, default=190, help="noticed, of 200")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--histories", type=int, default=300, help="a change is given so many")
    parser.add_argument("--again", default="", help="judges anew what ended so, such as survived,unbuilt")
    parser.add_argument("--list", action="store_true", help="prints what was found, and runs nothing")
    arguments = parser.parse_args()
    results = []
    if (os.environ.get("RESUME") or arguments.list or arguments.again) and RESULTS.exists():
        results = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    if arguments.list:
        told(results, arguments.mutants)
        return
    if not shutil.which("cargo-mutants"):
        sys.exit("cargo-mutants is not here: cargo install cargo-mutants --locked")
    HOME.mkdir(parents=True, exist_ok=True)
    order = known()
    random.Random(arguments.seed).shuffle(order)
    # Numbers count from 1: 0 is no change. More than are wanted, for those that do not build.
    drawn = dict(enumerate(order[: arguments.mutants * 5 // 4], start=1))
    inside, together, apart = built_together(drawn)
    cpu = int(max(60, 4 * unchanged(together, arguments.histories)))
    results = [result for result in results if result["end"] not in arguments.again.split(",")]
    ends = {result["name"]: result for result in results}
    write = lambda: RESULTS.write_text("".join(json.dumps(result, ensure_ascii=False) + "\n" for result in results))

    one_at_a_time = Lock()

    def note(number, result):
        with one_at_a_time:
            results.append(result)
            write()
        print(f"{number:>4} {result['end']:<11} {result['name']}  {result['how']}", flush=True)

    valid, waiting = 0, []
    with ThreadPoolExecutor(LANES) as lanes:
        for number, mutant in drawn.items():
            if valid == arguments.mutants:
                break
            known_end = ends.get(mutant["name"], {}).get("end")
            why = apart.get(mutant["name"], "")
            if number in inside or known_end:
                programs = together
            else:
                programs = None if why else built_apart(number, mutant)
            if programs is None:
                note(number, {"name": mutant["name"], "end": "unbuilt", "how": why, "seconds": 0})
            elif known_end is None:
                job = lanes.submit(judged, mutant, number, programs, arguments.histories, cpu)
                job.add_done_callback(lambda job, number=number: note(number, job.result()))
                waiting.append(job)
            valid += programs is not None and known_end != "unbuilt"
    for job in waiting:
        job.result()
    killed = told(results, arguments.goal * arguments.mutants // 200)
    sys.exit(valid < arguments.mutants or killed * 200 < arguments.goal * valid)


if __name__ == "__main__":
    main()
