#!/usr/bin/env python3
"""Writes function-cases.json: expressions with what a real MariaDB answers to them.

The file is written once and kept; the tests only read it. To write it again, start a server of your own without
network, for instance

    mariadb-install-db --no-defaults --datadir=DIR/data --auth-root-authentication-method=normal
    mariadbd --no-defaults --datadir=DIR/data --socket=DIR/s.sock --skip-networking --default-time-zone=+08:00

and run `python3 function-cases.py DIR/s.sock > function-cases.json`.

How a statement is made from an expression: a reference outside quotes becomes a literal (numbers and numeric text as a
number, other text quoted, missing or "" as NULL); inside quotes it becomes its text, escaped. SELECT JSON_ARRAY(...)
keeps numbers, booleans, text and NULL apart in the answer. Text is compared as utf8mb4_nopad_bin, that is exactly; what
MariaDB's default collation answers is part of the deliberate differences.
"""

import json
import re
import subprocess
import sys
from decimal import Decimal

REFERENCE = re.compile(r"\{\{([^\W\d][\w.$-]*)\}\}|\{([^\W\d][\w.$-]*)\}")
NOW = 1710403200  # 2024-03-14 16:00:00 +08:00
SETTINGS = {
    "time_zone": "+08:00",
    "sql_mode": "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE",
    "collation": "utf8mb4_nopad_bin",
}


def look(record, path):
    value = record
    for name in path.split("."):
        while isinstance(value, list):
            value = value[0] if value else None
        value = value.get(name) if isinstance(value, dict) else None
    return value


def shortest(value):
    text = format(Decimal(str(value)), "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def escaped(text):
    return text.replace("\\", "\\\\").replace("'", "\\'")


def literal(value):
    if value is None or value == "":
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, Decimal)):
        return str(value)
    if re.fullmatch(r"[+-]?\d*\.?\d+", value):
        return value
    return "'" + escaped(value) + "'"


def inside(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (int, Decimal)):
        return shortest(value)
    return value


def bound(expression, record):
    """Puts the record's values into the expression as literals."""
    out, quote, at = [], None, 0
    while at < len(expression):
        c = expression[at]
        found = REFERENCE.match(expression, at)
        if found:
            value = look(record, found.group(1) or found.group(2))
            out.append(escaped(inside(value)) if quote else " " + literal(value) + " ")
            at = found.end()
            continue
        if quote and c == "\\":
            out.append(expression[at : at + 2])
            at += 2
            continue
        if quote and c == quote:
            quote = None
        elif not quote and c in "'\"":
            quote = c
        out.append(c)
        at += 1
    return "".join(out)


def ask(socket, statements):
    """The first column of each statement, parsed as JSON."""
    script = [
        f"SET time_zone='{SETTINGS['time_zone']}', sql_mode='{SETTINGS['sql_mode']}';",
        "SET NAMES utf8mb4 COLLATE utf8mb4_nopad_bin;",
    ]
    for at, (now, statement) in enumerate(statements):
        script.append(f"SET timestamp={now};")
        script.append(f"SELECT {at}, answer FROM ({statement}) AS asked;")
    answer = subprocess.run(
        ["mariadb", "--no-defaults", "-uroot", "-S", socket, "-N", "--raw", "--force", "--default-character-set=utf8mb4"],
        input="\n".join(script), capture_output=True, text=True, check=False,
    )
    if answer.stderr:
        print(answer.stderr, file=sys.stderr)
    found = {}
    for line in answer.stdout.splitlines():
        at, text = line.split("\t", 1)
        found[int(at)] = json.loads(text, parse_float=Decimal)[0]
    return found


def main():
    socket = sys.argv[1]
    version = ask(socket, [(0, "SELECT JSON_ARRAY(VERSION()) AS answer")])[0]
    cases, differences = [], []
    for expression, record, now in CASES:
        cases.append((expression, record, now, f"SELECT JSON_ARRAY({bound(expression, record)}) AS answer"))
    for expression, rows, name in AGGREGATES:
        record = {"rows": [{"v": value} for value in rows]}
        listed = " UNION ALL ".join(f"SELECT {literal(value)} AS v" for value in rows) or "SELECT 1 AS v LIMIT 0"
        statement = f"SELECT JSON_ARRAY({expression.replace(name, 'v')}) AS answer FROM ({listed}) AS rows_of_bill"
        cases.append((expression, record, NOW, statement))
    for expression, record, asked, ours, why in DIFFERENCES:
        statement = f"SELECT JSON_ARRAY({asked or bound(expression, record)}) AS answer"
        differences.append((expression, record, NOW, statement, ours, why))
    answers = ask(socket, [(now, statement) for _, _, now, statement, *_ in cases + differences])
    listed = []
    for at, (expression, record, now, statement) in enumerate(cases):
        if at not in answers:
            sys.exit(f"no answer: {statement}")
        case = {"expression": expression}
        if record:
            case["record"] = record
        if now != NOW:
            case["now"] = now
        listed.append({**case, "statement": statement, "expected": answers[at]})
    different = []
    for at, (expression, record, _, statement, ours, why) in enumerate(differences, len(cases)):
        case = {"expression": expression}
        if record:
            case["record"] = record
        different.append({**case, "statement": statement, "mariadb": answers.get(at, "error"), "ours": ours, "why": why})
    lines = lambda items: ",\n".join("  " + dump(item) for item in items)
    print("{")
    print(f' "server": {dump(version)},')
    print(f' "settings": {dump(SETTINGS)},')
    print(f' "now": {NOW},')
    print(' "cases": [\n' + lines(listed) + "\n ],")
    print(' "deliberate_differences": [\n' + lines(different) + "\n ]")
    print("}")


