"""Many changes of one tree in one build, each behind a switch.

Every change becomes a branch of the source, `(if crate::changed(17) { a * b } else { a + b })`, and a process is given
the number of the one it lives with in `STARBRIDGE_CHANGE`. Only one is ever switched on, so the branch of a change holds
the plain text and the changes within it need be told apart in the other branch alone.
"""

import json
import re
import subprocess
from pathlib import Path

import tree_sitter
import tree_sitter_rust

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_rust.language()))
VARIABLE = "STARBRIDGE_CHANGE"
SWITCH = f"""
/// Whether this process lives with change `number`.
pub(crate) fn changed(number: u32) -> bool {{
    static WHICH: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *WHICH.get_or_init(|| std::env::var("{VARIABLE}").map_or(0, |number| number.parse().expect("a number"))) == number
}}
"""
ROUNDS = 40
# What is wrong with a switch and not with the change: a call where none may be, what is moved or borrowed in a branch.
OF_SWITCHES = ("E0015", "E0382", "E0499", "E0502", "E0505", "E0506", "E0597", "E0716")


class Source:
    """A file of the tree, in bytes, and what its parts are."""

    def __init__(self, path: Path):
        self.text = path.read_bytes()
        self.root = PARSER.parse(self.text).root_node
        self.lines = self.text.splitlines(keepends=True)

    def span(self, mutant):
        """First byte and the byte after the last, of lines and columns that count from 1 and in characters."""
        return tuple(self.offset(mutant["span"][end]) for end in ("start", "end"))

    def offset(self, place):
        line = self.lines[place["line"] - 1].decode()
        return sum(map(len, self.lines[: place["line"] - 1])) + len(line[: place["column"] - 1].encode())

    def replaced(self, first, last, mutant):
        """Bytes `first` to `last` with the change made in them as plain text."""
        start, end = self.span(mutant)
        return self.text[first:start] + mutant["replacement"].encode() + self.text[end:last]

    def enclosing(self, mutant, *kinds):
        """The smallest part of one of these kinds in which a change begins; `None` where there is none."""
        start, _ = self.span(mutant)
        node = self.root.descendant_for_byte_range(start, start + 1)
        while node is not None and node.type not in kinds:
            node = node.parent
        return node


def site(source, mutant):
    """Where a change's switch stands: how it is written, first byte, byte after the last and what stands there with it.

    `None` for what has no place for a switch.
    """
    start, end = source.span(mutant)
    match mutant["genre"]:
        case "BinaryOperator":
            node = source.enclosing(mutant, "binary_expression", "compound_assignment_expr", "let_chain", "token_tree")
            if node is None or node.type in ("let_chain", "token_tree"):
                return None
            # As plain text the new operator may bind tighter or less than the old one: all of the formula is written anew.
            while node.parent.type == "binary_expression":
                node = node.parent
            return "choice", node.start_byte, node.end_byte, source.replaced(node.start_byte, node.end_byte, mutant)
        case "UnaryOperator":
            node = source.enclosing(mutant, "unary_expression")
            return node and ("choice", node.start_byte, node.end_byte, source.replaced(node.start_byte, node.end_byte, mutant))
        case "MatchArmGuard":
            return "choice", start, end, mutant["replacement"].encode()
        case "MatchArm":
            pattern = source.enclosing(mutant, "match_arm").child_by_field_name("pattern")
            return "guard", pattern.end_byte, pattern.end_byte, b""
        case "StructField":
            field = source.enclosing(mutant, "field_initializer", "shorthand_field_initializer")
            base = next((part for part in field.parent.children if part.type == "base_field_initializer"), None)
            if base is None:
                return None
            name = field.children[0].text
            rest = b"(" + base.children[1].text + b")." + name
            if field.type == "shorthand_field_initializer":
                return "field", field.start_byte, field.end_byte, rest
            value = field.child_by_field_name("value")
            return "choice", value.start_byte, value.end_byte, rest
        case "FnValue":
            whole = source.root.descendant_for_byte_range(start, end)
            while whole.type != "function_item":
                whole = whole.parent
            body = whole.child_by_field_name("body")
            value = mutant["replacement"].encode().strip()
            return "return", body.start_byte + 1, body.start_byte + 1, value
    return None


