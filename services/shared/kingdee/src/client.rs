//! The client: one account of one server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::error::Error;
use crate::keeper::{Keeper, Token};
use crate::operations::{self, Extra, Operation, OperationReply, Selection};
use crate::outbound::Outbound;
use crate::query::{self, BillPage, BillQuery, Context};
use crate::reply::{self, DocumentOutcome, SaveReply, UnknownReason};
use crate::session::{Permits, SessionCache};
use crate::settings::{Settings, unsignable};
use crate::wire::{self, Failure, Raw, Transport};

/// A client of one account. Cloning is cheap and shares connections and session.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Arc<Settings>,
    account: String,
    keeper: Keeper,
    transport: Transport,
    permits: Arc<dyn Permits>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("account", &self.inner.account).finish_non_exhaustive()
    }
}

/// How long a save may wait for a session. Its caller has looked at its own deadline before, and takes a save that is not
/// answered by then for one that may still arrive.
const PROMPT: Duration = Duration::from_secs(1);

/// How a complete reply is read: status, `Retry-After`, body.
type Read = fn(Context<'_>, u16, Option<Duration>, &[u8]) -> Result<Value, Error>;

impl Client {
    /// Checks the settings, reads the secret, and prepares connections, which will lead only where `outbound` says.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::Secret`] or [`Error::Build`]; all need a person.
    pub fn new(
        settings: Settings,
        outbound: &Outbound,
        sessions: Arc<dyn SessionCache>,
        permits: Arc<dyn Permits>,
    ) -> Result<Self, Error> {
        let faults = settings.faults(outbound);
        if !faults.is_empty() {
            return Err(Error::Settings(faults));
        }
        if settings.is_clear_text() && !settings.is_local() {
            warn!(account = settings.account(), "allow_http: credentials and documents go out in clear text");
        }
        if settings.allow_world_readable_secrets {
            warn!(account = settings.account(), "allow_world_readable_secrets: every user here may read the secret");
        }
        let settings = Arc::new(settings);
        let transport = Transport::new(&settings, outbound)?;
        let keeper = Keeper::new(settings.clone(), sessions, permits.clone())?;
        let account = settings.account();
        let inner = Inner { settings, account, keeper, transport, permits };
        inner.keeper.check_headers(&wire::service_url(&inner.settings.url, "Service"))?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The account, as rate limits name it.
    pub fn account(&self) -> &str {
        &self.inner.account
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Reads one page.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::class`] says whether to repeat. A reply that is not exactly rows of the columns asked for
    /// is an error, never data.
    pub async fn execute_bill_query(&self, query: &BillQuery) -> Result<BillPage, Error> {
        let context = self.context("ExecuteBillQuery", &query.form_id);
        let body = wire::data_body(query.data().to_string().as_bytes());
        let (value, server_time) = self.read(context, body).await?;
        Ok(BillPage { rows: query::rows(context, value, query.field_keys.len())?, server_time })
    }

    /// Saves documents in one call. Each document is the JSON text of one element of `Model` and goes out as it is;
    /// `options` are the other members of the method's data. It leaves within a second or is [`SaveReply::NotSent`].
    pub async fn batch_save(&self, form: &str, options: &Map<String, Value>, documents: &[Bytes]) -> SaveReply {
        if documents.is_empty() {
            return SaveReply::Done(Vec::new());
        }
        let data = model(options, documents, true);
        self.write("BatchSave", form, &data, documents.len()).await
    }

    /// Saves one document by `Save`.
    pub async fn save(&self, form: &str, options: &Map<String, Value>, document: &Bytes) -> SaveReply {
        let data = model(options, std::slice::from_ref(document), false);
        self.write("Save", form, &data, 1).await
    }

    /// Submits documents.
    ///
    /// # Errors
    /// Any [`Error`]; after one of class `Trouble` the status must be read before anything else is done.
    pub async fn submit(&self, form: &str, selection: &Selection) -> Result<OperationReply, Error> {
        self.operate(Operation::Submit, form, selection, &Extra::new()).await
    }

    /// Audits documents.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn audit(&self, form: &str, selection: &Selection) -> Result<OperationReply, Error> {
        self.operate(Operation::Audit, form, selection, &Extra::new()).await
    }

    /// Takes an audit back.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn unaudit(&self, form: &str, selection: &Selection) -> Result<OperationReply, Error> {
        self.operate(Operation::UnAudit, form, selection, &Extra::new()).await
    }

    /// Deletes documents.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn delete(&self, form: &str, selection: &Selection) -> Result<OperationReply, Error> {
        self.operate(Operation::Delete, form, selection, &Extra::new()).await
    }

    /// Any of these operations, with more members for its data. It is sent once; a lost session is replaced and reported.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn operate(
        &self,
        operation: Operation,
        form: &str,
        selection: &Selection,
        extra: &Extra,
    ) -> Result<OperationReply, Error> {
        let context = self.context(operation.method(), form);
        let body = wire::form_body(form, operations::data(selection, extra).to_string().as_bytes());
        let (value, _) = self.once(context, body, self.inner.settings.save_timeout, operations::read, false).await?;
        operations::understand(context, &value, selection)
    }

    /// Reads one document in the server's object form (`Id`, `BillNo`, …: ORM names, not field keys); the first of the
    /// selection counts.
    ///
    /// # Errors
    /// Any [`Error`]; an unknown number is [`Error::Refused`] with `E_REFERENCE_MISSING`.
    pub async fn view(&self, form: &str, document: &Selection) -> Result<Value, Error> {
        let first = document.items().first().cloned().unwrap_or_default();
        let data = match document {
            Selection::Numbers(_) => json!({"Number": first, "Id": ""}),
            Selection::Ids(_) => json!({"Number": "", "Id": first}),
        };
        let context = self.context("View", form);
        let (mut value, _) = self.read(context, wire::form_body(form, data.to_string().as_bytes())).await?;
        inner(context, &mut value, "/Result/Result")
    }

    /// Reads a form's metadata.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn query_business_info(&self, form: &str) -> Result<Value, Error> {
        let context = self.context("QueryBusinessInfo", form);
        let data = json!({"FormId": form}).to_string();
        let (mut value, _) = self.read(context, wire::data_body(data.as_bytes())).await?;
        inner(context, &mut value, "/Result/NeedReturnData")
    }

    fn context<'a>(&'a self, method: &'a str, form: &'a str) -> Context<'a> {
        Context { method, form, account: &self.inner.account }
    }

    /// A read: repeated once when its session was lost.
    async fn read(&self, context: Context<'_>, body: Bytes) -> Result<(Value, Option<DateTime<Utc>>), Error> {
        let limit = self.inner.settings.query_timeout;
        match self.once(context, body.clone(), limit, query::read, false).await {
            Err(Error::SessionLost { .. }) => {}
            other => return other,
        }
        self.inner.permits.permit().await;
        self.once(context, body, limit, query::read, true).await
    }

    /// One call. A lost session is replaced before it is reported; lost `again`, it is the identity that is in doubt.
    async fn once(
        &self,
        context: Context<'_>,
        body: Bytes,
        limit: Duration,
        read: Read,
        again: bool,
    ) -> Result<(Value, Option<DateTime<Utc>>), Error> {
        let token = self.inner.keeper.token(&self.inner.transport).await?;
        killpoint::reached("call.identified");
        let raw = self.send(context.method, &token, body, limit).await?.map_err(|f| f.into_error(context.method))?;
        killpoint::reached("call.answered");
        let outcome = read(context, raw.status, raw.retry_after, &raw.body);
        match outcome {
            Err(Error::SessionLost { method }) => {
                if again {
                    return Err(self.inner.keeper.doubt("the session was lost twice in one call"));
                }
                if !self.inner.keeper.may_be_stale(&token) {
                    return Err(self.inner.keeper.doubt("the signature is refused"));
                }
                killpoint::reached("call.session.lost");
                self.inner.keeper.renew(&self.inner.transport, &token).await?;
                Err(Error::SessionLost { method })
            }
            Ok(value) => {
                self.inner.keeper.served(&token, raw.session);
                Ok((value, raw.server_time))
            }
            Err(error @ (Error::Refused { .. } | Error::Filtered { .. })) => {
                self.inner.keeper.served(&token, None);
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// A save: sent once, classified, never repeated.
    async fn write(&self, method: &str, form: &str, data: &[u8], documents: usize) -> SaveReply {
        let asked = Instant::now();
        let token = match self.inner.keeper.token(&self.inner.transport).await {
            Ok(token) if asked.elapsed() <= PROMPT => token,
            Ok(_) => return SaveReply::NotSent(Error::NoSession { method: method.to_owned() }),
            Err(error) => return SaveReply::NotSent(error),
        };
        killpoint::reached("save.identified");
        let limit = self.inner.settings.save_timeout;
        let raw = match self.send(method, &token, wire::form_body(form, data), limit).await {
            Err(error) => return SaveReply::NotSent(error),
            Ok(Err(failure @ (Failure::Unreachable(_) | Failure::Refused(_)))) => {
                return SaveReply::NotSent(failure.into_error(method));
            }
            Ok(Err(Failure::TimedOut(_))) => return SaveReply::UnknownOpen(UnknownReason::TimedOut),
            Ok(Err(Failure::Interrupted(_))) => return SaveReply::UnknownOpen(UnknownReason::Interrupted),
            Ok(Err(Failure::TooLarge)) => return SaveReply::UnknownOpen(UnknownReason::TooLarge),
            Ok(Ok(raw)) => raw,
        };
        killpoint::reached("save.answered");
        let reply = reply::classify(raw.status, raw.retry_after, &raw.body, documents, &self.inner.account);
        match &reply {
            SaveReply::UnknownClosed(UnknownReason::SessionLost) => self.replace(&token).await,
            SaveReply::Done(outcomes) => {
                let saved = outcomes.iter().filter(|o| matches!(o, DocumentOutcome::Saved { .. })).count();
                debug!(method, form, documents, saved, "save answered");
                self.inner.keeper.served(&token, raw.session);
            }
            SaveReply::NotSent(_)
            | SaveReply::Throttled { .. }
            | SaveReply::UnknownClosed(_)
            | SaveReply::UnknownOpen(_) => debug!(method, form, documents, ?reply, "save without outcomes"),
        }
        reply
    }

    /// Replaces the session a save lost; the save's own outcome does not depend on it.
    async fn replace(&self, token: &Token) {
        let outcome = if self.inner.keeper.may_be_stale(token) {
            self.inner.keeper.renew(&self.inner.transport, token).await
        } else {
            Err(self.inner.keeper.doubt("the signature is refused"))
        };
        if let Err(error) = outcome {
            warn!(account = self.inner.account, %error, "session lost and not replaced");
        }
    }

    /// Sends one request. The outer error means that there was none to send.
    async fn send(
        &self,
        method: &str,
        token: &Token,
        body: Bytes,
        limit: Duration,
    ) -> Result<Result<Raw, Failure>, Error> {
        let url = wire::service_url(&self.inner.settings.url, &wire::form_service(method));
        let headers = self.inner.keeper.headers(&url, token)?;
        killpoint::reached("request.signed");
        let answered = self.inner.transport.post(&url, &headers, body, limit).await;
        killpoint::reached("request.over");
        Ok(answered)
    }
}

impl Keeper {
    /// Whether requests can be signed and sent at all with these settings.
    fn check_headers(&self, url: &str) -> Result<(), Error> {
        let headers = self.headers(url, &Token::default())?;
        wire::is_sendable(&headers).map_err(|name| unsignable(format!("header {name} cannot hold its value")))
    }
}

/// The data of a save: the options, and the documents as they are.
fn model(options: &Map<String, Value>, documents: &[Bytes], as_list: bool) -> Vec<u8> {
    let size: usize = documents.iter().map(|document| document.len() + 1).sum();
    let mut data = Vec::with_capacity(size + 1024);
    data.push(b'{');
    for (name, value) in options.iter().filter(|(name, _)| *name != "Model") {
        data.extend_from_slice(Value::from(name.as_str()).to_string().as_bytes());
        data.push(b':');
        data.extend_from_slice(value.to_string().as_bytes());
        data.push(b',');
    }
    data.extend_from_slice(b"\"Model\":");
    if as_list {
        data.push(b'[');
    }
    for (index, document) in documents.iter().enumerate() {
        if index > 0 {
            data.push(b',');
        }
        data.extend_from_slice(document);
    }
    if as_list {
        data.push(b']');
    }
    data.push(b'}');
    data
}

/// Takes a part out of a reply.
fn inner(context: Context<'_>, value: &mut Value, pointer: &str) -> Result<Value, Error> {
    match value.pointer_mut(pointer) {
        Some(part) if !part.is_null() => Ok(part.take()),
        _ => Err(Error::Shape { method: context.method.to_owned(), found: format!("JSON without {pointer}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_go_out_byte_for_byte_behind_the_options() {
        let mut options = Map::new();
        options.insert("IsVerifyBaseDataField".to_owned(), json!(true));
        options.insert("Model".to_owned(), json!("ignored"));
        let documents = [Bytes::from_static(b"{\"FQty\": 1.500}"), Bytes::from_static("{\"备注\":\"甲\"}".as_bytes())];
        let text = String::from_utf8(model(&options, &documents, true)).expect("UTF-8");
        assert_eq!(text, "{\"IsVerifyBaseDataField\":true,\"Model\":[{\"FQty\": 1.500},{\"备注\":\"甲\"}]}");
        let text = String::from_utf8(model(&Map::new(), &documents[..1], false)).expect("UTF-8");
        assert_eq!(text, "{\"Model\":{\"FQty\": 1.500}}");
    }
}
