//! `starctl doctor --offline`: what can be known without the network. No step depends on another one's success, except
//! that nothing can be said of a context that cannot be read.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use document::{Code, Fault};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::tls::{self, Certificate};
use super::{Finding, Report, SOON_DAYS, SOON_MINUTES};
use crate::cli::Cli;
use crate::client::endpoint;
use crate::context::{Settings, Store};
use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::private_file;

/// How far two clocks may differ before somebody should look.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// Looks at everything on this machine; ends with 9 where something would not work.
pub(super) fn run(cli: &Cli, output: &mut Output) -> Result<u8, Failure> {
    let opened = Store::open(&cli.server);
    let resolved = opened.as_ref().ok().map(|store| Settings::resolve(store, &cli.server));
    if let Some(Ok(settings)) = &resolved {
        *output = settings.output(*output, &cli.show);
    }
    let mut report = Report::new(*output);
    report.add("configuration", opened.map_or_else(Finding::Bad, |store| configuration(output, &store)));
    match resolved {
        Some(Ok(settings)) => look(&settings, &mut report),
        Some(Err(failure)) => report.add("context", Finding::Bad(failure)),
        None => {}
    }
    let failed = report.failed.is_some();
    report.show()?;
    Ok(if failed { exit::INVALID } else { exit::DONE })
}

fn configuration(output: &Output, store: &Store) -> Finding {
    let path = store.path.display();
    if store.path.exists() {
        // A file that others may read was refused when it was opened.
        return Finding::Good(output.pick(format!("{path}, yours alone"), format!("{path}，仅本人可读写")));
    }
    let detail = output.pick(format!("there is no {path}"), format!("没有 {path}"));
    let advice = output.pick(
        "Flags and the environment hold alone; starctl context set keeps them.",
        "目前只有参数和环境变量生效；可用 starctl context set 保存。",
    );
    Finding::Warning(detail, advice.to_owned())
}

fn look(settings: &Settings, report: &mut Report) {
    let output = report.output;
    let now = Utc::now();
    let mut seen = Seen::default();
    report.add("context", context(&output, settings));
    report.add("endpoint", address(&output, settings));
    if !is_clear_text(settings) {
        report.add("authority", authority(&output, settings, now, &mut seen));
    }
    if let Some(path) = &settings.context.client_cert {
        report.add("client certificate", certificates(&output, path, Needed::All, now, &mut seen));
    }
    if let Some(path) = &settings.context.client_key {
        report.add("client key", key(&output, settings, path));
    }
    report.add("token", token(&output, settings, now, &mut seen));
    seen.files(settings);
    report.add("clock", clock(&output, now, &seen));
}

/// Instants that lie in the past wherever the clock is right, the latest with what it belongs to.
#[derive(Debug, Default)]
struct Seen {
    latest: Option<(DateTime<Utc>, String)>,
}

impl Seen {
    fn past(&mut self, at: DateTime<Utc>, what: impl Into<String>) {
        if self.latest.as_ref().is_none_or(|(latest, _)| *latest < at) {
            self.latest = Some((at, what.into()));
        }
    }

    /// When the files of a context were written.
    fn files(&mut self, settings: &Settings) {
        let context = &settings.context;
        let files = [&context.ca_cert, &context.client_cert, &context.client_key, &context.token_file];
        for path in files.into_iter().flatten() {
            if let Ok(at) = fs::metadata(path).and_then(|metadata| metadata.modified()) {
                self.past(at.into(), path.display().to_string());
            }
        }
    }
}

/// Whether what belongs together is there.
fn context(output: &Output, settings: &Settings) -> Finding {
    let context = &settings.context;
    if context.client_cert.is_some() != context.client_key.is_some() {
        return Finding::Bad(Failure::usage("--client-cert and --client-key go together"));
    }
    let name = settings.name.as_deref().unwrap_or(output.pick("no context", "无上下文"));
    let production = if context.production { output.pick(", production", "，生产环境") } else { "" };
    Finding::Good(format!("{name}{production}"))
}

