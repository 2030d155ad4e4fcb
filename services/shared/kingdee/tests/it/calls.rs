//! What one call makes of one reply, and of none.

use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use bytes::Bytes;
use document::Code;
use flate2::Compression;
use flate2::write::GzEncoder;
use kingdee::{Class, Client, DocumentOutcome, Error, LoginMode, NoLimit, SaveReply, Selection, UnknownReason};
use serde_json::{Map, json};
use tokio::net::TcpListener;

use super::server::{Answer, Server, say, status};
use super::{outbound, query, rig};

async fn save(answer: Answer) -> (SaveReply, Server) {
    let server = Server::start(move |_| answer.clone()).await;
    let rig = rig(&server.url(), LoginMode::Signed);
    let documents = [Bytes::from_static(b"{\"FBillNo\":\"A\"}"), Bytes::from_static(b"{\"FBillNo\":\"B\"}")];
    (rig.client.batch_save("STK_MISCELLANEOUS", &Map::new(), &documents).await, server)
}

fn saved_two() -> String {
    json!({"Result": {"ResponseStatus": {"IsSuccess": true, "Errors": [], "MsgCode": 0, "SuccessEntitys": [
        {"Id": 1, "Number": "A", "DIndex": 0}, {"Id": 2, "Number": "B", "DIndex": 1}]}}})
    .to_string()
}

#[tokio::test]
async fn a_page_brings_its_rows_and_the_servers_clock() {
    let server = Server::start(|_| say("[[1,\"A\"],[2,\"B\"]]")).await;
    let rig = rig(&server.url(), LoginMode::Signed);
    let page = rig.client.execute_bill_query(&query()).await.expect("a page");
    assert_eq!(page.rows, [[json!(1), json!("A")], [json!(2), json!("B")]]);
    assert_eq!(page.server_time.map(|time| time.timestamp()), Some(1_767_225_600));
    assert_eq!(rig.permits.count(), 0, "the caller's own call is the caller's own permit");
}

#[tokio::test]
async fn a_save_carries_its_documents_as_they_are_and_is_sent_once() {
    let (reply, server) = save(say(saved_two())).await;
    let SaveReply::Done(outcomes) = reply else { panic!("{reply:?}") };
    let saved = |id: &str, number: &str| DocumentOutcome::Saved {
        id: id.to_owned(),
        number: number.to_owned(),
        warnings: Vec::new(),
    };
    assert_eq!(outcomes, [saved("1", "A"), saved("2", "B")]);
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].method, "BatchSave");
    assert_eq!(
        seen[0].body,
        "{\"formid\":\"STK_MISCELLANEOUS\",\"data\":{\"Model\":[{\"FBillNo\":\"A\"},{\"FBillNo\":\"B\"}]}}"
    );
    assert_eq!(seen[0].headers["content-type"], "application/json");
}

