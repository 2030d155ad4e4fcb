//! The client against a server that misbehaves on purpose.

mod calls;
mod identity;
mod outbound;
mod server;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use kingdee::{BillQuery, Client, LoginMode, MemorySessions, Outbound, Permits, Settings};
use tempfile::NamedTempFile;

/// Counts the permits the client asks for by itself.
#[derive(Default)]
struct Counted(AtomicUsize);

#[async_trait]
impl Permits for Counted {
    async fn permit(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counted {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A client and what it shares with others.
struct Rig {
    client: Client,
    permits: Arc<Counted>,
    sessions: Arc<MemorySessions>,
    secret: NamedTempFile,
    settings: Settings,
}

const APP_ID: &str = "118273_1Z0pwYjoQlAW18/Pw5XCS+VE1Ix+XAqE";

fn secret_file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a scratch file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

/// Lets calls lead to the server of these settings.
fn outbound(settings: &Settings) -> Outbound {
    let account = settings.account();
    Outbound::only(account.split_once('/').expect("a server and an account").0).expect("a server")
}

fn rig(url: &str, login: LoginMode) -> Rig {
    let secret = secret_file("0f1e2d3c4b5a69788796a5b4c3d2e1f0\n");
    let mut settings = Settings::new(url, "acct", "集成用户");
    settings.login = login;
    settings.app_id = APP_ID.to_owned();
    settings.app_secret_file = Some(secret.path().to_owned());
    settings.password_file = Some(secret.path().to_owned());
    // Short enough to be waited out, long enough for a machine that is busy.
    settings.connect_timeout = Duration::from_millis(700);
    settings.query_timeout = Duration::from_secs(3);
    settings.save_timeout = Duration::from_millis(1_500);
    let (sessions, permits) = (Arc::<MemorySessions>::default(), Arc::<Counted>::default());
    let client =
        Client::new(settings.clone(), &outbound(&settings), sessions.clone(), permits.clone()).expect("good settings");
    Rig { client, permits, sessions, secret, settings }
}

fn query() -> BillQuery {
    BillQuery {
        form_id: "BD_MATERIAL".to_owned(),
        field_keys: vec!["FMATERIALID".to_owned(), "FNumber".to_owned()],
        limit: 10,
        ..BillQuery::default()
    }
}

const LOST: &str = "{\"Result\":{\"ResponseStatus\":{\"ErrorCode\":500,\"IsSuccess\":false,\"Errors\":[{\"FieldName\":null,\
    \"Message\":\"会话信息已丢失，请重新登录\",\"DIndex\":0}],\"SuccessEntitys\":[],\"SuccessMessages\":[],\"MsgCode\":1}}}";

fn lost_rows() -> String {
    format!("[[{LOST}]]")
}

fn logged_in(session: &str) -> String {
    format!("{{\"LoginResultType\":1,\"Message\":\"\",\"KDSVCSessionId\":\"{session}\"}}")
}