fn address(output: &Output, settings: &Settings) -> Finding {
    let text = match settings.endpoint() {
        Ok(text) => text,
        Err(failure) => return Finding::Bad(failure),
    };
    match endpoint::address(text) {
        Ok(uri) if uri.scheme_str() == Some("http") => super::clear_text(output),
        Ok(uri) => {
            let (host, port) = endpoint::host_and_port(&uri);
            Finding::Good(format!("{host}:{port}"))
        }
        Err(failure) => Finding::Bad(failure),
    }
}

/// Whether nobody's certificate is looked at: the endpoint is on this machine and not encrypted.
fn is_clear_text(settings: &Settings) -> bool {
    let address = settings.endpoint().and_then(endpoint::address);
    address.is_ok_and(|uri| uri.scheme_str() == Some("http"))
}

fn authority(output: &Output, settings: &Settings, now: DateTime<Utc>, seen: &mut Seen) -> Finding {
    if let Some(path) = &settings.context.ca_cert {
        return certificates(output, path, Needed::One, now, seen);
    }
    let count = rustls_native_certs::load_native_certs().certs.len();
    if count == 0 {
        let detail = output.pick("this machine trusts no authority", "本机没有受信任的证书颁发机构");
        let hint = output.pick("name the server's by --ca-cert", "用 --ca-cert 指定服务器的颁发机构");
        return Finding::Bad(Failure::of(Fault::new(Code::CliContext, detail).hint(hint), exit::INVALID));
    }
    Finding::Good(
        output.pick(
            format!("the {count} authorities that this machine trusts"),
            format!("本机信任的 {count} 个颁发机构"),
        ),
    )
}

/// Which certificates of a file must hold.
#[derive(Debug, Clone, Copy)]
enum Needed {
    /// Those of a chain are shown together.
    All,
    /// Of a file of authorities any may be the one that signed: an old one stays beside its successor for a while.
    One,
}

/// Whether a file holds certificates, and whether they hold now.
fn certificates(output: &Output, path: &Path, needed: Needed, now: DateTime<Utc>, seen: &mut Seen) -> Finding {
    let bad = |detail: String| {
        let fault = Fault::new(Code::CliContext, detail).in_file(path.display().to_string());
        Finding::Bad(Failure::of(fault, exit::INVALID))
    };
    let text = match endpoint::pem(path) {
        Ok(text) => text,
        Err(failure) => return Finding::Bad(failure),
    };
    let read = CertificateDer::pem_slice_iter(text.as_bytes())
        .map(|der| tls::certificate(&der.map_err(|error| error.to_string())?))
        .collect::<Result<Vec<Certificate>, String>>();
    let found = match read {
        Ok(found) => found,
        Err(detail) => return bad(detail),
    };
    let decides = match needed {
        Needed::All => found.iter().min_by_key(|certificate| certificate.ends),
        Needed::One => found.iter().max_by_key(|certificate| certificate.ends),
    };
    let Some(certificate) = decides else {
        return bad(output.pick("it holds no certificate in PEM", "其中没有 PEM 证书").to_owned());
    };
    for one in &found {
        seen.past(one.begins, one.subject.clone());
    }
    let until = output.time(&certificate.ends.to_rfc3339());
    let detail = format!("{}, {} {until}", certificate.subject, output.pick("until", "有效期至"));
    if certificate.ends <= now {
        return bad(output.pick(format!("it is over: {detail}"), format!("已过期：{detail}")));
    }
    match (certificate.ends - now).num_days() < SOON_DAYS {
        true => Finding::Warning(detail, output.pick("Renew the certificate.", "请更新证书。").to_owned()),
        false => Finding::Good(detail),
    }
}