def written(source, mutants):
    """The file with these changes behind their switches: number to change."""
    sites = {}
    for number, mutant in mutants.items():
        kind, first, last, text = site(source, mutant)
        sites.setdefault((first, last), []).append((kind, number, text))
    # The outer ones come first, and before them what is put in where they begin.
    order = sorted(sites, key=lambda at: (at[0], at[0] != at[1], -at[1]))

    def between(first, last, inner):
        """Bytes `first` to `last`, and the sites in them that `inner` names, from its beginning."""
        parts = []
        while inner:
            here = inner.pop(0)
            within = []
            while inner and inner[0][1] <= here[1] and inner[0][0] < here[1]:
                within.append(inner.pop(0))
            parts += [source.text[first : here[0]], switched(sites[here], between(*here, within))]
            first = here[1]
        return b"".join([*parts, source.text[first:last]])

    def switched(changes, plain):
        """One site."""
        test = lambda number: b"crate::changed(%d)" % number
        numbers = b",".join(b"%d" % number for _, number, _ in changes)
        marked = lambda numbers, words: b"/*<%s*/%s/*%s>*/" % (numbers, words, numbers)
        choices = [(number, text) for kind, number, text in changes if kind in ("choice", "field")]
        chosen = b"".join(b"if %s { %s } else " % (test(number), marked(b"%d" % number, text)) for number, text in choices)
        words = b"(%s{ %s })" % (chosen, plain) if chosen else plain
        for kind, number, text in changes:
            match kind:
                case "guard":
                    words += b" if !%s" % test(number)
                case "return":
                    words += b" if %s { return %s; }" % (test(number), text)
                case "field":
                    words = plain + b": " + words
        return marked(numbers, words)

    return between(0, len(source.text), order)


def culprits(text, first, last):
    """The changes of the smallest site that an error's bytes lie in; else of those in its lines, in its match."""
    open_at, sites = [], []
    for mark in re.finditer(rb"/\*<([\d,]+)\*/|/\*([\d,]+)>\*/", text):
        if mark[1]:
            open_at.append(mark.start())
        else:
            sites.append((open_at.pop(), mark.end(), [int(number) for number in mark[2].split(b",")]))
    sites.sort(key=lambda at: at[1] - at[0])
    around = next((numbers for begin, end, numbers in sites if begin <= first and last <= end), None)
    if around:
        return around
    touched = lambda first, last: [number for begin, end, numbers in sites if begin < last and first < end for number in numbers]
    node = PARSER.parse(text).root_node.descendant_for_byte_range(first, last)
    while node is not None and node.type != "match_expression":
        node = node.parent
    of_lines = touched(text.rfind(b"\n", 0, first) + 1, max(text.find(b"\n", last), last))
    return of_lines or (touched(node.start_byte, node.end_byte) if node is not None else [])


def errors(command, tree, environment):
    """Exit status of a build, of each of its errors code, words, files and bytes; what was made; its last words."""
    done = subprocess.run([*command, "--message-format=json"], cwd=tree, env=environment, capture_output=True, text=True)
    found, made = [], []
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            made.append(Path(message["executable"]))
        if message["reason"] == "compiler-message" and message["message"]["level"] == "error":
            spans = message["message"]["spans"]
            places = [(span["file_name"], span["byte_start"], span["byte_end"]) for span in sorted(spans, key=lambda span: not span["is_primary"])]
            if places:
                code = (message["message"]["code"] or {}).get("code", "")
                found.append((code, message["message"]["message"], places))
    return done.returncode, found, made, done.stderr


def build(root, tree, crates, mutants, commands, environment, note):
    """Puts all of the changes that can be into `tree`, and gives the numbers of those and what the commands made.

    What does not compile is taken out again, by the places of the compiler's errors; `note` is told of each, and why it
    would not build as plain text either where that is sure.
    """
    for crate in crates:
        path = Path("services") / crate / "src/lib.rs"
        (tree / path).write_text((root / path).read_text() + SWITCH)
    sources = {mutant["file"]: Source(root / mutant["file"]) for mutant in mutants.values()}
    inside = {number: mutant for number, mutant in mutants.items() if site(sources[mutant["file"]], mutant)}
    for _ in range(ROUNDS):
        for file, source in sources.items():
            text = written(source, {number: mutant for number, mutant in inside.items() if mutant["file"] == file})
            if (tree / file).read_bytes() != text:
                (tree / file).write_bytes(text)
        made, out = [], {}
        for command in commands:
            status, found, executables, words = errors(command, tree, environment)
            made += executables
            for code, message, places in found:
                known = [(name, first, last) for name, first, last in places if name in sources]
                numbers = next(filter(None, (culprits((tree / name).read_bytes(), first, last) for name, first, last in known)), [])
                for number in numbers:
                    function = mutants[number]["function"] or {"return_type": ""}
                    sure = len(numbers) == 1 and code not in OF_SWITCHES and "impl " not in function["return_type"]
                    out[number] = message if sure else ""
            if status != 0:
                if not out.keys() & inside.keys():
                    raise SystemExit(f"an error that is of no change: {words[-2000:]}")
                break
        else:
            return set(inside), made
        for number, why in out.items():
            inside.pop(number, None)
            note(number, why)
    raise SystemExit(f"not built after {ROUNDS} rounds")
