//! The simulated server without its sockets: one lock around documents, sessions, limit, faults and log.

use std::collections::{HashMap, HashSet};

use axum::http::HeaderMap;
use chrono::{NaiveDateTime, Utc};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::Clock;
use crate::fault::Faults;
use crate::journal::Journal;
use crate::limit::Limit;
use crate::options::{SignedPath, Spelling};
use crate::query::{self, Ceiling, Package};
use crate::reply::{Body, Problem, Reply, locked, session_lost, unknown_form};
use crate::rules::{Refusals, Rules};
use crate::save::{self, Context, Mode};
use crate::session::{Login, Sessions, cookies};
use crate::signature::{Credentials, Verdict, judge};
use crate::store::Store;
use crate::view;
use crate::wire::{Call, Service};
use crate::workflow::{self, Operation};

/// Everything that calls read and change.
#[derive(Debug)]
pub struct Galaxy {
    /// Documents.
    pub store: Store,
    /// Sessions.
    pub sessions: Sessions,
    /// The call limit.
    pub limit: Limit,
    /// Faults in force.
    pub faults: Faults,
    /// The request log.
    pub journal: Journal,
    /// Switches.
    pub rules: Rules,
    credentials: Credentials,
    signed_path: SignedPath,
    /// Replies of polled calls by task.
    tasks: HashMap<String, Value>,
    /// Digests of packages saved with ValidateRepeatJson.
    packages: HashSet<[u8; 32]>,
    /// What stood when it was last asked for.
    snapshot: Option<Store>,
}

/// What a server is made of.
#[derive(Debug)]
pub struct Parts {
    /// Documents.
    pub store: Store,
    /// Sessions.
    pub sessions: Sessions,
    /// The call limit.
    pub limit: Limit,
    /// Faults in force.
    pub faults: Faults,
    /// The request log.
    pub journal: Journal,
    /// Switches.
    pub rules: Rules,
}

/// A call with what it came with.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which service.
    pub service: Service,
    /// Which method.
    pub method: String,
    /// The path as it came.
    pub path: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, read.
    pub call: Call,
}

/// What faults make of the work itself.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    /// Refusals of documents.
    pub refusals: &'a Refusals,
    /// The call is refused as if its session and signature were worth nothing.
    pub lost: bool,
    /// Queries are answered from the last snapshot, where there is one.
    pub stale: bool,
    /// Queries are answered with so many rows at most.
    pub clamp: Option<usize>,
}

/// What executing a call gave.
#[derive(Debug, Clone)]
pub struct Executed {
    /// HTTP status.
    pub status: u16,
    /// The reply.
    pub reply: Reply,
    /// Cookies to set.
    pub cookies: Vec<String>,
    /// Count of the session.
    pub session: Option<u64>,
    /// Whether the call was refused before any work: credentials.
    pub refused: bool,
}

impl Galaxy {
    /// A server of these parts that answers to `credentials`.
    pub fn new(parts: Parts, credentials: Credentials, signed_path: SignedPath) -> Self {
        let Parts { store, sessions, limit, faults, journal, rules } = parts;
        Self {
            store,
            sessions,
            limit,
            faults,
            journal,
            rules,
            credentials,
            signed_path,
            tasks: HashMap::new(),
            packages: HashSet::new(),
            snapshot: None,
        }
    }