/// Whether the key is the user's alone and the certificate's.
fn key(output: &Output, settings: &Settings, path: &Path) -> Finding {
    let bad = |detail: String| {
        let fault = Fault::new(Code::CliContext, detail).in_file(path.display().to_string());
        Finding::Bad(Failure::of(fault, exit::INVALID))
    };
    match private_file::read(path) {
        Ok(Some(_)) => match tls::config(settings) {
            Ok(_) => Finding::Good(
                output.pick("it is the certificate's, yours alone", "与证书相符，仅本人可读写").to_owned(),
            ),
            Err(detail) => bad(detail),
        },
        Ok(None) => bad(output.pick("there is no such file", "文件不存在").to_owned()),
        Err(failure) => Finding::Bad(failure),
    }
}

/// What a token says of itself. Only the control plane can say whether it is genuine.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    iat: i64,
    exp: i64,
}

/// The claims of `sbt1.<claims>.<signature>`.
fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (form, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if form != "sbt1" || parts.next().is_some() {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

fn token(output: &Output, settings: &Settings, now: DateTime<Utc>, seen: &mut Seen) -> Finding {
    let bad = |code: Code, detail: &str| Finding::Bad(Failure::of(Fault::new(code, detail), exit::INVALID));
    let token = match endpoint::token(settings) {
        Ok(Some(token)) => token,
        Ok(None) if settings.context.client_cert.is_some() => {
            let detail = output.pick("none; the client certificate signs in", "无；使用客户端证书登录");
            return Finding::Good(detail.to_owned());
        }
        Ok(None) => {
            return bad(
                Code::NotSignedIn,
                output.pick("neither a token nor a client certificate", "没有令牌，也没有客户端证书"),
            );
        }
        Err(failure) => return Finding::Bad(failure),
    };
    let read = claims(token.expose_secret()).and_then(|claims| {
        let at = |seconds| DateTime::from_timestamp(seconds, 0);
        Some((claims.sub, at(claims.iat)?, at(claims.exp)?))
    });
    let Some((who, given, ends)) = read else {
        return bad(Code::TokenInvalid, output.pick("it is not in the form of a token", "不是令牌的格式"));
    };
    seen.past(given, output.pick("the token", "令牌"));
    let detail = format!("{who}, {} {}", output.pick("until", "有效期至"), output.time(&ends.to_rfc3339()));
    if ends <= now {
        return bad(Code::TokenExpired, &detail);
    }
    if (ends - now).num_minutes() < SOON_MINUTES {
        return Finding::Warning(detail, super::sign_in_soon(output));
    }
    Finding::Good(detail)
}

/// A clock that goes behind what lies on this machine is wrong, and tokens and certificates are then judged wrongly.
fn clock(output: &Output, now: DateTime<Utc>, seen: &Seen) -> Finding {
    let told = output.time(&now.to_rfc3339());
    match &seen.latest {
        Some((at, what)) if *at > now + SKEW => {
            let at = output.time(&at.to_rfc3339());
            let detail =
                output.pick(format!("{told}, but {what} is from {at}"), format!("{told}，而 {what} 的时间是 {at}"));
            let hint = output.pick("set this machine's clock", "请校准本机时钟");
            Finding::Bad(Failure::of(Fault::new(Code::CliContext, detail).hint(hint), exit::INVALID))
        }
        _ => Finding::Good(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claims_of_a_token_are_read_and_nothing_else_is_one() {
        let body = URL_SAFE_NO_PAD.encode(r#"{"sub":"ada","aud":"x","jti":"1","kid":"k","iat":1,"exp":2}"#);
        let read = claims(&format!("sbt1.{body}.sig")).expect("a token");
        assert_eq!((read.sub.as_str(), read.iat, read.exp), ("ada", 1, 2));
        for wrong in ["", "sbt1.claims.signature", &format!("sbt2.{body}.sig"), &format!("sbt1.{body}.sig.more"), &body]
        {
            assert!(claims(wrong).is_none(), "{wrong}");
        }
    }
}
