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
VERSION = r"(?:\w+(?:\(\))?\.)*\w*version(?:\(\))?(?:\.0)?"
# What offsets are called, besides their own name.
PLACE = r"(?:\w+(?:\(\))?\.)*(?:\w*offset|received|position|end|high|low|watermark)(?:\(\))?(?:\.0)?"
RECKONING = r"\.(?:(?:saturating|checked|wrapping|overflowing)_\w+|partial_cmp|cmp|max|min|lt|le|gt|ge|clamp|abs_diff)\("
BEFORE, BEHIND = r"\s*(?:[<>+]|-(?!>))", r"(?<![-=])(?:[<>]=?|[+-])\s*[&*]?"
ORDERED = r"\b(?:(?:max|min|sort|sort_unstable)(?:_by|_by_key)?|cmp|partial_cmp|lt|le|gt|ge)\([^;]*"
DECISIONS = {
    "gives out or compares a version": "|".join([
        r"\bVersion(?:::after)?\(", VERSION + BEFORE, BEHIND + VERSION + r"\b", VERSION + RECKONING, ORDERED + r"\bversion\b",
    ]),
    "reckons with an offset": "|".join([
        r"\b" + PLACE + BEFORE, BEHIND + PLACE + r"\b", r"\b" + PLACE + RECKONING, ORDERED + r"\boffset\b",
    ]),
    "judges a reply": r"\b(?:Save|Probe|Advance|Operation)Reply(?:::|\s+as\b)|\bUnknownReason\b::"
    r"|\b(?:Document|Operation)Outcome(?:::|\s+as\b)|\bClass(?:::|\s+as\b)|\.class\(\)\s*[=!]=",
}
# A file that is the one place for it, or a line that only looks like it.
ALLOWED = {
    "services/loader/src/target.rs": ("judges a reply", None),
    # A command that cannot be read has no version; its place in the topic names its letter.
    "services/extractor/src/commands.rs": (
        "gives out or compares a version", r"version: Version(u64::try_from(received.offset).unwrap_or_default()),",
    ),
    # Nobody was asked: the shell says so in the core's words.
    "services/loader/src/life.rs": ("judges a reply", "let reply ="),
}
# What a shell must not say, in each of the ways to say it: a pattern that lets one through is no check.
FORBIDDEN = {
    "gives out or compares a version": """
        if version > entry.version {
        if record.version.0 > known {
        if known < version {
        if known >= mapped.version.0 {
        match known.version.cmp(&version) {
        let newest = version.max(other);
        let newest = known.max(record.version);
        let newest = records.iter().max_by_key(|record| record.version);
        records.sort_by_key(|record| (record.key.clone(), record.version));
        let next = document.version.0 + 1;
        let next = last.version().0.saturating_add(1);
        let version = Version::after(last, clock);
        let version = Version(0);
        if std::cmp::max(known, mapped.version) == known {
    """,
    "reckons with an offset": """
        let next = record.offset + 1;
        let next = record.offset() + 1;
        let next = 1 + offset;
        let next = 1 + record.offset();
        let behind = end - received;
        let next = received.saturating_add(1);
        let next = received.offset.checked_add(1);
        if offset < saved {
        if saved >= record.offset {
        let last = first.max(record.offset);
        let last = records.iter().map(|record| record.offset).max_by(|a, b| a.offset.cmp(&b.offset));
        let behind = high - position;
    """,
    "judges a reply": """
        if matches!(reply, SaveReply::UnknownOpen(_)) {
        kingdee::SaveReply::Throttled { after } => wait(after),
        SaveReply::Done(outcomes) => outcomes.len(),
        use kingdee::SaveReply as Said;
        if let ProbeReply::Found(found) = &reply {
        AdvanceReply::Throttled(after) => self.rest(after),
        UnknownReason::SessionLost => self.log_in(),
        DocumentOutcome::Saved { .. } => saved += 1,
        OperationOutcome::Missing => missing += 1,
        Err(error) if error.class() == final_one => self.give_up(),
        Some(Class::NotSent | Class::Throttled(_)) => again(),
    """,
}


def decisions(line: str) -> set[str]:
    """What a line of a shell decides."""
    return {decision for decision, pattern in DECISIONS.items() if re.search(pattern, line.split("//")[0])}


for decision, lines in FORBIDDEN.items():
    for line in filter(None, map(str.strip, lines.splitlines())):
        if decision not in decisions(line):
            breach(f".ci/lint.py: nobody notices that a shell {decision}: {line}")
for service in ("extractor", "transformer", "loader"):
    for path in tracked(f"services/{service}/src/*.rs"):
        name = str(path.relative_to(ROOT))
        if "/core" in name or name.endswith(("tests.rs", "testing.rs", "fixtures.rs")) or "/tests/" in name:
            continue
        allowed, beginning = ALLOWED.get(name, ("", None))
        for number, line in enumerate(path.read_text().split("#[cfg(test)]\nmod tests {")[0].splitlines(), 1):
            for decision in decisions(line):
                if decision != allowed or not line.strip().startswith(beginning or ""):
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
