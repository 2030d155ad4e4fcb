//! The official Kingdee Python SDK, unmodified, against the running program.
//!
//! Set-up installs the SDK into the Python environment of the workspace's cache.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};

const ACCOUNT: &str = "5f3c9a1b7d2e40";
const USER: &str = "Administrator";
const APP_ID: &str = "118273_1Z0pwYjoQlAW18/Pw5XCS+VE1Ix+XAqE";
const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// The Python that has the SDK.
#[expect(clippy::disallowed_methods, reason = "a test is told where set-up keeps its downloads by its environment")]
fn python() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cache = std::env::var("STARBRIDGE_CACHE").map_or_else(|_| workspace.join(".starbridge"), PathBuf::from);
    let python = cache.join("python/bin/python");
    assert!(python.exists(), "{} is missing: `make setup` installs it", python.display());
    python
}

fn run(command: &mut Command, what: &str) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A running program that ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().expect("it can be ended");
        self.0.wait().expect("it ends");
    }
}

fn schema(folder: &Path) -> PathBuf {
    // Base data that the driven bills refer to.
    let base = |form: &str, pk: &str, records: &str| {
        format!(
            "[[forms]]\nid = '{form}'\nname = '{form}'\npk = '{pk}'\nnumber = 'FNumber'\nbase = true\nfields = [{{key='FNumber',name='编码',type='text'}},{{key='FName',name='名称',type='text'}},{{key='FDocumentStatus',name='状态',type='enum'}},{{key='FForbidStatus',name='禁用',type='enum',default='A'}},{{key='FBaseUnitId',name='单位',type='text'}}]\nrecords = [{records}]\n"
        )
    };
    let text = [
        base("BD_MATERIAL", "FMATERIALID", "{FNumber='M1',FName='物料一'},{FNumber='M2',FName='物料二'}"),
        base("BD_STOCK", "FStockId", "{FNumber='CK01',FName='一号仓'}"),
        base("ORG_Organizations", "FOrgID", "{FNumber='109',FName='组织'}"),
    ];
    let path = folder.join("base.toml");
    fs::write(&path, text.join("\n")).unwrap();
    path
}

/// The replies of one drive, shared by the tests.
fn replies() -> &'static Value {
    static REPLIES: LazyLock<Value> = LazyLock::new(drive);
    &REPLIES
}

fn drive() -> Value {
    let python = python();
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_starbridge-simulator"));
    command.args(["kingdee", "--acct-id", ACCOUNT, "--app-id", APP_ID, "--app-secret", SECRET, "--user", USER]);
    command.arg("--schema").arg(schema(folder.path()));
    let mut program = Program(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(program.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk_drive.py");
    let mut drive = Command::new(python);
    drive.arg(script).args([told["url"].as_str().unwrap(), ACCOUNT, USER, APP_ID, SECRET]);
    drive.env("NO_PROXY", "127.0.0.1").env("PYTHONIOENCODING", "utf-8");
    let output = run(&mut drive, "driving the official SDK");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn status<'a>(replies: &'a Value, step: &str) -> &'a Value {
    &replies[step]["Result"]["ResponseStatus"]
}

/// Index and text of documents.
type Ends<'a> = Vec<(u64, &'a str)>;

/// (DIndex, Number) of what was saved, and (DIndex, Message) of what was refused.
fn ended<'a>(replies: &'a Value, step: &str) -> (Ends<'a>, Ends<'a>) {
    let list = |name: &str, text: &str| {
        let entries = status(replies, step)[name].as_array().unwrap();
        entries.iter().map(|entry| (entry["DIndex"].as_u64().unwrap(), entry[text].as_str().unwrap())).collect()
    };
    (list("SuccessEntitys", "Number"), list("Errors", "Message"))
}

