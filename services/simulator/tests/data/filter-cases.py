"""Writes filter-cases.json: filters with the rows a real MariaDB selects by them.

Usage: python3 filter-cases.py OUTPUT.json   (needs mariadbd and mariadb; starts its own instance and stops it)

The server compares texts by code point (utf8mb4_bin: case counts, trailing blanks do not), knows no backslash escapes,
and a case whose evaluation gives a warning, that is a silent conversion, fails the run.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

DIFFERENCES = [
    "A date text that is no date is refused (MsgCode 4); MariaDB compares it as text with a warning.",
    "A number that meets a text field is compared as text; MariaDB compares both as binary floats.",
    "A text that is no number and meets a number field is refused (MsgCode 4); MariaDB reads its digits and warns.",
    "LIKE on a number or date field is refused (MsgCode 4); MariaDB compares its text.",
    "true and false, also as texts, are flags for check fields; MariaDB reads the text 'true' as 0.",
    "Comments, functions, sub-queries, arithmetic and user variables are refused (MsgCode 4).",
    "Text in double quotes is a field name, as in SQL Server; MariaDB takes it for a text.",
    "[name] is a field name, as in SQL Server.",
    "Brackets in a LIKE pattern are plain characters, as in MariaDB; SQL Server takes them for sets.",
    "A backslash in a LIKE pattern is a plain character, as in SQL Server; MariaDB takes it for an escape even without backslash escapes.",
    "<=> and other operators of MariaDB alone are refused (MsgCode 4).",
]

MATERIALS = ["M1", "M2", "m1", "物料-3", "A'B", "50%", "X_1", "XY1"]
ORGS = ["100", "202", "204"]


def rows():
    """Bills with their rows, by hand where it matters and at random (seeded) beyond."""
    bills = [
        dict(FBillNo="B-001", FNOTE=None, FDate="2024-03-14", FApproveDate="2024-03-14 08:30:00", FDocumentStatus="C", FStockOrgId="100", FPrinted=True, FTimes=0),
        dict(FBillNo="B-002", FNOTE="", FDate="2024-03-15", FApproveDate=None, FDocumentStatus="A", FStockOrgId="202", FPrinted=False, FTimes=1),
        dict(FBillNo="b-002", FNOTE=" ", FDate="2024-03-15", FApproveDate="2024-03-15 23:59:59.999", FDocumentStatus="C", FStockOrgId=None, FPrinted=None, FTimes=-3),
        dict(FBillNo="B-003", FNOTE="急件", FDate="2024-02-29", FApproveDate="2024-03-01 00:00:00", FDocumentStatus="D", FStockOrgId="204", FPrinted=True, FTimes=None),
        dict(FBillNo="B'004", FNOTE="it's \"here\"", FDate=None, FApproveDate=None, FDocumentStatus="Z", FStockOrgId="100", FPrinted=False, FTimes=7),
        dict(FBillNo="B%05", FNOTE="50% off ", FDate="2023-12-31", FApproveDate="2024-01-01 00:00:00", FDocumentStatus="C", FStockOrgId="202", FPrinted=True, FTimes=2147483648),
        dict(FBillNo="B_06", FNOTE="back\\slash", FDate="2024-12-31", FApproveDate="2025-01-01 12:00:00.5", FDocumentStatus="B", FStockOrgId="204", FPrinted=False, FTimes=10),
        dict(FBillNo="单据七", FNOTE="emoji 😀 tab\tend", FDate="2024-03-14", FApproveDate="2024-03-14 08:30:01", FDocumentStatus="C", FStockOrgId="100", FPrinted=True, FTimes=9),
        dict(FBillNo="B-008", FNOTE="[set]", FDate="2024-03-16", FApproveDate="2024-03-16 10:00:00", FDocumentStatus="C", FStockOrgId="100", FPrinted=False, FTimes=5),
    ]
    chance = random.Random(8)
    for index in range(9, 21):
        bills.append(dict(
            FBillNo=f"B-{index:03}", FNOTE=chance.choice([None, "", "急件", "普通", "Urgent", "urgent "]),
            FDate=f"2024-{chance.randint(1, 4):02}-{chance.randint(1, 28):02}",
            FApproveDate=chance.choice([None, f"2024-04-{chance.randint(1, 28):02} {chance.randint(0, 23):02}:15:00"]),
            FDocumentStatus=chance.choice("ZABCD"), FStockOrgId=chance.choice([None, *ORGS]),
            FPrinted=chance.choice([None, True, False]), FTimes=chance.choice([None, 0, 1, 5, 100])))
    row = 0
    for index, bill in enumerate(bills):
        entries = []
        for _ in range([2, 1, 1, 3, 1, 2, 1, 2, 0][index] if index < 9 else chance.randint(1, 3)):
            row += 1
            entries.append(dict(
                FRowNo=row, FMATERIALID=chance.choice([None, *MATERIALS]),
                FQty=chance.choice([None, "0", "1", "1.5", "2.000000001", "-4.25", "957.5775", "1000000.01"]),
                FAmount=chance.choice([None, "0", "0.01", "261.96", "-1", "99999999.99"]),
                FEntryNote=chance.choice([None, "", " ", "Xerox 1967", "2 3/4\" x 5\"", "Eldon Fold 'N Roll", "xerox", "a_b", "a%b", "ab"])))
        if not entries:
            row += 1
            entries = [dict(FRowNo=row, FMATERIALID="M1", FQty="3", FAmount="0.1", FEntryNote="last")]
        bill["FEntity"] = entries
    return bills


ATOMS = """
FBillNo = 'B-001'
fbillno = 'B-002'
FBILLNO <> 'B-002'
FBillNo != 'b-002'
FBillNo = 'B''004'
FBillNo = N'单据七'
FBillNo > 'B-003'
FBillNo >= 'B-003'
FBillNo < 'B-003'
FBillNo <= 'B-003'
FBillNo in ('B-001', 'B-003', 'nothing')
FBillNo not in ('B-001', 'B-003')
FBillNo in ('B-001  ', 'b-002')
FBillNo between 'B-001' and 'B-008'
FBillNo not between 'B-001' and 'B-008'
FBillNo like 'B-%'
FBillNo like 'b-%'
FBillNo like '%00_'
FBillNo not like 'B%'
FBillNo like 'B_06'
FBillNo like 'B!_06' escape '!'
FBillNo like 'B!%%' escape '!'
FBillNo like '单%'
FBillNo like '___'
FBillNo like '%'
FBillNo like ''
FBillNo = 'B-001 '
FBillNo = ' B-001'
FBillNo like 'B-001 '
'B-001' = FBillNo
'B-003' < FBillNo
FNOTE is null
FNOTE is not null
FNOTE = ''
FNOTE <> ''
FNOTE = ' '
FNOTE = '   '
FNOTE like ' '
FNOTE like ''
FNOTE like '% '
FNOTE = '急件'
FNOTE like '%件'
FNOTE = 'urgent'
FNOTE like 'urgent'
FNOTE like '%''%'
FNOTE like '%"%'
FNOTE = 'back\\slash'
FNOTE like '%😀%'
FNOTE like 'emoji _ tab%'
FNOTE like '[set]'
FNOTE like '%[%'
FNOTE in ('', '急件')
FNOTE not in ('', '急件')
FNOTE in ('急件', null)
FNOTE not in ('急件', null)
FNOTE = null
FNOTE <> null
not FNOTE = '急件'
not (FNOTE = '急件')
not FNOTE is null
not not FNOTE is null
not FNOTE like '%件'
FNOTE >= '急'
FNOTE > ''
FDate = '2024-03-14'
FDate <> '2024-03-14'
FDate >= '2024-03-14'
FDate > '2024-03-14'
FDate < '2024-03-14'
FDate <= '2024-03-14 00:00:00'
FDate = '2024-03-14T00:00:00'
FDate = '2024/03/14'
FDate between '2024-02-29' and '2024-03-15'
FDate not between '2024-02-29' and '2024-03-15'
FDate between '2024-03-15' and '2024-02-29'
FDate in ('2024-02-29', '2024-12-31')
FDate not in ('2024-02-29', '2024-12-31')
FDate is null
FDate is not null
'2024-03-14' <= FDate
FApproveDate >= '2024-03-14'
FApproveDate >= '2024-03-14 08:30:00'
FApproveDate > '2024-03-14 08:30:00'
FAPPROVEDATE < '2024-03-15 23:59:59.999'
FApproveDate <= '2024-03-15 23:59:59.999'
FApproveDate = '2024-01-01'
FApproveDate is null
FApproveDate is not null
FApproveDate > FDate
FApproveDate between '2024-03-01' and '2024-04-30'
FDocumentStatus = 'C'
FDocumentStatus <> 'C'
FDocumentStatus = 'c'
FDocumentStatus in ('A', 'D')
FDocumentStatus like '[AC]'
FStockOrgId.FNumber = '100'
FStockOrgId.FNUMBER <> '100'
FSTOCKORGID.fnumber in ('202', '204')
FStockOrgId.FNumber not in ('202', '204')
FStockOrgId.FNumber is null
FStockOrgId is null
FStockOrgId is not null
FStockOrgId.FNumber like '2%'
FStockOrgId.FNumber > '100'
FStockOrgId.FName = '组织100'
FPrinted = 1
FPrinted = '1'
FPrinted = 0
FPrinted = '0'
FPrinted <> 1
FPrinted is null
FTimes = 0
FTimes = '5'
FTimes > 0
FTimes >= 5
FTimes < 0
FTimes = -3
FTimes > -3
FTimes <> 5
FTimes = 5.0
FTimes < 5.5
FTimes in (0, 1, 5)
FTimes not in (0, 1, 5)
FTimes in (0, null)
FTimes between 1 and 10
FTimes not between 1 and 10
FTimes = 2147483648
FTimes is null
5 < FTimes
FMATERIALID.FNumber = 'M1'
FMATERIALID.FNumber = 'm1'
FMATERIALID.FNumber <> 'M1'
FMaterialId.FNumber in ('M1', '物料-3')
FMATERIALID.FNumber like 'X_1'
FMATERIALID.FNumber like '%''%'
FMATERIALID.FNumber like '50!%' escape '!'
FMATERIALID.FNumber is null
FMATERIALID is null
FMATERIALID.FNumber > 'M'
FQty = 0
FQty > 1
FQty >= 1.5
FQty < 0
FQty <= -4.25
FQty = 957.5775
FQty = '957.5775'
FQty = 957.57750
FQty > 2
FQty = 2.000000001
FQty <> 2.000000001
FQty between 1 and 2
FQty in (0, 1.5, 1000000.01)
FQty not in (0, 1.5)
FQty is null
FQty > FAmount
FQty = FAmount
FQty <> FTimes
FQty > 1e2
FAmount = 0.01
FAmount > 0.01
FAmount = 261.96
FAmount >= 99999999.99
FAmount < -0.5
FAmount is not null
FEntryNote = ''
FEntryNote <> ''
FEntryNote is null
FEntryNote = 'Xerox 1967'
FEntryNote = 'xerox'
FEntryNote like 'Xerox%'
FEntryNote like '%"%"'
FEntryNote like '%''N%'
FEntryNote like 'a_b'
FEntryNote like 'a%b'
FEntryNote like 'a#_b' escape '#'
FEntryNote like 'a#%b' escape '#'
FEntryNote like '%a%b%'
FEntryNote = FBillNo
FRowNo = 7
FRowNo between 10 and 20
FRowNo > 30 or FRowNo < 3
1 = 1
1 = 0
'a' = 'a '
'a' = 'A'
1 < 2 and FRowNo < 5
null is null
FBillNo = 'B-001' and FQty > 0
FBillNo = 'B-001' or FBillNo = 'B-003' and FQty > 1
(FBillNo = 'B-001' or FBillNo = 'B-003') and FQty > 1
not FBillNo = 'B-001' and FQty > 1
not (FBillNo = 'B-001' and FQty > 1)
not (FNOTE = '急件' or FQty > 1)
FNOTE = '急件' or FNOTE is null
FNOTE = '急件' and FNOTE is null
((((FBillNo = 'B-001'))))
FAPPROVEDATE >='2024-03-14' and FBillNo<>'B-002' and FDocumentStatus<>'A' and FMATERIALID.fnumber<>'M2'
FDate>='2024-01-01' And FDate<'2024-04-01' AND(FDocumentStatus='C' OR FDocumentStatus='B')
FBillNo='B-001'or FBillNo='B-003'
FQty>=1.5and FTimes<100
  FBillNo   =   'B-001'
