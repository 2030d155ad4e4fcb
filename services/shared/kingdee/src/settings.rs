//! What a connection to one K3Cloud account needs to know.

use std::path::PathBuf;
use std::time::Duration;

use document::{Code, Fault};
use reqwest::Url;
use serde::{Deserialize, Deserializer, de};

use crate::outbound::{HostPort, Outbound};

/// How a call proves who makes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum LoginMode {
    /// Every request carries a signature made from the application secret; there is no login call.
    #[default]
    Signed,
    /// `ValidateUser`: user and password open a session.
    Password,
    /// `LoginByAppSecret`: application id and secret open a session.
    AppSecret,
    /// `LoginBySign`: a hash of the application secret opens a session.
    Sign,
}

/// One connection: server, account, identity, limits.
///
/// Durations are texts such as `5s`. Secrets are named by file and read when the client is made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(title = "A connection, [connections.NAME] of a service's settings"))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What the settings call it; a sealed secret is for the connection of this name alone.
    #[serde(skip)]
    pub name: String,
    /// Base URL, such as `https://erp.example.com/k3cloud/`; the trailing slash may be missing.
    pub url: String,
    /// Authorities that may have signed the server's certificate, PEM, besides those that the machine trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The account (data centre) id.
    pub acct_id: String,
    /// The user name.
    pub user: String,
    /// The application id; not needed where `login` is `password`.
    #[serde(default)]
    pub app_id: String,
    /// The file that holds the application secret; not needed where `login` is `password`.
    #[serde(default)]
    pub app_secret_file: Option<PathBuf>,
    /// The file that holds the password; needed where `login` is `password`.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Replaces the built-in mask of the application id, where the server was given its own (`X-KDApi-SecPwd`).
    #[serde(default)]
    pub xor_code: Option<String>,
    /// The language; 2052 is simplified Chinese. Not above 0 means 2052.
    #[serde(default = "default_lcid")]
    pub lcid: i64,
    /// The organisation's number; not above 0 means none.
    #[serde(default)]
    pub org_num: i64,
    /// How calls prove who makes them.
    #[serde(default)]
    pub login: LoginMode,
    /// The zone of the server's date texts, which carry none.
    #[serde(default = "default_zone", deserialize_with = "zone")]
    #[cfg_attr(test, schemars(with = "String", extend("default" = "Asia/Shanghai")))]
    pub zone: chrono_tz::Tz,
    /// Limit for DNS, TCP and TLS together.
    #[serde(default = "default_connect_timeout", deserialize_with = "crate::duration::deserialize")]
    #[cfg_attr(test, schemars(with = "String", extend("default" = "5s")))]
    pub connect_timeout: Duration,
    /// Limit for a read, from the first byte sent to the last received, connecting included.
    #[serde(default = "default_query_timeout", deserialize_with = "crate::duration::deserialize")]
    #[cfg_attr(test, schemars(with = "String", extend("default" = "60s")))]
    pub query_timeout: Duration,
    /// The same for a write.
    #[serde(default = "default_save_timeout", deserialize_with = "crate::duration::deserialize")]
    #[cfg_attr(test, schemars(with = "String", extend("default" = "120s")))]
    pub save_timeout: Duration,
    /// How many calls any sliding 60 s may hold, all replicas together.
    #[serde(default = "default_calls_per_minute")]
    pub calls_per_minute: u32,
    /// Permits `http://` to a host that is not loopback.
    #[serde(default)]
    pub allow_http: bool,
    /// Permits secret files that every user of the machine may read.
    #[serde(default)]
    pub allow_world_readable_secrets: bool,
    /// The folder of the master keys that open its secret, where that is sealed.
    #[serde(default)]
    pub master_keys: Option<PathBuf>,
}