#[tokio::test]
async fn no_documents_are_no_call() {
    let server = Server::start(|_| say("{}")).await;
    let rig = rig(&server.url(), LoginMode::Signed);
    let reply = rig.client.batch_save("F", &Map::new(), &[]).await;
    assert!(matches!(reply, SaveReply::Done(outcomes) if outcomes.is_empty()));
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_save_without_a_complete_reply_is_open_and_never_repeated() {
    let long = Duration::from_secs(10);
    for (answer, reason) in [
        (Answer::Hang(long), UnknownReason::TimedOut),
        (Answer::After(long, Box::new(say(saved_two()))), UnknownReason::TimedOut),
        (Answer::Hang(Duration::ZERO), UnknownReason::Interrupted),
        (Answer::Reset, UnknownReason::Interrupted),
        (Answer::Cut(saved_two().into_bytes()), UnknownReason::Interrupted),
        (say("<html>maintenance</html>"), UnknownReason::Html),
        (say("{\"Result\":{\"ResponseStatus\""), UnknownReason::Unparsable),
        (status(502, "", "<html>"), UnknownReason::Gateway(502)),
        (status(503, "", ""), UnknownReason::Gateway(503)),
        (status(504, "", "{}"), UnknownReason::Gateway(504)),
        (status(500, "", "<html>"), UnknownReason::Gateway(500)),
    ] {
        let (reply, server) = save(answer.clone()).await;
        assert!(matches!(&reply, SaveReply::UnknownOpen(found) if *found == reason), "{answer:?} gave {reply:?}");
        assert_eq!(server.seen().len(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn a_save_with_a_complete_but_empty_reply_is_closed() {
    let (reply, _server) = save(status(500, "", "{\"Message\":\"出错\"}")).await;
    assert!(matches!(reply, SaveReply::UnknownClosed(UnknownReason::Status(500))), "{reply:?}");
    let (reply, _server) = save(say("{\"Result\":{\"ResponseStatus\":{\"IsSuccess\":true}}}")).await;
    assert!(matches!(reply, SaveReply::UnknownClosed(UnknownReason::EmptyResult)), "{reply:?}");
}

#[tokio::test]
async fn a_throttled_save_keeps_the_wait() {
    let (reply, server) = save(status(429, "Retry-After: 7\r\n", "slow down")).await;
    assert!(matches!(reply, SaveReply::Throttled { after: Some(wait) } if wait == Duration::from_secs(7)), "{reply:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Server::start(|_| say(saved_two())).await;
    let (reply, server) = save(status(307, &format!("Location: {}\r\n", elsewhere.url()), "")).await;
    assert!(matches!(reply, SaveReply::UnknownOpen(UnknownReason::Gateway(307))), "{reply:?}");
    assert_eq!((server.seen().len(), elsewhere.seen().len()), (1, 0));
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_was_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let rig = rig(&url, LoginMode::Signed);
    let reply = rig.client.batch_save("F", &Map::new(), &[Bytes::from_static(b"{}")]).await;
    let SaveReply::NotSent(error) = reply else { panic!("{reply:?}") };
    assert_eq!((error.code(), error.class()), (Code::ErpUnreachable, Class::NotSent));
    assert_eq!(error.fault().place.record.as_deref(), Some("BatchSave"));
}

#[tokio::test]
async fn failed_reads_are_typed_and_placed() {
    let long = Duration::from_secs(5);
    for (answer, code, class) in [
        (Answer::Hang(long), Code::ErpTimeout, Class::Trouble),
        (Answer::Reset, Code::ErpInterrupted, Class::Trouble),
        (Answer::Cut(b"[[1,\"A\"]]".to_vec()), Code::ErpInterrupted, Class::Trouble),
        (say("<html>"), Code::ReplyHtml, Class::Trouble),
        (status(500, "", "x"), Code::ErpStatus, Class::Trouble),
        (status(429, "", "x"), Code::ErpThrottled, Class::Throttled(None)),
        (status(302, "Location: /\r\n", ""), Code::ErpStatus, Class::Final),
        (say("[[1]]"), Code::ReplyArity, Class::Final),
        (say(format!("{}{}", "[".repeat(65), "]".repeat(65))), Code::ReplyTooDeep, Class::Final),
    ] {
        let replied = answer.clone();
        let server = Server::start(move |_| replied.clone()).await;
        let rig = rig(&server.url(), LoginMode::Signed);
        let error = rig.client.execute_bill_query(&query()).await.expect_err("no page");
        assert_eq!((error.code(), error.class()), (code, class), "{answer:?}: {error}");
        assert!(error.fault().place.record.is_some(), "{answer:?}");
        assert_eq!(server.seen().len(), 1, "{answer:?}: never repeated here");
    }
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_also_when_they_come_compressed() {
    let text = format!("[[1,\"{}\"]]", "a".repeat(33 * 1024 * 1024));
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text.as_bytes()).expect("packed");
    let packed = packed.finish().expect("packed");
    assert!(packed.len() < 1024 * 1024);
    for (headers, body) in [("", text.into_bytes()), ("Content-Encoding: gzip\r\n", packed)] {
        let server = Server::start(move |_| Answer::Say(200, headers.to_owned(), body.clone())).await;
        let rig = rig(&server.url(), LoginMode::Signed);
        let error = rig.client.execute_bill_query(&query()).await.expect_err("too large");
        assert_eq!((error.code(), error.class()), (Code::ReplyTooLarge, Class::Final), "{headers}");
        assert_eq!(error.fault().place.record.as_deref(), Some("ExecuteBillQuery"));
    }
}

#[tokio::test]
async fn compressed_replies_are_read() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all("[[1,\"甲\"]]".as_bytes()).expect("packed");
    let packed = packed.finish().expect("packed");
    let server =
        Server::start(move |_| Answer::Say(200, "Content-Encoding: gzip\r\n".to_owned(), packed.clone())).await;
    let rig = rig(&server.url(), LoginMode::Signed);
    assert_eq!(rig.client.execute_bill_query(&query()).await.expect("a page").rows, [[json!(1), json!("甲")]]);
}

#[tokio::test]
async fn a_connection_that_was_idle_for_ten_seconds_is_not_used_again() {
    let server = Server::start(|_| say("[]")).await;
    let rig = rig(&server.url(), LoginMode::Signed);
    for wait in [0, 1, 11] {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        rig.client.execute_bill_query(&query()).await.expect("a page");
    }
    let connections: Vec<usize> = server.seen().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn operations_views_and_metadata_take_their_parts_of_the_reply() {
    let server = Server::start(|request| match request.method.as_str() {
        "Submit" | "Audit" | "UnAudit" | "Delete" => say(
            "{\"Result\":{\"ResponseStatus\":{\"IsSuccess\":true,\"Errors\":[],\"SuccessEntitys\":[{\"Id\":7,\"Number\":\"A\",\"DIndex\":0}]}}}",
        ),
        "View" => say("{\"Result\":{\"ResponseStatus\":null,\"Result\":{\"Id\":7,\"BillNo\":\"A\"}}}"),
        "QueryBusinessInfo" => say("{\"Result\":{\"ResponseStatus\":{\"IsSuccess\":true},\"NeedReturnData\":{\"Id\":\"F\"}}}"),
        other => say(format!("\"unexpected {other}\"")),
    })
    .await;
    let rig = rig(&server.url(), LoginMode::Signed);
    let client = &rig.client;
    let selection = Selection::Numbers(vec!["A".to_owned(), "B".to_owned()]);
    for reply in [
        client.submit("F", &selection).await,
        client.audit("F", &selection).await,
        client.unaudit("F", &selection).await,
        client.delete("F", &selection).await,
    ] {
        let outcomes = reply.expect("a reply").outcomes;
        assert!(matches!(&outcomes[0], kingdee::OperationOutcome::Done { id, .. } if id == "7"));
        assert_eq!(outcomes[1], kingdee::OperationOutcome::Missing);
    }
    assert_eq!(client.view("F", &selection).await.expect("a document"), json!({"Id": 7, "BillNo": "A"}));
    assert_eq!(client.query_business_info("F").await.expect("metadata"), json!({"Id": "F"}));
    let view = server.seen().into_iter().find(|request| request.method == "View").expect("a view");
    assert_eq!(view.body, "{\"formid\":\"F\",\"data\":{\"Number\":\"A\",\"Id\":\"\"}}");
}

#[tokio::test]
async fn settings_and_secrets_that_cannot_work_are_named() {
    let good = rig("http://127.0.0.1:1/", LoginMode::Signed).settings;
    let refused = |change: fn(&mut kingdee::Settings)| {
        let mut settings = good.clone();
        change(&mut settings);
        let sessions = std::sync::Arc::<kingdee::MemorySessions>::default();
        let outbound = outbound(&good);
        Client::new(settings, &outbound, sessions, std::sync::Arc::new(NoLimit)).expect_err("refused")
    };
    let clear = refused(|settings| settings.url = "http://erp.example.com/k3cloud/".to_owned());
    assert_eq!(clear.code(), Code::ErpClearText);
    assert_eq!(clear.fault().place.path.as_deref(), Some("url"));
    for (error, path) in [
        (refused(|settings| settings.url = "not a url".to_owned()), "url"),
        (refused(|settings| settings.url = "https://u:p@erp.example.com/".to_owned()), "url"),
        (refused(|settings| settings.acct_id.clear()), "acct_id"),
        (refused(|settings| settings.save_timeout = Duration::from_millis(1)), "save_timeout"),
        (refused(|settings| settings.calls_per_minute = 3), "calls_per_minute"),
        (refused(|settings| settings.app_secret_file = None), "app_secret_file"),
    ] {
        assert_eq!(error.code(), Code::ErpSettings, "{error}");
        assert_eq!(error.fault().place.path.as_deref(), Some(path), "{error}");
    }
    let secret = refused(|settings| settings.app_secret_file = Some("/nowhere/secret".into()));
    assert!(matches!(secret, Error::Secret(_)));
    assert_eq!(secret.code(), Code::SettingsSecretFile);
    assert_eq!(secret.fault().place.file.as_deref(), Some("/nowhere/secret"));
    assert_eq!(secret.fault().place.path.as_deref(), Some("app_secret_file"));
}

#[tokio::test]
async fn a_sealed_secret_opens_with_its_master_key_for_its_own_connection() {
    let rig = rig("http://127.0.0.1:1/", LoginMode::AppSecret);
    let folder = tempfile::TempDir::new().expect("a folder");
    let key = folder.path().join("1");
    std::fs::write(&key, "ab".repeat(32)).expect("written");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o400)).expect("mode set");
    let keys = vault::file::master_keys(folder.path()).expect("a key");
    let secret = std::fs::read_to_string(rig.secret.path()).expect("the secret").into();
    let sealed = vault::file::SealedFile::seal("galaxy-b", 1, &secret, &keys, &mut rand::rng());
    std::fs::write(rig.secret.path(), sealed.to_text()).expect("written");
    let make = |name: &str, master_keys: Option<&std::path::Path>| {
        let sessions = std::sync::Arc::<kingdee::MemorySessions>::default();
        let master_keys = master_keys.map(Into::into);
        let settings = kingdee::Settings { name: name.to_owned(), master_keys, ..rig.settings.clone() };
        Client::new(settings, &outbound(&rig.settings), sessions, std::sync::Arc::new(NoLimit))
    };
    make("galaxy-b", Some(folder.path())).expect("it opens");
    let secret_file = Some(rig.secret.path().display().to_string());
    for (error, code, file) in [
        (make("galaxy-a", Some(folder.path())), Code::SealedSecret, secret_file.clone()),
        (make("galaxy-b", None), Code::MasterKey, secret_file),
        (make("galaxy-b", Some("/nowhere".as_ref())), Code::MasterKey, Some("/nowhere".to_owned())),
    ] {
        let fault = error.expect_err("refused").fault();
        assert_eq!((fault.code, fault.place.file), (code, file));
    }
}

#[tokio::test]
async fn a_secret_that_everybody_may_read_makes_no_client_unless_the_settings_permit_it() {
    let rig = rig("http://127.0.0.1:1/", LoginMode::AppSecret);
    std::fs::set_permissions(rig.secret.path(), std::fs::Permissions::from_mode(0o444)).expect("mode set");
    let make = |settings| {
        let sessions = std::sync::Arc::<kingdee::MemorySessions>::default();
        Client::new(settings, &outbound(&rig.settings), sessions, std::sync::Arc::new(NoLimit))
    };
    let error = make(rig.settings.clone()).expect_err("refused");
    assert_eq!((error.code(), error.class()), (Code::SettingsSecretFile, Class::Final));
    assert_eq!(error.fault().place.file, Some(rig.secret.path().display().to_string()));
    assert!(error.fault().hint.is_some_and(|hint| hint.contains("defaultMode: 0440")));
    let mut permitted = rig.settings.clone();
    permitted.allow_world_readable_secrets = true;
    assert!(make(permitted).is_ok());

    // As a pod has it: the name is a link to a link, what it leads to is for the group alone.
    let folder = tempfile::tempdir().expect("a scratch folder");
    let version = folder.path().join("..2026_01_01");
    std::fs::create_dir(&version).expect("a folder");
    std::fs::write(version.join("app-secret"), "0f1e2d3c4b5a69788796a5b4c3d2e1f0").expect("written");
    std::fs::set_permissions(version.join("app-secret"), std::fs::Permissions::from_mode(0o440)).expect("mode set");
    symlink("..2026_01_01", folder.path().join("..data")).expect("a link");
    symlink("..data/app-secret", folder.path().join("app-secret")).expect("a link");
    let mut mounted = rig.settings.clone();
    mounted.app_secret_file = Some(folder.path().join("app-secret"));
    assert!(make(mounted).is_ok());
}
