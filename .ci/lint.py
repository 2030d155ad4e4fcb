#!/usr/bin/env python3
"""House rules that no other linter knows. Prints every breach with its place; exits 1 when there is one."""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
breaches: list[str] = []


def breach(text: str) -> None:
    breaches.append(text)


def tracked(*patterns: str) -> list[pathlib.Path]:
    """Files git knows or would add, so that a new file is judged before its first commit."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


# --- dependency directions -------------------------------------------------------------------------------------------
# Who may import whom (architecture: document <- flow <- {queue, kingdee, coordination} <- services; runtime <- services;
# proto <- control, starctl). A new arrow is a decision: add it here in a commit of its own.
ARROWS = {
    "document": set(),
    # Empty in every build that ships.
    "killpoint": set(),
    "flow": {"document"},
    "queue": {"document", "flow", "killpoint"},
    "kingdee": {"document", "killpoint", "vault"},
    "coordination": {"document"},
    "connection": {"document", "kingdee", "coordination"},
    "runtime": {"document", "killpoint"},
    "vault": {"document"},
    "extractor": {"document", "flow", "queue", "killpoint", "kingdee", "coordination", "connection", "runtime"},
    "transformer": {"document", "flow", "queue", "killpoint", "runtime"},
    "loader": {"document", "flow", "queue", "killpoint", "kingdee", "coordination", "connection", "runtime"},
    "control": {"document", "flow", "queue", "killpoint", "kingdee", "coordination", "connection", "runtime", "starbridge-proto"},
    "starctl": {"document", "flow", "starbridge-proto", "vault"},
    "simulator": {"document"},
    "starbridge-proto": set(),
    # The very cores that ship, and nothing that talks to the world.
    "simulation": {"document", "flow", "queue", "extractor", "transformer", "loader"},
    # Bad input for every reader (its tests call them all).
    "inputs": {"document", "flow"},
    # What judges histories knows nothing of what made them.
    "history-checker": set(),
    # What reads histories off the disk and the wire knows the rules, and nothing that made them.
    "history": {"history-checker"},
    # The tests may look at everything; the comparison may not (see below).
    "e2e": {"document", "flow", "queue", "kingdee", "coordination", "runtime", "extractor", "transformer", "loader", "control", "simulator"},
}
# Libraries that are wrapped once: crate -> the only rooms that may name it.
WRAPPED = {
    "rdkafka": {"queue", "e2e"},
    "redis": {"coordination"},
    "reqwest": {"kingdee", "e2e", "history"},
    "redb": {"queue"},
    "figment": {"runtime"},
    "sqlparser": {"flow", "simulator"},
    "tonic": {"starbridge-proto", "control", "starctl"},
    "rusqlite": {"control"},
}
metadata = json.loads(subprocess.run(
    ["cargo", "metadata", "--format-version=1", "--no-deps", "--offline"], cwd=ROOT, check=True, capture_output=True, text=True,
).stdout)
for package in metadata["packages"]:
    name = package["name"]
    if name not in ARROWS:
        breach(f"{name}: a crate without a place in the house (ARROWS in .ci/lint.py)")
        continue
    for dependency in package["dependencies"]:
        other = dependency["name"]
        if dependency["kind"] == "dev":
            continue
        if other in ARROWS and other not in ARROWS[name]:
            breach(f"{name} -> {other}: an arrow the house does not have")
        if other in WRAPPED and name not in WRAPPED[other]:
            breach(f"{name} -> {other}: wrapped once, in {', '.join(sorted(WRAPPED[other]))}")

# --- the comparison shares no code with what it judges ---------------------------------------------------------------
for path in tracked("tests/src/compare/*.rs", "tests/src/bin/compare.rs"):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if re.search(r"\b(document|flow|queue|kingdee|coordination|runtime|extractor|transformer|loader|simulator)::", line):
            breach(f"{path.relative_to(ROOT)}:{number}: the comparison uses code of what it judges")

# --- shells decide nothing -------------------------------------------------------------------------------------------
# What a reply means, which version is newer and which offset comes next is thought in the cores, which are simulated.
# Replies are put into the core's words in one place; everything else around a core carries them.
DECISIONS = {
    "gives out or compares a version": r"\bVersion(::after)?\(|\bversion\s*(<|>)",
    "reckons with an offset": r"\boffset\s*(\+|-|<|>)[^>]",
    "judges a reply to a save": r"\bkingdee::SaveReply::|\bUnknownReason::|\bDocumentOutcome::",
}
ALLOWED = {
    "services/loader/src/target.rs": "judges a reply to a save",
    # A command that cannot be read has no version; its place in the topic names its letter.
    "services/extractor/src/commands.rs": "gives out or compares a version",
}
for service in ("extractor", "transformer", "loader"):
    for path in tracked(f"services/{service}/src/*.rs"):
        name = str(path.relative_to(ROOT))
        if "/core" in name or name.endswith(("tests.rs", "testing.rs", "fixtures.rs")) or "/tests/" in name:
            continue
        for number, line in enumerate(path.read_text().split("#[cfg(test)]\nmod tests {")[0].splitlines(), 1):
            for decision, pattern in DECISIONS.items():
                if re.search(pattern, line.split("//")[0]) and ALLOWED.get(name) != decision:
                    breach(f"{name}:{number}: a shell {decision}: {line.strip()}")

# --- file sizes, main.rs ---------------------------------------------------------------------------------------------
for path in tracked("*.rs"):
    lines = path.read_text().count("\n")
    if lines > 600:
        breach(f"{path.relative_to(ROOT)}: {lines} lines; above 600 two ideas share a file")
    if path.name == "main.rs" and path.parent.parent.name in {"extractor", "transformer", "loader"} and lines > 40:
        breach(f"{path.relative_to(ROOT)}: {lines} lines; a service's main is a table of contents of at most 40")

# --- stubs, ignored tests --------------------------------------------------------------------------------------------
for path in tracked("*.rs"):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if re.search(r"\b(todo|unimplemented)!\(|#\[ignore", line):
            breach(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")

# --- every code of the catalogue has a test that asserts it ----------------------------------------------------------
tables = sorted((ROOT / "services/shared/document/src/code/catalogue").glob("*.rs"))
variants = re.findall(r"^ +(\w+) = \"E_\w+\", \w+,", "".join(table.read_text() for table in tables), re.M)
tests = ""
for path in tracked("*.rs"):
    text = path.read_text()
    if (path.name in {"code.rs", "catalogue.rs"} or path in tables) and "document" in path.parts and "src" in path.parts:
        continue
    if "tests" in path.parts[:-1] or path.name.endswith("tests.rs"):
        tests += text
    elif "#[cfg(test)]" in text:
        tests += text.split("#[cfg(test)]", 1)[1]
for variant in variants:
    if not re.search(rf"\bCode::{variant}\b", tests):
        breach(f"services/shared/document/src/code/catalogue: Code::{variant} has no test that asserts it")
if len(variants) < 60:
    breach(f"services/shared/document/src/code/catalogue: {len(variants)} codes; at least 60 are promised")

# --- the two readmes say the same ------------------------------------------------------------------------------------
def outline(name: str) -> tuple[list[int], list[str]]:
    levels, commands, fenced = [], [], False
    for line in (ROOT / name).read_text().splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced:
            commands.append(line.split(" #")[0].rstrip())
        elif heading := re.match(r"(#+) ", line):
            levels.append(len(heading[1]))
    return levels, [command for command in commands if command]


english, chinese = outline("README.md"), outline("README.zh-CN.md")
if english[0] != chinese[0]:
    breach(f"README.md and README.zh-CN.md differ in headings: {english[0]} and {chinese[0]}")
if english[1] != chinese[1]:
    breach(f"README.md and README.zh-CN.md differ in commands: {sorted(set(english[1]) ^ set(chinese[1]))}")

for line in breaches:
    print(line)
print(f"house rules: {len(breaches)} breaches, {len(metadata['packages'])} crates, {len(variants)} codes")
sys.exit(1 if breaches else 0)
