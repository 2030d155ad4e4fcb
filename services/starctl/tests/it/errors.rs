//! What refusals look like, and what they mean to scripts.

use document::Code;
use serde_json::{Value, json};
use tonic::{Code as Grpc, Status};

use crate::bed::Bed;
use crate::desk::fault;

#[test]
fn every_status_has_its_exit_code_and_advice() {
    let bed = Bed::new();
    let mut text = String::new();
    for code in (1..=16).map(Grpc::from) {
        bed.desk().refuse("get_dead_letter", Status::new(code, "no"));
        let ran = bed.starctl(&["dlq", "get", "00000000"]);
        assert_eq!(ran.out, "");
        text.push_str(&format!("{:?} {}", ran.code, ran.err));
        bed.desk().refuse("get_dead_letter", Status::new(code, "no"));
        text.push_str(&bed.starctl(&["dlq", "get", "00000000", "--lang", "zh"]).err);
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_fault_of_the_catalogue_is_told_whole() {
    let bed = Bed::new();
    let told = json!({
        "code": Code::ReferenceMissing,
        "place": {"record": "其他入库-1", "column": "FSTOCKID"},
        "message": "warehouse 01 is not there",
        "hint": "add it",
    });
    let mut text = String::new();
    for arguments in [&["--lang", "en"][..], &["--lang", "zh"], &["-o", "json"]] {
        bed.desk().refuse("get_dead_letter", fault(Grpc::InvalidArgument, &told));
        text.push_str(&bed.starctl(&[&["dlq", "get", "00000000"], arguments].concat()).seen());
    }
    insta::assert_snapshot!(text);
}

#[test]
fn errors_in_json_have_five_fields() {
    let bed = Bed::new();
    bed.desk().refuse("get_dead_letter", Status::not_found("no such letter"));
    let refused = bed.starctl(&["dlq", "get", "00000000", "-o", "json"]);
    let local = bed.starctl(&["dlq", "list", "-o", "json", "--context", "nowhere"]);
    for (ran, code) in [(&refused, "NotFound"), (&local, Code::CliContext.as_str())] {
        let told: Value = serde_json::from_str(&ran.err).unwrap_or_else(|error| panic!("{error}: {}", ran.seen()));
        assert_eq!(told["code"], code);
        for field in ["message", "hint", "request_id", "trace_id"] {
            assert!(told.get(field).is_some(), "{field} in {told}");
        }
    }
    assert_eq!((refused.code, local.code), (Some(3), Some(2)));
}

#[test]
fn a_control_plane_that_is_not_there_is_exit_7_and_nothing_was_sent() {
    let bed = Bed::new();
    let ran = bed.starctl(&["dlq", "park", "aa", "--yes", "--endpoint", "https://127.0.0.1:1"]);
    assert_eq!(ran.code, Some(7));
    assert!(ran.err.contains(Code::ControlUnreachable.as_str()), "{}", ran.seen());
}

#[test]
fn a_stranger_who_claims_to_be_the_control_plane_gets_no_token() {
    let bed = Bed::new();
    let stranger = crate::bed::Authority::new().replica();
    let ran = bed.starctl(&["dlq", "list", "--endpoint", &format!("https://localhost:{}", stranger.port)]);
    assert_eq!(ran.code, Some(7), "{}", ran.seen());
    let other_name = bed.starctl(&["dlq", "list", "--server-name", "control.example"]);
    assert_eq!(other_name.code, Some(7), "{}", other_name.seen());
    assert!(stranger.desk.asked().is_empty() && bed.desk().asked().is_empty());
}

#[test]
fn clear_text_is_refused() {
    let ran = Bed::new().starctl(&["dlq", "list", "--endpoint", "http://control.example:7443"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("clear text"), "{}", ran.seen());
}