    /// Executes a call.
    pub fn execute(&mut self, request: &Request, conditions: &Conditions<'_>, clock: &Clock) -> Executed {
        let now = Instant::now();
        let lost = conditions.lost;
        match request.service {
            Service::Account => {
                let centre = json!({ "Id": self.credentials.acct_id, "Number": "001", "Name": "Starbridge" });
                Executed::of(Reply::ok(json!([centre])))
            }
            Service::Auth => self.login(request, now),
            Service::DynamicForm => {
                let session = self.sessions.of_request(&request.headers, now).filter(|_| !lost);
                let mut set = Vec::new();
                let session = match session {
                    Some(session) => session,
                    None => {
                        let worth =
                            judge(&self.credentials, &request.headers, &request.path, self.signed_path, Utc::now());
                        match worth {
                            Verdict::Good if !lost => {
                                let (id, count) = self.sessions.open(now);
                                set.extend(cookies(&id));
                                count
                            }
                            Verdict::UnknownAccount => return Executed::unknown_account(),
                            Verdict::Good | Verdict::Bad | Verdict::Absent => {
                                // A session that is worth nothing is issued all the same.
                                let reply = Reply::refused(&session_lost(), wraps(&request.method));
                                let cookies = cookies(&Uuid::new_v4().to_string()).into();
                                return Executed { cookies, refused: true, ..Executed::of(reply) };
                            }
                        }
                    }
                };
                let reply = self.document_call(request, conditions, clock.local());
                Executed { cookies: set, session: Some(session), ..Executed::of(reply) }
            }
        }
    }

    fn login(&mut self, request: &Request, now: Instant) -> Executed {
        if request.method.eq_ignore_ascii_case("Logout") {
            return Executed::of(Reply::ok(json!(self.sessions.close(&request.headers))));
        }
        let Some(login) = Login::named(&request.method) else {
            return Executed::of(Reply::refused(&Problem::new(4, "不支持的登录方式"), false));
        };
        let (parameters, body) = (&request.call.parameters, &request.call.body);
        let (body, opened) = self.sessions.login(login, &self.credentials, parameters, body, Utc::now(), now);
        let mut reply = Reply::ok(body);
        if opened.is_none() {
            reply.result = "login refused".to_owned();
        }
        let cookies = opened.as_ref().map(|(id, _)| cookies(id).into()).unwrap_or_default();
        Executed { cookies, refused: opened.is_none(), session: opened.map(|(_, count)| count), ..Executed::of(reply) }
    }

    /// From now on this application secret alone is right; gives how many sessions ended with the old one.
    pub fn change_secret(&mut self, app_secret: String) -> usize {
        self.credentials.app_secret = app_secret;
        self.sessions.lose_all()
    }

    /// Keeps what stands now for queries that are to be answered from it.
    pub fn take_snapshot(&mut self) {
        self.snapshot = Some(self.store.clone());
    }