fn default_lcid() -> i64 {
    2052
}
fn default_zone() -> chrono_tz::Tz {
    chrono_tz::Asia::Shanghai
}
fn default_connect_timeout() -> Duration {
    Duration::from_secs(5)
}
fn default_query_timeout() -> Duration {
    Duration::from_secs(60)
}
fn default_save_timeout() -> Duration {
    Duration::from_secs(120)
}
fn default_calls_per_minute() -> u32 {
    100
}

fn zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<chrono_tz::Tz, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| de::Error::custom(format!("{text:?} is not a time zone such as Asia/Shanghai")))
}

impl Settings {
    /// The least that must be said; everything else at its default.
    pub fn new(url: impl Into<String>, acct_id: impl Into<String>, user: impl Into<String>) -> Self {
        Self {
            name: String::new(),
            url: url.into(),
            ca_file: None,
            acct_id: acct_id.into(),
            user: user.into(),
            app_id: String::new(),
            app_secret_file: None,
            password_file: None,
            xor_code: None,
            lcid: default_lcid(),
            org_num: 0,
            login: LoginMode::Signed,
            zone: default_zone(),
            connect_timeout: default_connect_timeout(),
            query_timeout: default_query_timeout(),
            save_timeout: default_save_timeout(),
            calls_per_minute: default_calls_per_minute(),
            allow_http: false,
            allow_world_readable_secrets: false,
            master_keys: None,
        }
    }

    /// The account as a text, by which rate limits are agreed on: `host:port/acct_id`.
    ///
    /// The user is left out on purpose: how a server counts calls is not documented, and counting all users of an
    /// account together can only be too careful.
    pub fn account(&self) -> String {
        let server = self.server().map(|server| server.to_string());
        format!("{}/{}", server.unwrap_or_default(), self.acct_id)
    }

    /// The server that the URL names, if it does.
    pub(crate) fn server(&self) -> Option<HostPort> {
        HostPort::of(&Url::parse(&self.url).ok()?)
    }

