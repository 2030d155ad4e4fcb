//! `starctl doctor`: the way to the control plane, step by step.

mod offline;
mod tls;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use starbridge_proto::v1;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::view;
use crate::cli::Cli;
use crate::client::{Client, endpoint};
use crate::context::{Settings, Store};
use crate::exit;
use crate::output::failure::Failure;
use crate::output::{API_VERSION, Output};
use crate::private_file;

/// A certificate or token that ends sooner than this is worth a warning, in days.
const SOON_DAYS: i64 = 14;
/// The same for a token, in minutes: it holds for hours only.
const SOON_MINUTES: i64 = 60;

/// How a step went.
#[derive(Debug)]
pub(super) enum Finding {
    Good(String),
    /// Works, but should be seen to: what, and what to do.
    Warning(String, String),
    /// What does not work.
    Bad(Failure),
}

/// What was found so far.
#[derive(Debug)]
struct Report {
    output: Output,
    steps: Vec<Value>,
    /// The exit code of the first step that failed.
    failed: Option<u8>,
}

impl Report {
    fn new(output: Output) -> Self {
        Self { output, steps: Vec::new(), failed: None }
    }

    fn add(&mut self, step: &str, finding: Finding) {
        let (result, detail, advice) = match finding {
            Finding::Good(detail) => ("ok", detail, None),
            Finding::Warning(detail, advice) => ("warning", detail, Some(advice)),
            Finding::Bad(failure) => {
                self.failed.get_or_insert(failure.exit());
                let advice = self.output.way_out(&failure);
                ("failed", failure.to_string(), advice)
            }
        };
        self.steps.push(json!({"step": step, "result": result, "detail": detail, "advice": advice}));
    }

    /// Adds a step that either works or not; answers whether it does.
    fn add_result(&mut self, step: &str, result: Result<String, Failure>) -> bool {
        let good = result.is_ok();
        self.add(step, result.map_or_else(Finding::Bad, Finding::Good));
        good
    }

    fn show(self) -> Result<u8, Failure> {
        self.output.list(&view::STEP, &self.steps, &Map::new())?;
        Ok(self.failed.unwrap_or(exit::DONE))
    }
}

/// Looks at what lies on this machine alone.
pub(super) fn offline(cli: &Cli, output: &mut Output) -> Result<u8, Failure> {
    offline::run(cli, output)
}

/// Walks the way until a step fails; those behind it could only fail for the same cause.
pub(super) async fn run(cli: &Cli, output: &mut Output) -> Result<u8, Failure> {
    let found = Store::open(&cli.server).and_then(|store| {
        let settings = Settings::resolve(&store, &cli.server)?;
        settings.endpoint()?;
        Ok(settings)
    });
    let settings = match found {
        Ok(settings) => settings,
        Err(failure) => {
            let mut report = Report::new(*output);
            report.add("context", Finding::Bad(failure));
            return report.show();
        }
    };
    *output = settings.output(*output, &cli.show);
    let mut report = Report::new(*output);
    let address = settings.endpoint()?;
    let name = settings.name.as_deref().unwrap_or(output.pick("no context", "无上下文"));
    report.add("context", Finding::Good(format!("{name}: {address}")));
    if report.add_result("files", files(&settings))
        && report.add_result("tcp", tcp(&settings, address).await)
        && encrypted(&settings, &mut report).await?
    {
        answers(&settings, &mut report).await?;
    }
    report.show()
}

/// Whether the files that are named are there, and private where they must be.
fn files(settings: &Settings) -> Result<String, Failure> {
    let context = &settings.context;
    endpoint::endpoint(settings, settings.endpoint()?)?;
    endpoint::token(settings)?;
    if let Some(key) = &context.client_key {
        private_file::read(key)?;
    }
    let files = [&context.ca_cert, &context.client_cert, &context.client_key, &context.token_file];
    Ok(files.into_iter().flatten().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))
}

async fn tcp(settings: &Settings, address: &str) -> Result<String, Failure> {
    let (host, port) = endpoint::host_and_port(&endpoint::address(address)?);
    let unreachable = |detail: String| {
        let fault = document::Fault::new(document::Code::ControlUnreachable, format!("{host}:{port}: {detail}"));
        let hint = "check the name, the port, and that a firewall lets it through";
        Failure::of(fault.hint(hint), exit::UNREACHABLE)
    };
    match timeout(settings.timeout, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(stream)) => Ok(stream.peer_addr().map_or_else(|error| error.to_string(), |peer| peer.to_string())),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => Err(unreachable(format!("no connection within {} s", settings.timeout.as_secs()))),
    }
}