    fn document_call(&mut self, request: &Request, conditions: &Conditions<'_>, now: NaiveDateTime) -> Reply {
        let call = &request.call;
        if request.method == "QueryAsyncResult" {
            return self.poll(&call.body);
        }
        let reply = self.dispatch(&request.method, call, conditions, now);
        let reply = reply.unwrap_or_else(|problem| Reply::refused(&problem, wraps(&request.method)));
        if !call.body.keys().any(|key| key.eq_ignore_ascii_case("beginmethod")) {
            return reply;
        }
        let task = Uuid::new_v4().to_string();
        let result = match &reply.body {
            Body::Json(value) => value.clone(),
            Body::Text(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        };
        self.tasks.insert(task.clone(), result);
        Reply { body: Body::Json(task_reply(&task, 0, Value::Null)), ..reply }
    }

    /// The result of a polled call; given once.
    fn poll(&mut self, body: &Map<String, Value>) -> Reply {
        let info = match Package(body).get("queryInfo") {
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
            Some(Value::Object(info)) => info.clone(),
            _ => Map::new(),
        };
        let task = Package(&info).text("TaskId");
        match self.tasks.remove(&task) {
            Some(result) => Reply::ok(task_reply(&task, 2, result)),
            None => Reply::refused(&Problem::new(10, format!("任务“{task}”不存在")), false),
        }
    }

    fn dispatch(
        &mut self,
        method: &str,
        call: &Call,
        conditions: &Conditions<'_>,
        now: NaiveDateTime,
    ) -> Result<Reply, Problem> {
        let rules = self.rules.clone();
        let context = Context { now, rules: &rules, refusals: conditions.refusals };
        let seen = self.snapshot.as_ref().filter(|_| conditions.stale).unwrap_or(&self.store);
        let rows = conditions.clamp.unwrap_or(usize::MAX).min(rules.ceiling.rows);
        let ceiling = Ceiling { rows, ..rules.ceiling };
        match method {
            "ExecuteBillQuery" => return query::run(seen, &call.data, ceiling, false),
            "BillQuery" => return query::run(seen, &call.data, ceiling, true),
            "QueryBusinessInfo" => return view::business_info(&self.store, &call.data),
            _ => {}
        }
        if call.form.trim().is_empty() {
            return Err(Problem::new(5, "业务对象标识不能为空"));
        }
        let table = self.store.find(&call.form).ok_or_else(|| unknown_form(&call.form))?;
        match method {
            "View" => view::view(&self.store, table, &call.data),
            "Save" | "BatchSave" | "Draft" => {
                self.refuse_repetition(call)?;
                let mode = if method == "Draft" { Mode::Draft } else { Mode::Save };
                save::run(&mut self.store, table, &call.data, method == "BatchSave", mode, context)
            }
            "Submit" | "Audit" | "UnAudit" | "Delete" | "CancelAssign" => {
                let operation = Operation::named(method).expect("each of these names an operation");
                workflow::run(&mut self.store, table, operation, &call.data, context)
            }
            "ExcuteOperation" | "ExecuteOperation" => {
                let known = match rules.spelling {
                    Spelling::Both => true,
                    Spelling::Excute => method == "ExcuteOperation",
                    Spelling::Execute => method == "ExecuteOperation",
                };
                if !known {
                    return Err(unknown_method(method));
                }
                if call.operation.trim().is_empty() {
                    return Err(Problem::new(3, "操作编码不能为空"));
                }
                let operation = Operation::named(&call.operation)
                    .ok_or_else(|| Problem::new(4, format!("操作“{}”不存在", call.operation)))?;
                workflow::run(&mut self.store, table, operation, &call.data, context)
            }
            other => Err(unknown_method(other)),
        }
    }

    /// ValidateRepeatJson: an identical package is refused.
    fn refuse_repetition(&mut self, call: &Call) -> Result<(), Problem> {
        if !Package(&call.data).flag("ValidateRepeatJson", false) {
            return Ok(());
        }
        let text = format!("{}\n{}", call.form.to_lowercase(), Value::Object(call.data.clone()));
        if self.packages.insert(Sha256::digest(text.as_bytes()).into()) {
            return Ok(());
        }
        Err(Problem::new(11, "重复的Json数据包，不允许提交。"))
    }
}

impl Executed {
    fn of(reply: Reply) -> Self {
        Self { status: 200, reply, cookies: Vec::new(), session: None, refused: false }
    }

    fn unknown_account() -> Self {
        let text = "response_error:{\"Message\":\"Fail to verify thirty passport.\"}".to_owned();
        let reply = Reply { body: Body::Text(text), result: "http 500".to_owned(), documents: Vec::new(), rows: None };
        Self { status: 500, refused: true, ..Self::of(reply) }
    }
}

/// Whether a method wraps its errors as `[[{…}]]`.
pub fn wraps(method: &str) -> bool {
    method == "ExecuteBillQuery"
}

/// A lock held on the whole call.
pub fn call_locked(form: &str) -> Problem {
    locked(form)
}

fn unknown_method(method: &str) -> Problem {
    Problem::new(4, format!("未找到服务方法：{method}"))
}

fn task_reply(task: &str, state: u8, result: Value) -> Value {
    json!({
        "TaskId": task,
        "Status": state,
        "Result": result,
        "Successful": state == 2,
        "Cancelled": false,
        "IsFaulted": false,
        "FaultedException": null,
        "Message": "",
        "Progress": if state == 2 { 100 } else { 0 },
    })
}