def used(expression):
    """The members of the order that an expression names."""
    names = {(double or single).split(".")[0] for double, single in REFERENCE.findall(expression)}
    return {name: value for name, value in ORDER.items() if name in names}


def dump(value):
    """JSON with decimals as they are."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)}: {dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(dump(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)


ORDER = {
    "no": "AD0001", "o": "202", "amt": Decimal("99.90"), "amount": "1234.5678", "n": 3, "zero": 0, "neg": Decimal("-7.5"),
    "name": "含样品的物料", "code": "KCZT01_SYS", "empty": "", "flag": True, "off": False, "t": 1710403200000,
    "s": 1710403200, "date": "2024-03-14", "at": "2024-03-14 16:01:02", "quote": "it's a 'test'", "slash": "a\\b",
    "qty": Decimal("12.0"), "tax": Decimal("0.13"), "blank": "  两 端  ", "list": "a,b,c", "u_供应商编码": "V1",
    "form": {"code": "B1", "rate": Decimal("0.06")}, "details": [{"q": 5}, {"q": 7}], "mixed": "12abc", "word": "abc",
}

EXPRESSIONS = """
1 + 2
1 - 2
2 * 3
7 / 2
1 / 3
2 / 3
-2 / 3
100 / 8
1 / 4 / 3
0.1 + 0.2
0.13 * 100
1.10 + 2.205
1.5 * 1.5
10 - 0.001
99.90 / 3
1.000 / 3
5 % 3
-5 % 3
5 % -3
5.5 % 2
-7.5 % 2
7 DIV 2
-7 DIV 2
7.9 DIV 2
7 DIV 0.5
5 MOD 3
10 MOD 4 + 1
MOD(10, 3)
MOD(-10, 3)
MOD(10.5, 3)
- 5 + 2
-(5 + 2)
- - 5
+5
2 + 3 * 4
(2 + 3) * 4
2 * 3 % 4
10 - 4 - 3
100 / 10 / 2
1 + 2 DIV 2
.5 + 1
1e2 + 0
12345678901234 * 1000
99999999999999 + 1
0.00001 * 0.00001
1 + NULL
NULL * 0
NULL / 2
'5' + 3
'1.5' + 1
'abc' + 1
'12abc' + 1
' 7' + 1
'-3.5x' * 2
'' + 1
'1e2' + 1
TRUE + 1
TRUE + TRUE
FALSE * 5
(1 = 1) + 1
1 = 1
1 = 2
1.0 = 1
1 = '1'
1 = '1.0'
0 = 'abc'
5 = '5abc'
'a' = 'a'
'a' = 'A'
'a' = 'a '
'10' = '10.0'
'样品' = '样品'
'样品' = '物料'
1 <> 2
1 != 1
'a' <> 'b'
1 < 2
2 < 1
2 <= 2
3 > 2.5
3 >= 3.0
'abc' < 'abd'
'b' > 'a'
'10' < '9'
10 < '9'
'B' < 'a'
NULL = NULL
NULL <> 1
1 < NULL
NULL <=> NULL
1 <=> NULL
1 <=> 1
1 <=> 2
'a' <=> 'a'
TRUE = 1
FALSE = 0
TRUE = '1'
TRUE = 2
1 AND 1
1 AND 0
1 && 1
0 AND NULL
1 AND NULL
NULL AND 0
1 OR 0
0 OR 0
0 || 1
1 || 0 && 0
NULL OR 1
NULL OR 0
1 XOR 1
1 XOR 0
NULL XOR 1
NOT 1
NOT 0
NOT NULL
! 1
!0 + 1
! (1 = 2)
NOT 1 = 2
NOT 1 + 1
'a' AND 1
'1' AND 1
'0' OR 0
0.5 AND 1
1 = 1 = 1
1 < 2 = 1
3 > 2 > 1
1 OR 1 AND 0
(1 OR 1) AND 0
NOT 0 AND 0
1 IS NULL
NULL IS NULL
'' IS NULL
1 IS NOT NULL
NULL IS NOT NULL
1 IS TRUE
0 IS TRUE
NULL IS TRUE
0 IS FALSE
NULL IS FALSE
NULL IS UNKNOWN
NULL IS NOT TRUE
1 IS NOT FALSE
2 IS TRUE
1 = 1 IS TRUE
1 IN (1, 2, 3)
4 IN (1, 2, 3)
'a' IN ('a', 'b')
'A' IN ('a', 'b')
1 IN (2, NULL)
1 IN (1, NULL)
NULL IN (1, 2)
4 NOT IN (1, 2)
1 NOT IN (1, 2)
1 NOT IN (2, NULL)
'样品' IN ('物料', '样品')
1 + 1 IN (2)
2 BETWEEN 1 AND 3
4 BETWEEN 1 AND 3
1 BETWEEN 1 AND 1
2 NOT BETWEEN 1 AND 3
'b' BETWEEN 'a' AND 'c'
2 BETWEEN NULL AND 3
4 BETWEEN NULL AND 3
5 BETWEEN 1 AND 2 + 3
2 BETWEEN 1 AND 3 AND 0
'abc' LIKE 'a%'
'abc' LIKE '%b%'
'abc' LIKE 'b%'
'abc' LIKE 'a_c'
'abc' LIKE 'a_'
'abc' NOT LIKE 'x%'
'ABC' LIKE 'abc'
'含样品' LIKE '%样%'
'含样品' LIKE '_样_'
'100%' LIKE '100\\%'
'1000' LIKE '100\\%'
'a_b' LIKE 'a\\_b'
'axb' LIKE 'a\\_b'
'a%b' LIKE 'a|%b' ESCAPE '|'
NULL LIKE 'a'
'a' LIKE NULL
123 LIKE '1%'
'' LIKE '%'
'a' LIKE 'b' = 0
'abc' REGEXP '^a'
'abc' REGEXP 'c$'
'abc' REGEXP '[x-z]'
'abc' NOT REGEXP 'z'
'ABC' REGEXP 'abc'
'物料01' REGEXP '^物料[0-9]+$'
'a1b2' REGEXP '([a-z][0-9]){2}'
'x' RLIKE 'x|y'
NULL REGEXP 'a'
'abc' REGEXP NULL
CASE 1 WHEN 1 THEN 'one' WHEN 2 THEN 'two' ELSE 'many' END
CASE 3 WHEN 1 THEN 'one' WHEN 2 THEN 'two' ELSE 'many' END
CASE 3 WHEN 1 THEN 'one' END
CASE WHEN 1 > 2 THEN 'a' WHEN 2 > 1 THEN 'b' END
CASE WHEN NULL THEN 'a' ELSE 'b' END
CASE NULL WHEN NULL THEN 'a' ELSE 'b' END
CASE '1' WHEN 1 THEN 'same' ELSE 'other' END
CASE 'a' WHEN 'A' THEN 1 ELSE 2 END
CASE WHEN 'x' = 'x' THEN CASE WHEN 1 THEN 'in' END ELSE 'out' END
case when 1 then 2 end + 1
IF(1 > 0, 'yes', 'no')
IF(NULL, 'yes', 'no')
IF('a', 1, 2)
IF('1', 1, 2)
IF(0.1, 1, 2)
IFNULL(NULL, 'x')
IFNULL('a', 'x')
IFNULL(NULL, NULL)
IFNULL(0, 5)
COALESCE(NULL, NULL, 'c')
COALESCE(NULL)
COALESCE(1, NULL)
NULLIF(1, 1)
NULLIF(1, 2)
NULLIF('a', 'A')
NULLIF(NULL, 1)
ISNULL(NULL)
ISNULL('')
NVL(NULL, 3)
GREATEST(1, 5, 3)
GREATEST(1.5, 1)
GREATEST('a', 'c', 'b')
GREATEST(1, NULL)
LEAST(4, 2, 8)
LEAST('b', 'a')
LEAST(-1, -1.5)
ABS(-5.5)
ABS('-3')
ABS(NULL)
SIGN(-3)
SIGN(0)
CEIL(1.2)
CEIL(-1.2)
CEILING(5)
FLOOR(1.8)
FLOOR(-1.2)
ROUND(2.5)
ROUND(-2.5)
ROUND(1.005, 2)
ROUND(1.234567, 4)
ROUND(150, -2)
ROUND(149.99, -2)
ROUND(12, 2)
ROUND(1.5, 3)
ROUND(NULL)
ROUND(1.5, NULL)
ROUND(0.5)
ROUND(1.45, 1)
TRUNCATE(1.999, 2)
TRUNCATE(-1.999, 1)
TRUNCATE(1999, -2)
TRUNCATE(12, 1)
CONCAT('a', 'b', 'c')
CONCAT('a', NULL)
CONCAT(1, '-', 2.50)
CONCAT('样品', 1)
CONCAT('a')
CONCAT(ROUND(12.5, 2))
CONCAT(ROUND(1.5, 3), 'x')
CONCAT(TRUE)
CONCAT(-0.5)
CONCAT_WS('-', 'a', NULL, 'b')
CONCAT_WS(NULL, 'a', 'b')
CONCAT_WS(',', 1, 2, 3)
CONCAT_WS('-', NULL, NULL)
LEFT('abcdef', 3)
LEFT('样品物料', 2)
LEFT('abc', 0)
LEFT('abc', -1)
LEFT('abc', 10)
LEFT(NULL, 1)
LEFT('abc', 1.5)
LEFT(12345, 2)
RIGHT('abcdef', 2)
RIGHT('样品物料', 2)
RIGHT('abc', 0)
RIGHT('abc', 9)
SUBSTRING('abcdef', 2)
SUBSTRING('abcdef', 2, 3)
SUBSTRING('abcdef', -3)
SUBSTRING('abcdef', -3, 2)
SUBSTRING('abcdef', 0)
SUBSTRING('abcdef', 0, 2)
SUBSTRING('abcdef', 10)
SUBSTRING('abcdef', -10)
SUBSTRING('abcdef', 2, -1)
SUBSTRING('abcdef', 2, 0)
SUBSTRING('样品物料', 2, 2)
SUBSTRING('abcdef' FROM 2 FOR 2)
SUBSTRING('abcdef' FROM 4)
SUBSTR('abcdef', 3, 2)
MID('abcdef', 2, 2)
LENGTH('abc')
LENGTH('样品')
LENGTH('')
LENGTH(NULL)
LENGTH(12.50)
CHAR_LENGTH('样品ab')
CHARACTER_LENGTH('')
OCTET_LENGTH('é')
LOCATE('b', 'abc')
LOCATE('x', 'abc')
LOCATE('样', '含样品')
LOCATE('a', 'banana', 3)
LOCATE('a', 'banana', 0)
LOCATE('', 'abc')
LOCATE('', 'abc', 4)
LOCATE('', 'abc', 5)
LOCATE('B', 'abc')
LOCATE(NULL, 'abc')
POSITION('na' IN 'banana')
INSTR('banana', 'na')
INSTR('abc', 'x')
INSTR('含样品', '品')
REPLACE('a-b-c', '-', '+')
REPLACE('aaa', 'a', 'bb')
REPLACE('abc', 'B', 'x')
REPLACE('abc', '', 'x')
REPLACE('样品样品', '样', '物')
REPLACE('abc', NULL, 'x')
UPPER('abc样é')
LOWER('ABC样É')
UCASE('aß')
LCASE('İ')
TRIM('  a b  ')
LTRIM('  a ')
RTRIM(' a  ')
TRIM(BOTH 'x' FROM 'xxaxx')
TRIM(LEADING 'x' FROM 'xxaxx')
TRIM(TRAILING 'x' FROM 'xxaxx')
TRIM('ab' FROM 'ababcab')
TRIM('')
LPAD('5', 3, '0')
LPAD('样', 3, 'ab')
LPAD('abc', 2, 'x')
LPAD('a', 3)
LPAD('a', 3, '')
LPAD('a', -1, 'x')
LPAD('a', 0, 'x')
LPAD(7, 2, 0)
RPAD('5', 3, '0')
RPAD('样', 4, '品a')
RPAD('abc', 2, 'x')
SUBSTRING_INDEX('a.b.c', '.', 1)
SUBSTRING_INDEX('a.b.c', '.', 2)
SUBSTRING_INDEX('a.b.c', '.', -1)
SUBSTRING_INDEX('a.b.c', '.', -2)
SUBSTRING_INDEX('a.b.c', '.', 5)
SUBSTRING_INDEX('a.b.c', '.', -5)
SUBSTRING_INDEX('a.b.c', '.', 0)
SUBSTRING_INDEX('a.b.c', '', 1)
SUBSTRING_INDEX('a.b.c', 'x', 1)
SUBSTRING_INDEX('样-品-物', '-', -1)
REVERSE('abc样')
REPEAT('ab', 3)
REPEAT('ab', 0)
FIELD('b', 'a', 'b', 'c')
FIELD('x', 'a')
FIND_IN_SET('b', 'a,b,c')
FIND_IN_SET('x', 'a,b,c')
FIND_IN_SET('', '')
CAST('12.7' AS SIGNED)
CAST(12.7 AS SIGNED)
CAST(-12.5 AS SIGNED)
CAST('12abc' AS SIGNED)
CAST('abc' AS SIGNED)
CAST(12.4 AS UNSIGNED)
CAST(12.50 AS CHAR)
CAST('样品物料' AS CHAR(2))
CAST('12.345' AS DECIMAL(10,2))
CAST(12.345 AS DECIMAL(10,1))
CAST('7' AS DECIMAL)
CAST(7.5 AS DECIMAL(5))
CONCAT(CAST(1 AS DECIMAL(10,2)))
CAST('2024-03-14 16:01:02' AS DATE)
CAST('2024-03-14' AS DATETIME)
CAST('2024-03-14 16:01:02' AS TIME)
CAST(20240314 AS DATE)
CAST(NULL AS SIGNED)
CONVERT('5', SIGNED)
CONVERT(5, CHAR)
'a''b'
"a""b"
'a\\'b'
'a\\\\b'
'tab\\tnew\\nline'
"it's"
''
'2024' + 1
NOW()
CURDATE()
CURRENT_DATE
CURRENT_TIMESTAMP
CURTIME()
UNIX_TIMESTAMP()
UNIX_TIMESTAMP('2024-03-14 16:00:00')
UNIX_TIMESTAMP('2024-03-14')
UNIX_TIMESTAMP(NOW())
UNIX_TIMESTAMP('x')
FROM_UNIXTIME(1710403200)
FROM_UNIXTIME(0)
FROM_UNIXTIME(-1)
FROM_UNIXTIME(NULL)
FROM_UNIXTIME(1710403200, '%Y-%m-%d')
FROM_UNIXTIME(1710403200 - 600, '%Y-%m-%d %H:%i:%s')
FROM_UNIXTIME(1710403200000 / 1000, '%Y-%m-%d %T')
FROM_UNIXTIME(1710403200.25, '%f')
DATE('2024-03-14 16:01:02')
DATE('2024-3-4')
DATE('2024/03/14')
DATE('20240314')
DATE('20240314160102')
DATE('240314')
DATE('990314')
DATE('2024.03.14')
DATE('2024-02-30')
DATE('2023-02-29')
DATE('2024-13-01')
DATE('abc')
DATE('')
DATE(NULL)
DATE(20240314)
DATE('2024-03-14T16:01:02')
YEAR('2024-03-14')
MONTH('2024-03-14')
DAY('2024-03-04')
DAYOFMONTH('2024-03-14')
HOUR('2024-03-14 16:01:02')
HOUR('16:01:02')
HOUR('2024-03-14')
MINUTE('2024-03-14 16:01:02')
MINUTE('16:01')
SECOND('2024-03-14 16:01:02')
QUARTER('2024-03-14')
QUARTER('2024-12-01')
DAYOFWEEK('2024-03-14')
WEEKDAY('2024-03-14')
DAYOFYEAR('2024-12-31')
DAYNAME('2024-03-14')
MONTHNAME('2024-03-14')
YEAR('x')
MONTH(NULL)
LAST_DAY('2024-02-10')
LAST_DAY('2023-02-10')
LAST_DAY('2024-12-31 10:00:00')
LAST_DAY('x')
DATEDIFF('2024-03-14', '2024-03-01')
DATEDIFF('2024-03-01', '2024-03-14')
DATEDIFF('2024-03-14 23:59:59', '2024-03-13 00:00:00')
DATEDIFF('2024-03-14', NULL)
DATEDIFF('2025-01-01', '2024-01-01')
DATE_ADD('2024-03-14', INTERVAL 1 DAY)
DATE_ADD('2024-01-31', INTERVAL 1 MONTH)
DATE_ADD('2024-02-29', INTERVAL 1 YEAR)
DATE_ADD('2024-03-14', INTERVAL 1 WEEK)
DATE_ADD('2024-11-30', INTERVAL 1 QUARTER)
DATE_ADD('2024-03-14', INTERVAL 1 HOUR)
DATE_ADD('2024-03-14 23:30:00', INTERVAL 45 MINUTE)
DATE_ADD('2024-03-14 23:59:59', INTERVAL 1 SECOND)
DATE_ADD('2024-12-31', INTERVAL 1 DAY)
DATE_ADD('2024-03-14', INTERVAL -14 DAY)
DATE_ADD('2024-03-14', INTERVAL '3' DAY)
DATE_ADD('2024-03-14', INTERVAL 1.5 DAY)
DATE_ADD('2024-03-14', INTERVAL NULL DAY)
DATE_ADD(NULL, INTERVAL 1 DAY)
DATE_ADD('x', INTERVAL 1 DAY)
DATE_ADD('2024-03-14', INTERVAL 1+1 DAY)
DATE_ADD('2024-03-14 16:00:00', INTERVAL 1 DAY)
DATE_ADD('9999-12-31', INTERVAL 1 DAY)
DATE_SUB('2024-03-31', INTERVAL 1 MONTH)
DATE_SUB('2024-03-01', INTERVAL 1 DAY)
DATE_SUB('2024-03-14 00:00:00', INTERVAL 1 SECOND)
DATE_SUB(NOW(), INTERVAL 7 DAY)
DATE_SUB(CURDATE(), INTERVAL 3 DAY)
ADDDATE('2024-03-14', 10)
SUBDATE('2024-03-14', INTERVAL 2 MONTH)
'2024-03-14' + INTERVAL 1 DAY
'2024-03-14' - INTERVAL 1 MONTH
INTERVAL 1 DAY + '2024-03-14'
'2024-01-31' + INTERVAL 1 MONTH + INTERVAL 1 DAY
NOW() - INTERVAL 90 MINUTE
TIMESTAMPDIFF(DAY, '2024-03-01', '2024-03-14')
TIMESTAMPDIFF(MONTH, '2024-01-31', '2024-02-29')
TIMESTAMPDIFF(MONTH, '2024-01-15', '2024-03-15')
TIMESTAMPDIFF(YEAR, '2020-03-15', '2024-03-14')
TIMESTAMPDIFF(HOUR, '2024-03-14 00:00:00', '2024-03-14 05:59:59')
TIMESTAMPDIFF(MINUTE, '2024-03-14 01:00:00', '2024-03-14 00:00:30')
TIMESTAMPDIFF(WEEK, '2024-03-01', '2024-03-14')
TIMESTAMPADD(HOUR, 2, '2024-03-14 23:00:00')
EXTRACT(YEAR FROM '2024-03-14')
EXTRACT(MINUTE FROM '2024-03-14 16:01:02')
TIME('2024-03-14 16:01:02')
DATE_FORMAT('2024-03-14 16:01:02', '%Y-%m-%d %H:%i:%s')
DATE_FORMAT('2024-03-14 16:01:02', '%y%c%e %k:%i')
DATE_FORMAT('2024-03-04', '%D %M %W')
DATE_FORMAT('2024-03-01', '%D')
DATE_FORMAT('2024-03-22', '%D')
DATE_FORMAT('2024-03-13', '%D')
DATE_FORMAT('2024-03-14 16:01:02', '%a %b %j')
DATE_FORMAT('2024-03-14 16:01:02', '%h:%i %p')
DATE_FORMAT('2024-03-14 00:01:02', '%I %l %r')
DATE_FORMAT('2024-03-14 16:01:02', '%T %S %f')
DATE_FORMAT('2024-03-14', '%w')
DATE_FORMAT('2024-01-01', '%U %u %V %v %X %x')
DATE_FORMAT('2023-01-01', '%U %u %V %v %X %x')
DATE_FORMAT('2021-01-03', '%U %u %V %v %X %x')
DATE_FORMAT('2020-12-31', '%U %u %V %v %X %x')
DATE_FORMAT('2024-12-30', '%U %u %V %v %X %x')
DATE_FORMAT('2022-01-01', '%U %u %V %v %X %x')
DATE_FORMAT('2024-03-14', '%Y年%m月%d日')
DATE_FORMAT('2024-03-14', '%% %x%')
DATE_FORMAT('2024-03-14', '%Q')
DATE_FORMAT('2024-03-14', '')
DATE_FORMAT('x', '%Y')
DATE_FORMAT(NULL, '%Y')
DATE_FORMAT(NOW(), '%Y%m%d%H%i%s')
STR_TO_DATE('14/03/2024', '%d/%m/%Y')
STR_TO_DATE('2024-03-14 16:01:02', '%Y-%m-%d %H:%i:%s')
STR_TO_DATE('March 4, 2024', '%M %e, %Y')
STR_TO_DATE('Mar 4 24', '%b %d %y')
STR_TO_DATE('20240314', '%Y%m%d')
STR_TO_DATE('04:05:06 PM', '%h:%i:%s %p')
STR_TO_DATE('16:01', '%H:%i')
STR_TO_DATE('2024年3月4日', '%Y年%c月%e日')
STR_TO_DATE('2024-13-01', '%Y-%m-%d')
STR_TO_DATE('abc', '%Y-%m-%d')
STR_TO_DATE('2024-03', '%Y-%m-%d')
STR_TO_DATE('2024 074', '%Y %j')
STR_TO_DATE(NULL, '%Y')
"""

WITH_RECORD = """
CASE WHEN '{o}' ='100' THEN '125' WHEN '{o}' ='202' THEN '126' ELSE '109' END
CASE WHEN {o} = 202 THEN 'yes' ELSE 'no' END
{tax} * 100
{{amt}} / {{n}}
{n} * -1
{neg} + {n}
ABS({neg})
ROUND({amount}, 2)
ROUND({amt} / {n}, 4)
{amt} * {n} - 0.7
{amount} DIV {n}
{n} % 2
CASE {zero} WHEN 0 THEN TRUE ELSE FALSE END
CASE '{flag}' WHEN TRUE THEN 'KCZT08_SYS' ELSE 'KCZT01_SYS' END
CASE '{off}' WHEN TRUE THEN 'KCZT08_SYS' ELSE 'KCZT01_SYS' END
CASE LEFT('{no}', 2) WHEN 'AD' THEN 100 ELSE 103 END
CASE LOCATE('样品', '{name}') WHEN 0 THEN 'A' ELSE 'B' END
LOCATE('样品', {name})
CONCAT('{no}', '/', IFNULL({empty}, '-'))
CONCAT({no}, '-', {code})
CONCAT('{quote}', '!')
CONCAT({quote}, '!')
'{slash}'
'{gone}x'
IFNULL({gone}, 'none')
IFNULL('{gone}', 'none')
{gone} IS NULL
{empty} IS NULL
'{empty}' IS NULL
'{empty}' = ''
COALESCE({gone}, {empty}, {n})
IF({flag}, 'on', 'off')
IF({off}, 'on', 'off')
'{qty}'
{qty} * 2
CONCAT('{qty}', '件')
CONCAT('{n}', '{amt}')
FROM_UNIXTIME({t} DIV 1000)
FROM_UNIXTIME({s}, '%Y/%m/%d')
DATE_FORMAT(DATE_ADD(FROM_UNIXTIME({t} / 1000), INTERVAL 30 DAY), '%Y-%m-%d')
DATE_FORMAT('{date}', '%Y%m')
DATE_ADD({date}, INTERVAL {n} DAY)
DATEDIFF({at}, '2024-01-01')
'{date}' = DATE_FORMAT('{at}', '%Y-%m-%d')
LEFT('{at}', 10)
UNIX_TIMESTAMP('{at}')
TRIM('{blank}')
CHAR_LENGTH('{blank}')
SUBSTRING_INDEX('{list}', ',', 2)
FIND_IN_SET('b', '{list}')
'{no}' LIKE 'AD%'
{no} REGEXP '^[A-Z]{2}[0-9]+$'
'{o}' IN ('100', '202')
{o} IN (100, 202)
{o} BETWEEN 200 AND 300
'{u_供应商编码}'
CONCAT({u_供应商编码}, '-', {form.code})
{form.rate} * 100
{details.q} + 1
{mixed} + 1
{word} = 0
{word} + 0
UPPER({word})
{n} = '3'
{n} = '3.0'
{qty} = 12
'{qty}' = '12'
GREATEST({n}, {amt})
LPAD('{n}', 4, '0')
REPLACE('{no}', 'AD', '')
RIGHT('{no}', 4) + 0
CASE WHEN '{name}' LIKE '%样品%' AND {n} > 2 THEN CONCAT('S', {n}) ELSE '' END
IF({zero} = 0, 0, ROUND({amt} / {zero}, 4))
CAST('{amount}' AS DECIMAL(10, 2))
NOT {flag}
{flag} AND {n} = 3
{flag} + {n}
"""

TIMES = [
    ("NOW()", 1), ("CURDATE()", 1704038399), ("CURDATE()", 1704038400), ("NOW()", 2145916799),
    ("UNIX_TIMESTAMP()", 1), ("DATE_SUB(NOW(), INTERVAL 1 MONTH)", 1711846800),
    ("LAST_DAY(NOW())", 1709136000), ("DATE_FORMAT(NOW(), '%Y-%m-01')", 1735660800),
]

CASES = (
    [(line, {}, NOW) for line in EXPRESSIONS.replace("\\\\", "\\").strip().splitlines()]
    + [(line, used(line), NOW) for line in WITH_RECORD.strip().splitlines()]
    + [(line, {}, now) for line, now in TIMES]
)

AGGREGATES = [
    (expression, rows, "{rows.v}")
    for rows in ([10, 20, 30], [Decimal("1.5"), None, Decimal("2.25")], [], [None], ["3", "4.50"], ["b", "a"])
    for expression in (
        ["SUM({rows.v})", "AVG({rows.v})", "MIN({rows.v})", "MAX({rows.v})", "IFNULL(SUM({rows.v}), 0) * 2"]
        if rows != ["b", "a"]
        else ["MIN({rows.v})", "MAX({rows.v})"]
    )
] + [("COUNT({rows.v})", [1, 2, 3], "{rows.v}"), ("COUNT({rows.v})", [], "{rows.v}"), ("SUM({rows.v}) / COUNT({rows.v})", [1, 2], "{rows.v}")]

CI = "_utf8mb4'{}' COLLATE utf8mb4_general_ci"
EXACT = "text is compared exactly: case, accents and trailing blanks matter in codes"
BY_ZERO = "a quotient that does not exist is a mistake in the document or the data, not an empty field"
EXACT_DECIMALS = "every number is an exact decimal; MariaDB computes with text and scientific literals in binary floats"
SHORTEST = "a number of a record or of arithmetic becomes text without trailing zeros, as in a template"
NO_FRACTION = "date results have whole seconds"
DATES_ARE_TEXT = "the result of a date function is text, compared and counted as text"
OUT_OF_RANGE = "a value that does not fit is a fault; MariaDB puts another value in its place"

# Expression, record, what MariaDB is asked where that differs, our result, why.
DIFFERENCES = [
    ("'a' = 'A'", {}, CI.format("a") + " = 'A'", False, EXACT),
    ("'a' = 'a '", {}, CI.format("a") + " = 'a '", False, EXACT),
    ("'e' = 'é'", {}, CI.format("e") + " = 'é'", False, EXACT),
    ("LOCATE('B', 'abc')", {}, "LOCATE('B', " + CI.format("abc") + ")", 0, EXACT),
    ("'ABC' LIKE 'abc'", {}, CI.format("ABC") + " LIKE 'abc'", False, EXACT),
    ("'ABC' REGEXP 'abc'", {}, CI.format("ABC") + " REGEXP 'abc'", False, EXACT),
    ("CASE 'ad' WHEN 'AD' THEN 1 ELSE 2 END", {}, "CASE " + CI.format("ad") + " WHEN 'AD' THEN 1 ELSE 2 END", 2, EXACT),
    ("1 / 0", {}, None, {"code": "E_FUNCTION"}, BY_ZERO),
    ("5 % 0", {}, None, {"code": "E_FUNCTION"}, BY_ZERO),
    ("5 DIV 0", {}, None, {"code": "E_FUNCTION"}, BY_ZERO),
    ("MOD(5, 0)", {}, None, {"code": "E_FUNCTION"}, BY_ZERO),
    ("{amt} / {zero}", {"amt": 1, "zero": 0}, None, {"code": "E_FUNCTION"}, BY_ZERO),
    ("'10' / 3", {}, None, Decimal("3.3333"), EXACT_DECIMALS),
    ("'0.1' + '0.2'", {}, None, Decimal("0.3"), EXACT_DECIMALS),
    ("1e0 / 3", {}, None, Decimal("0.3333"), EXACT_DECIMALS),
    ("ROUND('1.005', 2)", {}, None, Decimal("1.01"), EXACT_DECIMALS),
    ("9007199254740993 + '0'", {}, None, 9007199254740993, EXACT_DECIMALS),
    ("CONCAT(0.13 * 100)", {}, None, "13", SHORTEST),
    ("CONCAT({qty}, '件')", {"qty": Decimal("12.0")}, None, "12件", SHORTEST),
    ("LENGTH(1 / 4)", {}, None, 4, SHORTEST),
    ("CONCAT({code})", {"code": "007"}, None, "007", "a code keeps its zeros in functions of text"),
    ("{code}", {"code": "12E3"}, "12E3", "12E3", "text like 12E3 is more often a code than an amount and stays text"),
    ("IF(1, 1, 'a')", {}, None, 1, "a branch keeps its own type; MariaDB makes all branches alike"),
    ("COALESCE(NULL, 2, 'x')", {}, None, 2, "a branch keeps its own type; MariaDB makes all branches alike"),
    ("FROM_UNIXTIME(1710403200.5)", {}, None, "2024-03-14 16:00:00", NO_FRACTION),
    ("FROM_UNIXTIME({t} / 1000)", {"t": 1710403200000}, None, "2024-03-14 16:00:00", NO_FRACTION),
    ("DATE_ADD('2024-03-14 16:00:00', INTERVAL 1.5 SECOND)", {}, None, "2024-03-14 16:00:01", NO_FRACTION),
    ("DATE_ADD('2024-03-14', INTERVAL 5 MICROSECOND)", {}, None, "2024-03-14 00:00:00", NO_FRACTION),
    ("STR_TO_DATE('2024-03-14 16:01:02.5', '%Y-%m-%d %H:%i:%s.%f')", {}, None, "2024-03-14 16:01:02", NO_FRACTION),
    ("NOW() + 0", {}, None, 2024, DATES_ARE_TEXT),
    ("DATE('2024-03-14') = '2024-03-14 00:00:00'", {}, None, False, DATES_ARE_TEXT),
    ("CURDATE() > '2024-3-2'", {}, None, False, DATES_ARE_TEXT),
    ("CAST(-1 AS UNSIGNED)", {}, None, {"code": "E_FUNCTION"}, OUT_OF_RANGE),
    ("CAST(12345 AS DECIMAL(4,1))", {}, None, {"code": "E_FUNCTION"}, OUT_OF_RANGE),
    ("99999999999999999999 * 99999999999999999999", {}, None, {"code": "E_LIMIT"}, "decimals have 28 digits here, 65 there"),
    ("'ab' REGEXP 'a(?=b)'", {}, None, {"code": "E_FUNCTION"}, "patterns run in linear time, without looking around or back"),
    ("DATE('2024-03-14abc')", {}, None, None, "what is not a date as a whole is not a date"),
    ("DATE('2024-03-14T23:01:02Z')", {}, None, "2024-03-15", "a zone in the text is converted to the scheme's zone"),
    ("HOUR('25:00:00')", {}, None, None, "a time of day ends at 23:59:59"),
    ("REPLACE('abc', 'x', NULL)", {}, None, None, "NULL propagates, as in MySQL, also where nothing is replaced"),
    ("SECOND('2024-02-29')", {}, None, 0, "a date without a time is midnight; MariaDB reads 20:24 out of the year"),
    ("LEAST(3, 10.0) / 7", {}, None, Decimal("0.4286"), "the chosen number keeps its own places"),
    ("'a' 'b'", {}, None, {"code": "E_FUNCTION"}, "two texts side by side are more often a missing comma"),
    ("0x1F + 0", {}, None, {"code": "E_FUNCTION"}, "numbers are written in decimal"),
    ("COUNT({rows.v})", {"rows": [{"v": 1}, {"v": None}]},
     "(SELECT COUNT(v) FROM (SELECT 1 AS v UNION ALL SELECT NULL) AS rows_of_bill)", 2,
     "COUNT counts elements, also those without a value"),
]

if __name__ == "__main__":
    main()
