//! What can go wrong with a call.

use std::net::IpAddr;
use std::time::Duration;

use document::{Code, Fault};

use crate::business::BusinessError;
use crate::reach;

/// What to do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The request never left: it may be sent again at once, three times.
    NotSent,
    /// The server refused for now: wait this long (60 s when it did not say).
    Throttled(Option<Duration>),
    /// Trouble on the way or in the server: a read may be repeated with growing waits, a write must be resolved first.
    Trouble,
    /// The identity was refused. Nothing may be tried again until somebody changed it: three wrong logins lock the account.
    Credentials,
    /// The call itself is wrong and will stay wrong.
    Final,
}

/// A call, or the making of a client, that failed.
///
/// No text of an error holds a secret; server texts are cut at 300 characters.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings that cannot work.
    #[error("the connection's settings cannot be used: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Settings(Vec<Fault>),
    /// A secret's file is not what it must be.
    #[error("a secret of the connection cannot be used: {}", .0.detail)]
    Secret(Box<Fault>),
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be built")]
    Build(#[source] reqwest::Error),
    /// DNS, TCP or TLS failed: not one byte of the request was sent.
    #[error("{method}: the server could not be reached")]
    Unreachable {
        /// The WebAPI method.
        method: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The server's name leads to an address that calls must not reach: nothing was sent.
    #[error("{method}: {host} leads to {address}, {reason}")]
    AddressRefused {
        /// The WebAPI method.
        method: String,
        /// The server's name.
        host: String,
        /// Where it leads.
        address: IpAddr,
        /// Why calls must not go there.
        reason: &'static str,
    },
    /// The reply did not come in time. The server may still be at work.
    #[error("{method}: no complete reply within {limit:?}")]
    TimedOut {
        /// The WebAPI method.
        method: String,
        /// The limit.
        limit: Duration,
    },
    /// The connection broke after the request was begun.
    #[error("{method}: the connection broke before the reply was complete")]
    Interrupted {
        /// The WebAPI method.
        method: String,
        /// Why.
        source: reqwest::Error,
    },
    /// A status other than 200.
    #[error("{method}: status {status}: {text}")]
    Status {
        /// The WebAPI method.
        method: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of the body.
        text: String,
    },
    /// A web page where JSON was due.
    #[error("{method}: the reply is a web page, not JSON: {text}")]
    Html {
        /// The WebAPI method.
        method: String,
        /// The beginning of the body.
        text: String,
    },
    /// A body over the limit of 32 MiB.
    #[error("{method}: the reply is larger than {limit} bytes")]
    TooLarge {
        /// The WebAPI method.
        method: String,
        /// The limit, bytes after decompression.
        limit: usize,
    },
    /// JSON nested deeper than 64.
    #[error("{method}: the reply is nested deeper than {limit} levels")]
    TooDeep {
        /// The WebAPI method.
        method: String,
        /// The limit.
        limit: usize,
    },
    /// Not JSON, or JSON that ends too early.
    #[error("{method}: the reply is not complete JSON")]
    Unparsable {
        /// The WebAPI method.
        method: String,
        /// Where it stopped being JSON.
        source: serde_json::Error,
    },
    /// JSON of another shape than the method answers with.
    #[error("{method}: the reply is {found}")]
    Shape {
        /// The WebAPI method.
        method: String,
        /// What it was instead.
        found: String,
    },
    /// A row with another number of cells than there are columns.
    #[error("{form}: row {row} has {found} cells for {expected} columns")]
    Arity {
        /// The form.
        form: String,
        /// The row, from 0.
        row: usize,
        /// Cells found.
        found: usize,
        /// Columns asked for.
        expected: usize,
    },
    /// The server's request filter stopped the call.
    #[error("{method}: the server's request filter stopped the call: {text}")]
    Filtered {
        /// The WebAPI method.
        method: String,
        /// Its words.
        text: String,
    },
    /// Too many calls.
    #[error("{method}: the server refuses calls for now: {text}")]
    Throttled {
        /// The WebAPI method.
        method: String,
        /// How long it said to wait.
        after: Option<Duration>,
        /// Its words.
        text: String,
    },
    /// The session was lost; a new one is there already, the call was not repeated.
    #[error("{method}: the session was lost")]
    SessionLost {
        /// The WebAPI method.
        method: String,
    },
    /// No session was ready at once, so a save was not sent: its caller counts on it leaving now or never. By the next
    /// attempt there will be one.
    #[error("{method}: no session was ready in time, nothing was sent")]
    NoSession {
        /// The WebAPI method.
        method: String,
    },
    /// The identity was refused, or may not be tried again after a refusal.
    #[error("the server refuses {identity}: {text}")]
    AuthFailed {
        /// Account, user and application.
        identity: String,
        /// The server's words.
        text: String,
    },
    /// The account id is unknown to the server.
    #[error("the server does not know account {account}")]
    UnknownAccount {
        /// The account.
        account: String,
    },
    /// The server understood the call and refused it.
    #[error("{form}: {}", .error.message)]
    Refused {
        /// The form.
        form: String,
        /// What it said.
        error: BusinessError,
    },
}

impl Error {
    /// The entry of the catalogue.
    pub fn code(&self) -> Code {
        match self {
            Error::Settings(faults) => faults.first().map_or(Code::ErpSettings, |fault| fault.code),
            Error::Secret(fault) => fault.code,
            Error::Build(_) => Code::ErpSettings,
            Error::Unreachable { .. } => Code::ErpUnreachable,
            Error::AddressRefused { .. } => Code::ErpAddress,
            Error::TimedOut { .. } => Code::ErpTimeout,
            Error::Interrupted { .. } => Code::ErpInterrupted,
            Error::Status { .. } => Code::ErpStatus,
            Error::Html { .. } => Code::ReplyHtml,
            Error::TooLarge { .. } => Code::ReplyTooLarge,
            Error::TooDeep { .. } => Code::ReplyTooDeep,
            Error::Unparsable { .. } => Code::ReplyUnparsable,
            Error::Shape { .. } => Code::ReplyShape,
            Error::Arity { .. } => Code::ReplyArity,
            Error::Filtered { .. } => Code::RequestFiltered,
            Error::Throttled { .. } => Code::ErpThrottled,
            Error::SessionLost { .. } | Error::NoSession { .. } => Code::SessionLost,
            Error::AuthFailed { .. } => Code::AuthFailed,
            Error::UnknownAccount { .. } => Code::UnknownAccount,
            Error::Refused { error, .. } => error.code,
        }
    }

    /// The entry of the catalogue for a person who looks for what is set up wrongly: which part of the way to the server
    /// failed, and which part of the identity the server blames, where it blames one.
    pub fn exact_code(&self) -> Code {
        match self {
            Error::Unreachable { source, .. } => reach::tls(source).map_or(Code::ErpUnreachable, |(code, _)| code),
            Error::AuthFailed { text, .. } => blamed(text),
            other => other.code(),
        }
    }

    /// The fault with [`Error::exact_code`], and with the words of TLS where it failed.
    pub fn exact_fault(&self) -> Fault {
        let mut fault = self.fault();
        fault.code = self.exact_code();
        if let Error::Unreachable { source, .. } = self
            && let Some((_, words)) = reach::tls(source)
        {
            fault.detail = words;
        }
        fault
    }

    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            // A name is pointed elsewhere by a change of DNS, and back by another.
            Error::Unreachable { .. } | Error::AddressRefused { .. } | Error::NoSession { .. } => Class::NotSent,
            Error::Throttled { after, .. } => Class::Throttled(*after),
            Error::AuthFailed { .. } | Error::UnknownAccount { .. } => Class::Credentials,
            Error::TimedOut { .. }
            | Error::Interrupted { .. }
            | Error::Html { .. }
            | Error::Unparsable { .. }
            | Error::SessionLost { .. } => Class::Trouble,
            Error::Status { status, .. } => {
                if *status >= 500 || *status == 408 {
                    Class::Trouble
                } else {
                    Class::Final
                }
            }
            Error::Refused { error, .. } => {
                if error.timed || error.is_server_trouble() {
                    Class::Trouble
                } else {
                    Class::Final
                }
            }
            Error::Settings(_)
            | Error::Secret(_)
            | Error::Build(_)
            | Error::TooLarge { .. }
            | Error::TooDeep { .. }
            | Error::Shape { .. }
            | Error::Arity { .. }
            | Error::Filtered { .. } => Class::Final,
        }
    }

    /// As a fault: the form or method is the record, the row or field the column, the member of the reply the path.
    pub fn fault(&self) -> Fault {
        let fault = Fault::new(self.code(), self.to_string());
        match self {
            Error::Settings(faults) => faults.first().cloned().unwrap_or(fault),
            Error::Secret(secret) => (**secret).clone(),
            Error::Build(_) => fault,
            Error::AddressRefused { method, .. } => fault.of_record(method.clone()).hint(
                "if the server is really there, list its network in outbound.networks; else see who changed the name",
            ),
            Error::Unreachable { method, .. }
            | Error::TimedOut { method, .. }
            | Error::Interrupted { method, .. }
            | Error::Status { method, .. }
            | Error::Throttled { method, .. }
            | Error::SessionLost { method }
            | Error::NoSession { method }
            | Error::Filtered { method, .. } => fault.of_record(method.clone()),
            Error::Html { method, .. }
            | Error::TooLarge { method, .. }
            | Error::TooDeep { method, .. }
            | Error::Shape { method, .. } => fault.of_record(method.clone()).at_path("$"),
            Error::Unparsable { method, source } => {
                fault.of_record(method.clone()).at_line(source.line() as u64, source.column().to_string())
            }
            Error::Arity { form, row, .. } => fault.of_record(form.clone()).at_path(format!("$[{row}]")),
            Error::AuthFailed { identity, .. } => fault.of_record(identity.clone()),
            Error::UnknownAccount { account } => fault.of_record(account.clone()),
            Error::Refused { form, error } => {
                let fault = error.fault(form.clone()).at_path("$.Result.ResponseStatus");
                if let Some(name) = error.unknown_field() { fault.at_column(name) } else { fault }
            }
        }
    }
}

