//! The program itself: its one line, its ports, its end.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{ACCOUNT, APP_ID, USER};

fn program(folder: &tempfile::TempDir) -> Command {
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "0f1e2d3c4b5a69788796a5b4c3d2e1f0\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_starbridge-simulator"));
    command.args(["kingdee", "--acct-id", ACCOUNT, "--app-id", APP_ID, "--user", USER]);
    command.arg("--app-secret-file").arg(secret);
    command
}

#[test]
fn it_tells_its_ports_and_ends_on_a_signal() {
    for signal in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = program(&folder).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        assert!(told["url"].as_str().unwrap().ends_with("/K3Cloud/"), "{line}");
        assert_ne!(told["listen"], told["admin"]);
        assert!(Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap().success());
        assert!(child.wait().unwrap().success(), "{signal}");
    }
}

#[test]
fn a_bad_order_file_is_named_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let orders = folder.path().join("orders.csv");
    std::fs::write(&orders, "order_id,line\n").unwrap();
    let output = program(&folder).arg("--orders").arg(&orders).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let error = String::from_utf8(output.stderr).unwrap();
    let expected =
        format!("E_ORDERS_COLUMN at {}, line 1, column order_date: the column order_date is missing", orders.display());
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn help_names_every_switch() {
    let output = Command::new(env!("CARGO_BIN_EXE_starbridge-simulator")).args(["kingdee", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for switch in
        ["--listen", "--orders", "--audit-failure", "--page-clamp", "--url-prefix", "--unique-numbers", "--fail"]
    {
        assert!(help.contains(switch), "{switch}");
    }
}