FBillNo like '%-0%' and (FQty is null or FAmount is null)
FNOTE <> '急件' or FNOTE = '急件'
FQty not between 0 and 1 and FQty is not null
""".strip("\n").split("\n")

ARRAYS = [
    ([("", "FBillNo", "67", "B-001", "", "0")], "FBillNo = 'B-001'"),
    ([("", "FBillNo", "=", "B'004", "", "")], "FBillNo = 'B''004'"),
    ([("", "FDate", ">=", "2024-03-14", "", "0"), ("", "FDate", "<", "2024-03-16", "", "0")], "FDate >= '2024-03-14' AND FDate < '2024-03-16'"),
    ([("", "FBillNo", "=", "B-001", "", "1"), ("", "FBillNo", "=", "B-003", "", "0")], "FBillNo = 'B-001' OR FBillNo = 'B-003'"),
    ([("(", "FBillNo", "=", "B-001", "", "or"), ("", "FBillNo", "=", "B-003", ")", "and"), ("", "FQty", ">", "1", "", "")], "(FBillNo = 'B-001' OR FBillNo = 'B-003') AND FQty > 1"),
    ([("", "FBillNo", "=", "B-001", "", "1"), ("", "FBillNo", "=", "B-003", "", "0"), ("", "FQty", ">", "1", "", "")], "FBillNo = 'B-001' OR FBillNo = 'B-003' AND FQty > 1"),
    ([("", "FDocumentStatus", "StatusEqualto", "C", "", "AND")], "FDocumentStatus = 'C'"),
    ([("", "FDocumentStatus", "StatusNotEqualto", "C", "", "AND")], "FDocumentStatus <> 'C'"),
    ([("", "FNOTE", "like", "%件", "", "0")], "FNOTE LIKE '%件'"),
    ([("", "FNOTE", "not like", "%件", "", "0")], "FNOTE NOT LIKE '%件'"),
    ([("", "FNOTE", "is null", "", "", "0")], "FNOTE IS NULL"),
    ([("", "FNOTE", "IsNotNull", "", "", "0")], "FNOTE IS NOT NULL"),
    ([("", "FTimes", "in", "0,1,5", "", "0")], "FTimes IN ('0','1','5')"),
    ([("", "FStockOrgId.FNumber", "not in", "202, 204", "", "0")], "FStockOrgId.FNumber NOT IN ('202','204')"),
    ([("((", "FQty", "GreaterThan", "0", ")", "1"), ("", "FTimes", "LessThan", "5", ")", "0"), ("", "FPrinted", "=", "1", "", "0")], "((FQty > 0) OR FTimes < 5) AND FPrinted = 1"),
    ([("", "FMATERIALID.FNumber", "<>", "M1", "", "0")], "FMATERIALID.FNumber <> 'M1'"),
]

REFUSED = [
    ["FNothing = 1", 9], ["FBillNo.FNumber = '1'", 9], ["FMATERIALID.FNothing = '1'", 9], ["FStockOrgId.FNumber.FName = '1'", 9],
    ["FBillNo =", 4], ["FBillNo = 'B", 4], ["= 'B'", 4], ["FBillNo", 4], ["FBillNo = 'a' and", 4], ["(FBillNo = 'a'", 4],
    ["FBillNo = 'a')", 4], ["FBillNo = 'a' FDate = '2024-01-01'", 4], ["FBillNo = 'a'; delete from x", 4],
    ["FBillNo = 'a' -- rest", 4], ["FBillNo = /* x */ 'a'", 4], ["FDate >= 'soon'", 4], ["FDate >= '2024-02-30'", 4], ["FDate = 5", 4],
    ["FQty = 'a dozen'", 4], ["FQty like '1%'", 4], ["FDate like '2024%'", 4], ["upper(FBillNo) = 'A'", 4], ["FQty * 2 > 1", 4],
    ["FID in (select 1)", 4], ["exists (select 1)", 4], ["FBillNo in ()", 4], ["FBillNo in (FNOTE)", 4], ["FQty = FBillNo", 4],
    ["FDate = FQty", 4], ["FPrinted = 'maybe'", 4], ["FBillNo like FNOTE", 4], ["FBillNo = 'a' xor FBillNo = 'b'", 4],
    ["FBillNo between 'a'", 4], ["{x'1'}", 4], ["FBillNo like 'a' escape 'ab'", 4],
]


def combined():
    """Random combinations of the plain atoms, seeded."""
    chance = random.Random(2024)
    plain = [atom for atom in ATOMS if " and " not in atom.lower().replace("between", "").replace("'", " ") or "between" in atom]
    plain = [atom for atom in plain if " or " not in atom.lower()]

    def build(depth):
        if depth == 0 or chance.random() < 0.25:
            return chance.choice(plain)
        kind = chance.choice(["and", "or", "and", "or", "not", "nest"])
        if kind == "not":
            return f"not ({build(depth - 1)})"
        if kind == "nest":
            return f"({build(depth - 1)})"
        left, right = build(depth - 1), build(depth - 1)
        return f"{left} {kind} {right}" if chance.random() < 0.5 else f"({left}) {kind.upper()} ({right})"

    seen = set(ATOMS)
    while len(seen) < len(ATOMS) + 200:
        filter_text = build(chance.choice([2, 3, 3, 4]))
        if filter_text not in seen:
            seen.add(filter_text)
            yield filter_text


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    return "'" + value.replace("'", "''") + "'"


def setup(bills):
    yield "SET NAMES utf8mb4 COLLATE utf8mb4_bin; SET sql_mode = 'NO_BACKSLASH_ESCAPES'; CREATE DATABASE cases; USE cases;"
    text = "VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    yield f"CREATE TABLE base (kind VARCHAR(4), id INT, FNumber {text}, FName {text});"
    for offset, kind, numbers, title in [(100, "org", ORGS, "组织"), (200, "mat", MATERIALS, "")]:
        for index, number in enumerate(numbers):
            yield f"INSERT INTO base VALUES ('{kind}', {offset + index}, {literal(number)}, {literal(title + number)});"
    yield (f"CREATE TABLE bill (FBillNo {text}, FNOTE {text}, FDate DATETIME(3), FApproveDate DATETIME(3), FDocumentStatus {text},"
           f" FStockOrgId INT, FPrinted INT, FTimes BIGINT, FRowNo INT, FMATERIALID INT, FQty DECIMAL(28,10), FAmount DECIMAL(28,10), FEntryNote {text});")
    for bill in bills:
        for row in bill["FEntity"]:
            org = bill["FStockOrgId"] and 100 + ORGS.index(bill["FStockOrgId"])
            material = row["FMATERIALID"] and 200 + MATERIALS.index(row["FMATERIALID"])
            head = [bill[key] for key in ("FBillNo", "FNOTE", "FDate", "FApproveDate", "FDocumentStatus")]
            values = [literal(value) for value in [*head, org, bill["FPrinted"], bill["FTimes"], row["FRowNo"], material]]
            values += [row["FQty"] or "NULL", row["FAmount"] or "NULL", literal(row["FEntryNote"])]
            yield f"INSERT INTO bill VALUES ({', '.join(values)});"


def statement(condition):
    return ("SELECT FRowNo FROM bill LEFT JOIN base AS FStockOrgId ON FStockOrgId.id = bill.FStockOrgId"
            f" LEFT JOIN base AS FMATERIALID ON FMATERIALID.id = bill.FMATERIALID WHERE {condition} ORDER BY FRowNo")


def ask(socket, bills, conditions):
    """The rows of each condition, and the version of the server."""
    lines = list(setup(bills))
    for condition in conditions:
        lines += [f"{statement(condition)};", "SELECT CONCAT('warnings ', @@warning_count);"]
    lines.append("SELECT VERSION();")
    done = subprocess.run(["mariadb", "--no-defaults", f"--socket={socket}", "--user=root", "-N", "-B", "--default-character-set=utf8mb4"],
                          input="\n".join(lines).encode(), capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    results, rows_so_far = [], []
    *output, version = done.stdout.decode().splitlines()
    for line in output:
        if line.startswith("warnings "):
            if line != "warnings 0":
                raise SystemExit(f"MariaDB warns of {conditions[len(results)]}")
            results.append(rows_so_far)
            rows_so_far = []
        else:
            rows_so_far.append(int(line))
    if len(results) != len(conditions):
        raise SystemExit("MariaDB did not answer every case")
    return results, version


def with_server(work):
    folder = tempfile.mkdtemp(prefix="filter-cases-", dir="/tmp")
    data, socket = os.path.join(folder, "data"), os.path.join(folder, "sock")
    subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"]
                   + (["--user=root"] if os.getuid() == 0 else []), check=True, capture_output=True)
    server = subprocess.Popen(["mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={socket}", "--skip-networking", f"--pid-file={folder}/pid",
                               "--lower-case-table-names=1", "--character-set-server=utf8mb4", "--collation-server=utf8mb4_bin"]
                              + (["--user=root"] if os.getuid() == 0 else []), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            if os.path.exists(socket):
                break
            time.sleep(0.1)
        return work(socket)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def main(output):
    bills = rows()
    texts = [*ATOMS, *combined()]
    arrays = [[dict(zip(("Left", "FieldName", "Compare", "Value", "Right", "Logic"), part)) for part in parts] for parts, _ in ARRAYS]
    conditions = [*texts, *(condition for _, condition in ARRAYS)]
    results, version = with_server(lambda socket: ask(socket, bills, conditions))
    cases = [{"filter": text, "statement": statement(condition), "rows": found}
             for text, condition, found in zip([*texts, *arrays], conditions, results)]
    document = {
        "evaluator": f"MariaDB {version}, utf8mb4_bin, NO_BACKSLASH_ESCAPES",
        "differences": DIFFERENCES,
        "documents": bills,
        "refused": [{"filter": text, "code": code} for text, code in REFUSED],
        "cases": cases,
    }
    with open(output, "w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, indent=1)
        file.write("\n")
    print(len(cases), "cases,", sum(1 for case in cases if case["rows"]), "of them select rows")


if __name__ == "__main__":
    main(sys.argv[1])