/// Which part of an identity a refused login is about, by the server's words; `E_AUTH_FAILED` where they name none, or
/// more than one.
fn blamed(text: &str) -> Code {
    let text = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["数据中心", "账套"]) {
        return Code::UnknownAccount;
    }
    // "应用密钥" is the secret, not the application.
    let secret = says(&["密钥", "密码", "secret"]);
    let application = says(&["应用id", "应用标识", "appid"]) || (says(&["应用"]) && !secret);
    let user = says(&["用户"]);
    match (user, application, secret) {
        (true, false, false) => Code::AuthUser,
        (false, true, false) => Code::AuthApplication,
        (false, false, true) => Code::AuthSecret,
        _ => Code::AuthFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_login_blames_what_its_words_name() {
        for (text, expected) in [
            ("用户不存在或不是集成用户。", Code::AuthUser),
            ("应用ID不存在或未启用。", Code::AuthApplication),
            ("应用密钥错误。", Code::AuthSecret),
            ("数据中心不存在。", Code::UnknownAccount),
            ("用户名或密码错误。", Code::AuthFailed),
            ("用户或应用授权信息错误。", Code::AuthFailed),
            ("the signature is refused", Code::AuthFailed),
        ] {
            let error = Error::AuthFailed { identity: "erp:443/a/u".to_owned(), text: text.to_owned() };
            assert_eq!((error.exact_code(), error.code()), (expected, Code::AuthFailed), "{text}");
            assert_eq!(error.exact_fault().place.record.as_deref(), Some("erp:443/a/u"));
        }
    }
}
