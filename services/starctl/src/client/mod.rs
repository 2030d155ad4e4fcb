//! Speaks with the control plane.

mod ask;
pub(crate) mod endpoint;
mod sign;
pub(crate) mod status;
mod token_command;

use std::time::Duration;

use document::{Code as Catalogued, Fault};
use secrecy::SecretString;
use starbridge_proto::v1;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::command::rerun;
use crate::context::Settings;
use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;
use ask::Stub;
pub(crate) use ask::{Ask, AskChange};
use sign::Sign;

/// The metadata in which a replica that does not write names the one that does: `host:port`.
const ACTIVE: &str = "sb-active";

/// A control plane. The connection is made when it is first needed.
#[derive(Debug)]
pub(crate) struct Client {
    settings: Settings,
    output: Output,
    sign: Sign,
    channel: OnceCell<Channel>,
}

impl Client {
    /// A client that signs with the token of the settings.
    pub(crate) fn new(settings: &Settings, output: Output) -> Result<Self, Failure> {
        let token = endpoint::token(settings)?;
        Self::signing(settings, output, token.as_ref())
    }

    /// A client that signs with this token, or with none.
    pub(crate) fn signing(settings: &Settings, output: Output, token: Option<&SecretString>) -> Result<Self, Failure> {
        let sign = Sign::with(token).ok_or_else(|| {
            Failure::of(
                Fault::new(Catalogued::NotSignedIn, "the token holds characters that no token has"),
                exit::DENIED,
            )
        })?;
        Ok(Self { settings: settings.clone(), output, sign, channel: OnceCell::new() })
    }

    /// Asks for something.
    pub(crate) async fn ask<R: Ask>(&self, request: R) -> Result<R::Answer, Failure> {
        self.ask_within(self.settings.timeout, request).await
    }

    /// Asks for something that may take longer than other answers.
    pub(crate) async fn ask_within<R: Ask>(&self, limit: Duration, request: R) -> Result<R::Answer, Failure> {
        self.call(Some(limit), request).await?.map_err(|status| self.refused(&status))
    }

    /// Asks for a change. Where its answer got lost, the failure tells how to find out what became of it.
    pub(crate) async fn change<R: AskChange>(&self, request: R) -> Result<R::Answer, Failure> {
        self.change_within(self.settings.timeout, request).await
    }

    /// As [`Client::change`], for what may take longer than other changes: `limit`, or what was asked for where that is
    /// more.
    pub(crate) async fn change_within<R: AskChange>(&self, limit: Duration, request: R) -> Result<R::Answer, Failure> {
        let said = request.said().cloned().unwrap_or_default();
        let answer = self.call(Some(limit.max(self.settings.timeout)), request).await?;
        answer.map_err(|status| match status::is_lost(&status) && !said.dry_run {
            true => self.unknown(&status, &said.idempotency_key),
            false => self.refused(&status),
        })
    }

    /// Opens a stream. It has no deadline: it ends when its reader has enough. A status is left to the reader, who may try
    /// again.
    pub(crate) async fn stream<R, M>(&self, request: R) -> Result<Result<Streaming<M>, Status>, Failure>
    where
        R: Ask<Answer = Streaming<M>>,
    {
        self.call(None, request).await
    }

    /// Makes a call. A replica that cannot answer it names the one that writes; the request is then sent there, once, as
    /// it is: a change with the same key.
    async fn call<R: Ask>(&self, limit: Option<Duration>, request: R) -> Result<Result<R::Answer, Status>, Failure> {
        let channel = self.channel().await?;
        let answer = self.send(channel, limit, request.clone()).await;
        let Some(address) = answer.as_ref().err().and_then(active) else { return Ok(answer) };
        let words = self.output.pick("sent on to the replica that writes", "转发到负责写入的副本");
        self.output.detail(|| format!("{words}: {address}"))?;
        let channel = self.connect(&self.with_scheme(&address)?).await?;
        Ok(self.send(channel, limit, request).await)
    }

    /// A refusal as it is told.
    pub(crate) fn refused(&self, status: &Status) -> Failure {
        Failure::Refused(Box::new(status::refusal(status, &self.output)))
    }

    async fn send<R: Ask>(&self, channel: Channel, limit: Option<Duration>, request: R) -> Result<R::Answer, Status> {
        let mut request = Request::new(request);
        let began = Instant::now();
        let answer = match limit {
            None => R::send(request, self.stub(channel)).await,
            Some(limit) => {
                request.set_timeout(limit);
                let answer = tokio::time::timeout(limit, R::send(request, self.stub(channel))).await;
                let late = || Status::deadline_exceeded(format!("no answer within {} s", limit.as_secs()));
                answer.unwrap_or_else(|_| Err(late()))
            }
        };
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        // That the remark could not be written must not hide the answer.
        self.output.detail(|| format!("{} {code:?} {} ms", R::CALL, began.elapsed().as_millis())).unwrap_or_default();
        answer.map(Response::into_inner)
    }

    fn stub(&self, channel: Channel) -> Stub {
        Stub::new(channel, self.sign.clone())
    }

    async fn channel(&self) -> Result<Channel, Failure> {
        let connect = || async { self.connect(self.settings.endpoint()?).await };
        self.channel.get_or_try_init(connect).await.cloned()
    }

    /// Connects before anything is sent, so that a control plane that cannot be reached is told apart from an answer that
    /// got lost.
    async fn connect(&self, address: &str) -> Result<Channel, Failure> {
        let endpoint = endpoint::endpoint(&self.settings, address)?;
        endpoint.connect().await.map_err(|error| {
            let detail = format!("{address}: {}", endpoint::chain(&error));
            Failure::of(Fault::new(Catalogued::ControlUnreachable, detail), exit::UNREACHABLE)
        })
    }

    /// Another replica's address, spoken to in the way of the endpoint.
    fn with_scheme(&self, address: &str) -> Result<String, Failure> {
        let uri = endpoint::address(self.settings.endpoint()?)?;
        Ok(format!("{}://{address}", uri.scheme_str().unwrap_or("https")))
    }

    fn unknown(&self, status: &Status, key: &str) -> Failure {
        let fault = Fault::new(Catalogued::OutcomeUnknown, status::words(status));
        Failure::of(fault.hint(rerun(&["--idempotency-key", key])), exit::UNREACHABLE)
    }
}

/// Where a change has to be sent, if the status says so.
fn active(status: &Status) -> Option<String> {
    let address = status.metadata().get(ACTIVE)?.to_str().ok()?;
    (status.code() == Code::Unavailable && !address.is_empty()).then(|| address.to_owned())
}

/// A change as it is sent: with the key that was given, or a random one.
pub(crate) fn change(args: &crate::cli::change::ChangeArgs) -> v1::Change {
    let random = || uuid::Uuid::new_v4().to_string();
    // A dry run has to say why, too, where the change itself has to; that it is one is the reason.
    let reason = args.reason.clone().unwrap_or_else(|| if args.dry_run { "dry run".to_owned() } else { String::new() });
    v1::Change { idempotency_key: args.idempotency_key.clone().unwrap_or_else(random), reason, dry_run: args.dry_run }
}

/// A dry run of a change, under a key of its own: what a question before the change is made from.
pub(crate) fn look(args: &crate::cli::change::ChangeArgs) -> v1::Change {
    change(&crate::cli::change::ChangeArgs { dry_run: true, idempotency_key: None, ..args.clone() })
}