/// The handshake, and how long the certificates hold.
async fn encrypted(settings: &Settings, report: &mut Report) -> Result<bool, Failure> {
    if endpoint::address(settings.endpoint()?)?.scheme_str() == Some("http") {
        report.add("tls", clear_text(&report.output));
        return Ok(true);
    }
    let seen = match tls::look(settings).await {
        Ok(seen) => seen,
        Err(failure) => {
            report.add("tls", Finding::Bad(failure));
            return Ok(false);
        }
    };
    report.add("tls", Finding::Good(seen.protocol));
    for (step, certificate) in [("server certificate", Some(seen.server)), ("client certificate", seen.client)] {
        let Some(certificate) = certificate else { continue };
        let until = report.output.time(&certificate.ends.to_rfc3339());
        let detail = format!("{}, {} {until}", certificate.subject, report.output.pick("until", "有效期至"));
        let left = certificate.ends - Utc::now();
        let advice = report.output.pick("Renew the certificate.", "请更新证书。").to_owned();
        let soon = left.num_days() < SOON_DAYS;
        report.add(step, if soon { Finding::Warning(detail, advice) } else { Finding::Good(detail) });
    }
    Ok(true)
}

fn clear_text(output: &Output) -> Finding {
    let (detail, advice) = output.pick(
        ("clear text, on this machine only", "Use https as soon as anybody else connects."),
        ("明文连接，仅限本机", "其他人连接前请改用 https。"),
    );
    Finding::Warning(detail.to_owned(), advice.to_owned())
}

fn sign_in_soon(output: &Output) -> String {
    output.pick("Sign in again soon: starctl auth login.", "请尽快重新登录：starctl auth login。").to_owned()
}

/// What the control plane itself says.
async fn answers(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let output = report.output;
    let client = Client::new(settings, output)?;
    match client.ask(v1::WhoAmIRequest {}).await {
        Ok(who) => {
            let finding = signed_in(&output, &who);
            report.add("signed in", finding);
        }
        Err(failure) => {
            report.add("signed in", Finding::Bad(failure));
            return Ok(());
        }
    }
    match client.ask(v1::GetVersionRequest {}).await {
        Ok(version) => {
            let finding = versions(&output, &version);
            report.add("version", finding);
        }
        Err(failure) => report.add("version", Finding::Bad(failure)),
    }
    match client.ask(v1::GetStatusRequest {}).await {
        Ok(status) => statuses(report, &status),
        Err(failure) => report.add("status", Finding::Bad(failure)),
    }
    Ok(())
}

fn signed_in(output: &Output, who: &v1::WhoAmIResponse) -> Finding {
    let detail = format!("{} ({})", who.principal, who.proven_by);
    let Some(ends) = who.expires_at.as_ref().and_then(|ends| DateTime::from_timestamp(ends.seconds, 0)) else {
        return Finding::Good(detail);
    };
    let detail = format!("{detail}, {} {}", output.pick("until", "有效期至"), output.time(&ends.to_rfc3339()));
    if (ends - Utc::now()).num_minutes() < SOON_MINUTES {
        return Finding::Warning(detail, sign_in_soon(output));
    }
    Finding::Good(detail)
}

fn versions(output: &Output, version: &v1::GetVersionResponse) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    let detail = format!("starctl {own}, {} {}", output.pick("control plane", "控制面"), version.version);
    let release = |text: &str| text.rsplit_once('.').map_or(text.to_owned(), |(release, _)| release.to_owned());
    if !version.api_versions.iter().any(|api| api == API_VERSION) {
        let advice = output.pick("Use the starctl of the control plane's release.", "请使用与控制面同版本的 starctl。");
        return Finding::Warning(format!("{detail}; no {API_VERSION}"), advice.to_owned());
    }
    if release(own) != release(&version.version) {
        let advice = output.pick(
            "They understand each other; bring both to one release when you can.",
            "两者可以互通，建议统一版本。",
        );
        return Finding::Warning(detail, advice.to_owned());
    }
    Finding::Good(detail)
}

fn statuses(report: &mut Report, status: &v1::GetStatusResponse) {
    let output = report.output;
    let role = if status.active { output.pick("writes", "负责写入") } else { output.pick("reads only", "只读") };
    let letters = status.dead_letters;
    let detail = output.pick(
        format!("{} {role}, {letters} dead letters", status.member),
        format!("{} {role}，{letters} 条死信", status.member),
    );
    if status.index_caught_up {
        report.add("status", Finding::Good(detail));
    } else {
        let advice = output.pick(
            "Lists may be incomplete; wait until the index has caught up.",
            "索引尚未追上，列表可能不完整，请稍候。",
        );
        report.add("status", Finding::Warning(detail, advice.to_owned()));
    }
    for warning in &status.warnings {
        let advice = output.pick("Take this flag out of the control plane's settings.", "请从控制面设置中去掉该开关。");
        report.add("settings", Finding::Warning(warning.clone(), advice.to_owned()));
    }
}
