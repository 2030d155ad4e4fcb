//! Tries a connection step by step, so that what is set up wrongly is told by name.
//!
//! Nothing is tried twice: a refused login counts towards the lock of the account. Each call waits for leave like any
//! other, in the lane that never takes more than its share from fresh documents.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use coordination::Lane;
use document::{Code, Fault};
use kingdee::{BillQuery, Client, Error, Form, LoginMode, Outbound, Permits, SaveReply, SessionCache, Settings, reach};
use serde_json::Map;
use tokio::time::Instant;

use crate::Quota;

/// How far the clocks may be apart. A server says its time to the second, and the loader reckons with ten minutes.
const CLOCKS: TimeDelta = TimeDelta::minutes(5);

/// One step, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The settings and the secret's file can be used.
    Settings,
    /// The server's name leads to addresses that may be called.
    Name,
    /// Something listens at the port.
    Tcp,
    /// TLS: the certificate is for that name, and of an authority that is trusted.
    Tls,
    /// The WebAPI answers there.
    Service,
    /// The identity is accepted.
    Login,
    /// The user may read the form.
    Permission,
    /// A query of the form is answered.
    Query,
    /// The clocks agree.
    Clock,
    /// A save of the form is judged. Nothing is created: the document lacks what the form demands.
    Save,
}

impl Step {
    /// All of them in order.
    pub const ALL: [Step; 10] = [
        Step::Settings,
        Step::Name,
        Step::Tcp,
        Step::Tls,
        Step::Service,
        Step::Login,
        Step::Permission,
        Step::Query,
        Step::Clock,
        Step::Save,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Settings => "settings",
            Step::Name => "name",
            Step::Tcp => "tcp",
            Step::Tls => "tls",
            Step::Service => "service",
            Step::Login => "login",
            Step::Permission => "permission",
            Step::Query => "query",
            Step::Clock => "clock",
            Step::Save => "save",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Well; what was seen, in words, or nothing.
    Passed(String),
    /// Not taken, and why.
    Skipped(String),
    /// Badly. Steps behind it are skipped, unless they do not depend on it.
    Failed(Box<Fault>),
}

/// A step that was taken or skipped.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// Which.
    pub step: Step,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// What is to be tried.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// The connection.
    pub settings: &'a Settings,
    /// Where calls may lead.
    pub outbound: &'a Outbound,
    /// Grants permits for its calls.
    pub quota: &'a Quota,
    /// The form that is read.
    pub form: &'a str,
    /// Whether a save is tried as well.
    pub save: bool,
}

/// Permits of the lane that never takes more than its share.
struct Behind(Quota);

#[async_trait::async_trait]
impl Permits for Behind {
    async fn permit(&self) {
        self.0.permit(Lane::Replay).await;
    }
}

/// Takes every step; one entry for each of [`Step::ALL`], in order. `sessions` keeps the sessions of trials, and
/// remembers refused identities between them; it is not shared with the stages, so that a trial always logs in itself.
/// `now` is the wall clock.
pub async fn check(trial: &Trial<'_>, sessions: &Arc<dyn SessionCache>, now: impl Fn() -> DateTime<Utc>) -> Vec<Taken> {
    let mut taken = Vec::with_capacity(Step::ALL.len());
    let is_tls = trial.settings.url.trim_start().to_lowercase().starts_with("https");
    let mut course = Course { taken: &mut taken, begun: Instant::now(), is_tls };
    steps(trial, sessions, now, &mut course).await;
    let at = taken.len();
    for step in Step::ALL.into_iter().skip(at) {
        let outcome = Outcome::Skipped("an earlier step failed".to_owned());
        taken.push(Taken { step, outcome, took: Duration::ZERO });
    }
    taken
}

/// The steps so far. The next one is always the next of [`Step::ALL`].
struct Course<'a> {
    taken: &'a mut Vec<Taken>,
    begun: Instant,
    is_tls: bool,
}

impl Course<'_> {
    fn note(&mut self, outcome: Outcome) {
        let Some(step) = Step::ALL.get(self.taken.len()).copied() else { return };
        self.taken.push(Taken { step, outcome, took: self.begun.elapsed() });
        self.begun = Instant::now();
    }

    fn passed(&mut self, what: impl Into<String>) {
        self.note(Outcome::Passed(what.into()));
    }

    /// Notes that the next step went well, as a later one shows.
    fn assume(&mut self) {
        let skipped = Step::ALL.get(self.taken.len()) == Some(&Step::Tls) && !self.is_tls;
        self.note(match skipped {
            true => Outcome::Skipped("the url is http://".to_owned()),
            false => Outcome::Passed(String::new()),
        });
    }

    /// Notes that steps before `step` went well, and that it failed.
    fn failed(&mut self, step: Step, fault: Fault) {
        while self.taken.len() < Step::ALL.len() && Step::ALL.get(self.taken.len()) != Some(&step) {
            self.assume();
        }
        self.note(Outcome::Failed(Box::new(fault)));
    }
}