#[test]
fn the_official_sdk_works_unmodified() {
    let replies = replies();
    let id = &replies["save"]["Result"]["Id"];
    assert!(id.is_i64());
    assert_eq!(replies["data_centers"][0]["Id"], json!(ACCOUNT));
    assert_eq!(replies["nothing"], json!([]));
    assert_eq!(
        replies["save"]["Result"],
        json!({
            "ResponseStatus": {
                "IsSuccess": true, "Errors": [], "SuccessEntitys": [{ "Id": id, "Number": "SDK-1", "DIndex": 0 }],
                "SuccessMessages": [], "MsgCode": 0,
            },
            "Id": id, "Number": "SDK-1", "NeedReturnData": [{}],
        })
    );
    let taken = "违反字段唯一性要求：编码唯一。[SDK-1]在当前系统中已经被使用。";
    let unknown = "基础资料字段“物料编码”的编码值[\"NONE\"]不存在或不可用";
    assert_eq!(ended(replies, "batch_save"), (vec![(0, "SDK-2"), (3, "SDK-4")], vec![(1, taken), (2, unknown)]));
    assert_eq!(status(replies, "batch_save")["IsSuccess"], json!(false));
    assert_eq!(status(replies, "batch_save")["ErrorCode"], json!(500));
    assert_eq!(ended(replies, "polled"), (vec![(0, "SDK-5")], vec![]));
    assert_eq!(ended(replies, "submit"), (vec![(0, "SDK-1"), (1, "SDK-2"), (2, "SDK-4")], vec![]));
    let audited = "单据编号为“SDK-5”的其他入库单，单据已经审核！";
    assert_eq!(ended(replies, "audit"), (vec![(0, "SDK-1")], vec![(1, audited)]));
}

#[test]
fn the_official_sdk_reads_what_it_wrote() {
    let replies = replies();
    let rows: Vec<Value> = replies["query"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let row = row.as_array().unwrap();
            row.iter().skip(1).cloned().collect()
        })
        .collect();
    let note = "2 3/4\" x 5\"";
    let day = "2024-03-14T00:00:00";
    assert_eq!(
        rows,
        [
            json!(["SDK-1", "C", day, "M1", "12.5", 1, note]),
            json!(["SDK-2", "B", day, "M1", "3.0", 1, note]),
            json!(["SDK-4", "B", day, "M2", "0.1", 1, note]),
            json!(["SDK-5", "C", day, "M2", "7.0", 1, note]),
        ]
    );
    assert_eq!(replies["bill_query"], json!([{ "FBillNo": "SDK-1", "FMATERIALID.FNumber": "M1" }]));
    let wrapped = &replies["bad_query"][0][0]["Result"]["ResponseStatus"];
    assert_eq!(
        (&wrapped["MsgCode"], &wrapped["Errors"][0]["Message"]),
        (&json!(9), &json!("元数据中标识为FNothing的字段不存在"))
    );
    let view = &replies["view"]["Result"];
    assert_eq!((&view["ResponseStatus"], &view["Result"]["BillNo"]), (&json!(null), &json!("SDK-1")));
    assert_eq!(view["Result"]["STK_MISCELLANEOUSENTRY"][0]["Qty"], json!("12.5"));
    assert_eq!(ended(replies, "view_unknown").1, [(0, "编码值[\"NOT-THERE\"]不存在")]);
    let refused = "单据编号为“SDK-1”的其他入库单，单据已经审核，不允许删除！";
    assert_eq!(ended(replies, "delete_refused"), (vec![], vec![(0, refused)]));
    for (step, number) in [("cancel", "SDK-2"), ("delete", "SDK-2"), ("unaudit", "SDK-5"), ("forbid", "M2")] {
        assert_eq!(ended(replies, step), (vec![(0, number)], vec![]), "{step}");
    }
    assert_eq!(replies["info"]["Result"]["NeedReturnData"]["PkFieldName"], json!("FID"));
    assert_eq!(replies["left"], json!([["SDK-1", "C"], ["SDK-4", "B"], ["SDK-5", "D"]]));
}

#[test]
fn the_official_sdk_is_turned_away_with_wrong_credentials() {
    let replies = replies();
    let status = &replies["stranger"][0][0]["Result"]["ResponseStatus"];
    assert_eq!(
        (&status["MsgCode"], &status["Errors"][0]["Message"]),
        (&json!(1), &json!("会话信息已丢失，请重新登录"))
    );
    let answer = replies["unknown_account"].as_str().unwrap();
    assert!(answer.contains("Fail to verify thirty passport"), "{answer}");
}