    /// Whether the URL can only mean this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.server().is_some_and(|server| server.is_loopback())
    }

    /// Whether calls would go out unencrypted, over a wire that others may listen on or not.
    pub(crate) fn is_clear_text(&self) -> bool {
        Url::parse(&self.url).is_ok_and(|url| url.scheme() == "http")
    }

    /// The identity as a text, by which sessions are shared: the account, the user and how it logs in.
    pub fn identity(&self) -> String {
        format!("{}/{}/{}/{}/{}", self.account(), self.user, self.app_id, self.lcid(), self.org_num())
    }

    /// The language as it goes on the wire.
    pub fn lcid(&self) -> i64 {
        if self.lcid > 0 { self.lcid } else { 2052 }
    }

    /// The organisation as it goes on the wire.
    pub fn org_num(&self) -> i64 {
        self.org_num.max(0)
    }

    /// Everything that is wrong with these settings where calls may lead as `outbound` says; each fault with the
    /// setting's name as its path.
    pub fn faults(&self, outbound: &Outbound) -> Vec<Fault> {
        let mut faults = self.url_faults(outbound);
        let mut wrong = |code: Code, path: &str, detail: String| faults.push(Fault::new(code, detail).at_path(path));
        for (path, value) in [("acct_id", &self.acct_id), ("user", &self.user)] {
            if value.trim().is_empty() {
                wrong(Code::ErpSettings, path, "must not be empty".to_owned());
            }
        }
        if self.login == LoginMode::Password {
            if self.password_file.is_none() {
                wrong(Code::ErpSettings, "password_file", "is needed to log in by password".to_owned());
            }
        } else {
            if self.app_id.trim().is_empty() {
                wrong(Code::ErpSettings, "app_id", "is needed unless the login is by password".to_owned());
            }
            if self.app_secret_file.is_none() {
                wrong(Code::ErpSettings, "app_secret_file", "is needed unless the login is by password".to_owned());
            }
        }
        if self.connect_timeout.is_zero() {
            wrong(Code::ErpSettings, "connect_timeout", "must be above zero".to_owned());
        }
        for (path, value) in [("query_timeout", self.query_timeout), ("save_timeout", self.save_timeout)] {
            if value <= self.connect_timeout {
                wrong(Code::ErpSettings, path, "must be longer than connect_timeout".to_owned());
            }
        }
        if self.calls_per_minute < 10 {
            wrong(Code::ErpSettings, "calls_per_minute", format!("{} is below 10", self.calls_per_minute));
        }
        faults
    }

    fn url_faults(&self, outbound: &Outbound) -> Vec<Fault> {
        let wrong = |code: Code, detail: String| Fault::new(code, detail).at_path("url");
        let url = match Url::parse(&self.url) {
            Ok(url) => url,
            Err(error) => return vec![wrong(Code::ErpSettings, format!("{:?} is not a URL: {error}", self.url))],
        };
        let mut faults = Vec::new();
        if !url.username().is_empty() || url.password().is_some() {
            faults.push(wrong(Code::ErpSettings, "a URL must not carry a user or password".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            faults.push(wrong(Code::ErpSettings, "a base URL has neither query nor fragment".to_owned()));
        }
        let Some(server) = HostPort::of(&url) else {
            faults.push(wrong(Code::ErpSettings, format!("{:?} names no server", self.url)));
            return faults;
        };
        match url.scheme() {
            "https" => {}
            // Loopback needs no permission: what goes there crosses no wire on which anybody could listen, and who can
            // listen inside this machine can read our memory and our secrets' files as well.
            "http" if server.is_loopback() || self.allow_http => {}
            "http" => {
                let detail = format!("{:?} would carry credentials and documents in clear text", self.url);
                faults.push(wrong(Code::ErpClearText, detail));
            }
            other => {
                faults.push(wrong(Code::ErpSettings, format!("scheme {other:?} is neither https nor http")));
            }
        }
        if !outbound.lists(&server) {
            let fault = wrong(Code::ErpNotListed, format!("{server} is not in outbound.hosts"));
            faults.push(fault.hint(format!("add \"{server}\" to hosts in [outbound] of the service's settings")));
        } else if let Some(Err(why)) = server.address().map(Outbound::judge_listed) {
            faults.push(wrong(Code::ErpAddress, format!("the URL leads to {server}, {why}")));
        }
        faults
    }
}

/// Settings from which no request can be made.
pub(crate) fn unsignable(reason: impl std::fmt::Display) -> crate::error::Error {
    crate::error::Error::Settings(vec![Fault::new(Code::ErpSettings, reason.to_string()).at_path("url")])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "url = 'http://127.0.0.1:8080/K3Cloud'\nacct_id = 'a1'\nuser = '集成'\n";

    fn read(more: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(&format!("{LEAST}{more}"))
    }

    /// Where the schema is published; `starctl connection schema` prints it.
    const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../deploy/flows/connection.schema.json");

    #[expect(clippy::disallowed_methods, reason = "a test has no settings; who publishes says so by the environment")]
    fn writing() -> bool {
        std::env::var("STARBRIDGE_WRITE").is_ok()
    }

    #[test]
    fn the_published_schema_is_current() {
        let schema = serde_json::Value::from(schemars::schema_for!(Settings));
        let text = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
        if writing() {
            std::fs::write(SCHEMA, &text).expect("written");
        }
        let published = std::fs::read_to_string(SCHEMA).expect("the schema is published");
        assert!(published == text, "STARBRIDGE_WRITE=1 cargo test -p kingdee --lib writes the schema");
    }

    #[test]
    fn the_defaults_of_the_schema_are_those_that_hold() {
        let schema = serde_json::Value::from(schemars::schema_for!(Settings));
        let properties = schema["properties"].as_object().expect("properties");
        let said = properties.iter().filter_map(|(name, property)| {
            property.get("default").filter(|default| !default.is_null()).map(|default| format!("{name} = {default}\n"))
        });
        let said: Vec<String> = said.collect();
        assert!(said.len() > 8, "{said:?}");
        assert_eq!(read(&said.concat()).expect("settings"), read("").expect("settings"));
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let settings = read("").expect("settings");
        assert_eq!(settings, Settings::new("http://127.0.0.1:8080/K3Cloud", "a1", "集成"));
        assert_eq!(settings.login, LoginMode::Signed);
        assert_eq!((settings.lcid(), settings.org_num(), settings.calls_per_minute), (2052, 0, 100));
        assert_eq!(settings.zone, chrono_tz::Asia::Shanghai);
        assert_eq!(settings.save_timeout, Duration::from_secs(120));
    }

    #[test]
    fn every_setting_is_read_and_unknown_ones_are_refused() {
        let settings = read(
            "login = 'app_secret'\nlcid = 0\norg_num = -5\nzone = 'UTC'\nconnect_timeout = '250ms'\n\
             query_timeout = '2m'\napp_secret_file = '/run/secrets/app'\nallow_http = true\n",
        )
        .expect("settings");
        assert_eq!(settings.login, LoginMode::AppSecret);
        assert_eq!((settings.lcid(), settings.org_num()), (2052, 0));
        assert_eq!(settings.zone, chrono_tz::UTC);
        assert_eq!(settings.connect_timeout, Duration::from_millis(250));
        assert_eq!(settings.query_timeout, Duration::from_secs(120));
        for bad in ["app_secret = 'x'", "zone = 'Mars/Olympus'", "login = 'guess'", "save_timeout = '5 minutes'"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn accounts_and_identities_have_names_without_secrets() {
        let mut settings = Settings::new("https://erp.example.com/k3cloud", "a1", "u");
        settings.app_id = "7_x".to_owned();
        assert_eq!(settings.account(), "erp.example.com:443/a1");
        assert_eq!(settings.identity(), "erp.example.com:443/a1/u/7_x/2052/0");
    }

    #[test]
    fn a_url_leads_where_the_deployment_lets_it() {
        let codes = |url: &str, listed: &str, allow_http: bool| -> Vec<Code> {
            let mut settings = Settings::new(url, "a1", "u");
            settings.allow_http = allow_http;
            let outbound = Outbound::only(listed).expect("a server");
            settings.url_faults(&outbound).into_iter().map(|fault| fault.code).collect()
        };
        for (url, listed, allow_http, expected) in [
            ("https://erp.example.com/k3cloud/", "erp.example.com:443", false, &[][..]),
            ("https://erp.example.com:8443/", "erp.example.com:443", false, &[Code::ErpNotListed]),
            ("https://192.168.1.9/", "192.168.1.9:443", false, &[]),
            ("http://erp.example.com/", "erp.example.com:80", false, &[Code::ErpClearText]),
            ("http://erp.example.com/", "erp.example.com:80", true, &[]),
            ("http://127.0.0.1:8001/", "127.0.0.1:8001", false, &[]),
            ("http://localhost:8001/", "localhost:8001", false, &[]),
            ("http://10.0.0.1/", "10.0.0.2:80", false, &[Code::ErpClearText, Code::ErpNotListed]),
            ("https://169.254.169.254/", "169.254.169.254:443", false, &[Code::ErpAddress]),
            ("http://[fd00:ec2::254]/", "[fd00:ec2::254]:80", true, &[Code::ErpAddress]),
            ("https://2852039166/", "169.254.169.254:443", false, &[Code::ErpAddress]),
        ] {
            assert_eq!(codes(url, listed, allow_http), expected, "{url}");
        }
        let unlisted = Settings::new("https://ERP.example.com/", "a1", "u").url_faults(&Outbound::default());
        assert_eq!(unlisted[0].place.path.as_deref(), Some("url"));
        assert!(unlisted[0].hint.as_deref().is_some_and(|hint| hint.contains("\"erp.example.com:443\"")));
    }
}