async fn steps(
    trial: &Trial<'_>,
    sessions: &Arc<dyn SessionCache>,
    now: impl Fn() -> DateTime<Utc>,
    course: &mut Course<'_>,
) {
    let permits: Arc<dyn Permits> = Arc::new(Behind(trial.quota.clone()));
    let open = |settings: Settings| Client::new(settings, trial.outbound, Arc::clone(sessions), Arc::clone(&permits));
    let client = match open(trial.settings.clone()) {
        Ok(client) => client,
        Err(error) => return course.failed(Step::Settings, error.fault()),
    };
    course.passed("");
    let addresses = match reach::look_up(trial.settings, trial.outbound).await {
        Ok(addresses) => addresses,
        Err(fault) => return course.failed(Step::Name, fault),
    };
    course.passed(addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", "));
    match reach::connect(&addresses, trial.settings.connect_timeout).await {
        Ok(address) => course.passed(address.to_string()),
        Err(fault) => return course.failed(Step::Tcp, fault),
    }

    permits.permit().await;
    course.begun = Instant::now();
    let form = match client.query_business_info(trial.form).await {
        Ok(info) => Form::read(&info),
        Err(error) => {
            let step = step_of(&error);
            let mut fault = error.exact_fault();
            if fault.code == Code::AuthFailed && trial.settings.login == LoginMode::Signed {
                fault = blame(trial, &open, &permits).await.unwrap_or(fault);
            }
            return course.failed(step, fault);
        }
    };
    course.assume();
    course.assume();
    course.passed(trial.settings.user.clone());

    permits.permit().await;
    course.begun = Instant::now();
    let key = form.as_ref().map_or("FID", |form| form.primary_key.as_str());
    let query = BillQuery {
        form_id: trial.form.to_owned(),
        field_keys: vec![key.to_owned()],
        limit: 1,
        ..BillQuery::default()
    };
    let page = match client.execute_bill_query(&query).await {
        Ok(page) => page,
        Err(error) => {
            let step = match error.code() {
                Code::TargetPermission | Code::TargetLicence => Step::Permission,
                _ => Step::Query,
            };
            return course.failed(step, error.exact_fault());
        }
    };
    course.passed(trial.form);
    course.passed(format!("{} rows", page.rows.len()));
    match page.server_time {
        None => course.note(Outcome::Skipped("the server does not say its time".to_owned())),
        Some(theirs) => {
            let ahead = theirs - now();
            let words = format!("{} s", ahead.num_seconds());
            if ahead.abs() > CLOCKS {
                let detail = format!("the server's clock is {words} from ours, {} s are allowed", CLOCKS.num_seconds());
                course.failed(Step::Clock, Fault::new(Code::ErpClock, detail).of_record(trial.settings.account()));
            } else {
                course.passed(words);
            }
        }
    }
    course.note(match (trial.save, form.filter(demands)) {
        (false, _) => Outcome::Skipped("not asked for".to_owned()),
        (true, None) => {
            Outcome::Skipped("the form demands nothing, so a save without anything would create a document".to_owned())
        }
        (true, Some(_)) => {
            permits.permit().await;
            saved(&client, trial.form).await
        }
    });
}

/// The step at which the first call failed.
fn step_of(error: &Error) -> Step {
    match error {
        Error::Settings(_) | Error::Secret(_) | Error::Build(_) => Step::Settings,
        Error::AddressRefused { .. } => Step::Name,
        Error::Unreachable { .. } => Step::Tls,
        Error::AuthFailed { .. }
        | Error::UnknownAccount { .. }
        | Error::SessionLost { .. }
        | Error::NoSession { .. } => Step::Login,
        Error::Refused { .. } => Step::Permission,
        Error::TimedOut { .. }
        | Error::Interrupted { .. }
        | Error::Status { .. }
        | Error::Html { .. }
        | Error::TooLarge { .. }
        | Error::TooDeep { .. }
        | Error::Unparsable { .. }
        | Error::Shape { .. }
        | Error::Arity { .. }
        | Error::Filtered { .. }
        | Error::Throttled { .. } => Step::Service,
    }
}

/// Whom the server blames for a signature that it refuses without a word: a login with the same parts is asked once.
async fn blame(
    trial: &Trial<'_>,
    open: &impl Fn(Settings) -> Result<Client, Error>,
    permits: &Arc<dyn Permits>,
) -> Option<Fault> {
    let settings = Settings { login: LoginMode::AppSecret, ..trial.settings.clone() };
    let client = open(settings).ok()?;
    permits.permit().await;
    let error = client.query_business_info(trial.form).await.err()?;
    let fault = error.exact_fault();
    matches!(fault.code, Code::AuthUser | Code::AuthApplication | Code::AuthSecret | Code::AuthFailed).then_some(fault)
}

/// Whether a form demands something of its head, so that an empty document is surely refused.
fn demands(form: &Form) -> bool {
    form.head.values().any(|field| field.must_input)
}

/// Tries to save a document that has nothing.
async fn saved(client: &Client, form: &str) -> Outcome {
    let failed = |fault: Fault| Outcome::Failed(Box::new(fault.of_record(form)));
    match client.save(form, &Map::new(), &bytes::Bytes::from_static(b"{}")).await {
        SaveReply::Done(outcomes) => match outcomes.first() {
            Some(kingdee::DocumentOutcome::Rejected(errors)) => {
                match errors.iter().find(|error| error.code == Code::TargetPermission) {
                    Some(error) => failed(error.fault(form)),
                    None => Outcome::Passed("an empty document was judged and refused".to_owned()),
                }
            }
            Some(kingdee::DocumentOutcome::Saved { id, number, .. }) => failed(Fault::new(
                Code::TargetState,
                format!("the form took an empty document: id {id}, number {number:?}; delete it"),
            )),
            Some(kingdee::DocumentOutcome::Unknown) | None => {
                failed(Fault::new(Code::ReplyShape, "the reply does not say what became of the document"))
            }
        },
        SaveReply::NotSent(error) => failed(error.exact_fault()),
        SaveReply::Throttled { .. } => failed(Fault::new(Code::ErpThrottled, "the server refuses calls for now")),
        SaveReply::UnknownClosed(kingdee::UnknownReason::Refused(error)) => failed(error.fault(form)),
        SaveReply::UnknownClosed(reason) | SaveReply::UnknownOpen(reason) => {
            failed(Fault::new(Code::ErpInterrupted, format!("no usable answer: {reason}")))
        }
    }
}
