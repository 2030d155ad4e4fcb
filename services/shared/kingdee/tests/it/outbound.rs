//! Where calls may lead: what a listed name leads to is judged before the first byte.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use document::Code;
use kingdee::{Class, Client, LoginMode, MemorySessions, NoLimit, Outbound, SaveReply};
use serde_json::{Map, json};

use super::server::{Server, say};
use super::{Rig, outbound, query, rig};

/// A client that calls this machine by its name.
fn by_name(rig: &Rig, networks: &[&str]) -> Client {
    let mut settings = rig.settings.clone();
    settings.url = settings.url.replace("127.0.0.1", "localhost");
    let account = settings.account();
    let (server, _) = account.split_once('/').expect("a server and an account");
    let outbound = Outbound {
        hosts: vec![server.parse().expect("a server")],
        networks: networks.iter().map(|text| text.parse().expect("a network")).collect(),
    };
    Client::new(settings, &outbound, Arc::<MemorySessions>::default(), Arc::new(NoLimit)).expect("good settings")
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_called_unless_its_network_is_listed() {
    let server = Server::start(|_| say("[[1,\"A\"]]")).await;
    let rig = rig(&server.url(), LoginMode::Signed);
    let refused = by_name(&rig, &["10.0.0.0/8"]);
    let error = refused.execute_bill_query(&query()).await.expect_err("refused");
    assert_eq!((error.code(), error.class()), (Code::ErpAddress, Class::NotSent));
    assert!(error.to_string().ends_with("a loopback address"), "{error}");
    let fault = error.fault();
    assert_eq!(fault.place.record.as_deref(), Some("ExecuteBillQuery"));
    assert!(fault.hint.is_some_and(|hint| hint.contains("outbound.networks")));
    let reply = refused.batch_save("F", &Map::new(), &[Bytes::from_static(b"{}")]).await;
    assert!(matches!(&reply, SaveReply::NotSent(error) if error.code() == Code::ErpAddress), "{reply:?}");
    assert_eq!(server.seen().len(), 0, "nothing was sent");

    let permitted = by_name(&rig, &["127.0.0.0/8", "::1"]);
    assert_eq!(permitted.execute_bill_query(&query()).await.expect("a page").rows, [[json!(1), json!("A")]]);
}

#[tokio::test]
async fn a_server_that_is_not_listed_makes_no_client() {
    let rig = rig("http://127.0.0.1:1/K3Cloud/", LoginMode::Signed);
    let elsewhere = Outbound::only("127.0.0.1:2").expect("a server");
    let made = Client::new(rig.settings, &elsewhere, Arc::<MemorySessions>::default(), Arc::new(NoLimit));
    let error = made.expect_err("refused");
    assert_eq!(error.code(), Code::ErpNotListed);
    assert_eq!(error.fault().place.path.as_deref(), Some("url"));
    assert!(error.fault().hint.is_some_and(|hint| hint.contains("127.0.0.1:1")));
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while it is held").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged while a client of `url` is made.
fn logged(url: &str) -> String {
    let mut settings = rig("http://127.0.0.1:1/", LoginMode::Signed).settings;
    let secret = super::secret_file("0f1e2d3c4b5a69788796a5b4c3d2e1f0");
    settings.app_secret_file = Some(secret.path().to_owned());
    settings.url = url.to_owned();
    settings.allow_http = true;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, || {
        let made =
            Client::new(settings.clone(), &outbound(&settings), Arc::<MemorySessions>::default(), Arc::new(NoLimit));
        made.expect("good settings");
    });
    let bytes = log.0.lock().expect("no panic while it is held").clone();
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn clear_text_over_a_wire_is_warned_of_at_the_start() {
    let log = logged("http://erp.example.com/K3Cloud/");
    assert!(log.contains("WARN") && log.contains("clear text") && log.contains("erp.example.com:80"), "{log}");
    assert_eq!(logged("https://erp.example.com/K3Cloud/"), "");
}
