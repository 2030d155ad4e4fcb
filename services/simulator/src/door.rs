//! From a request on the wire to what goes back: counting, limit, faults, work, log.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::http::HeaderMap;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use crate::clock::Clock;
use crate::fault::{ErrorBody, Kind, Manner, Moment, Spec};
use crate::galaxy::{Conditions, Executed, Galaxy, Request, call_locked, wraps};
use crate::journal::{Asked, Carried, Outcome, Record};
use crate::options::LimitReply;
use crate::query::Package;
use crate::reply::{Body, Problem, Reply, locked, throttled};
use crate::rules::{Refusal, Refusals, Stage};
use crate::save::{models, number_of};
use crate::server::{Answer, Cut};
use crate::wire::{self, Service};

/// A page such as a proxy shows.
const PAGE: &str =
    "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>";

/// The server, shared by its connections and the admin port.
#[derive(Debug)]
pub struct App {
    galaxy: Mutex<Galaxy>,
    /// Server time.
    pub clock: Clock,
    /// First segment of every path.
    pub prefix: String,
    /// How a call beyond the limit is refused.
    pub limit_reply: LimitReply,
}

/// A call on its way through the door.
struct Passing {
    app: Arc<App>,
    request: Request,
    faults: Vec<Spec>,
    sequence: u64,
    time: String,
    started: Instant,
}

impl App {
    /// A server.
    pub fn new(galaxy: Galaxy, clock: Clock, prefix: String, limit_reply: LimitReply) -> Self {
        Self { galaxy: Mutex::new(galaxy), clock, prefix, limit_reply }
    }

    /// The lock around everything.
    pub fn galaxy(&self) -> MutexGuard<'_, Galaxy> {
        self.galaxy.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Answers a request. The work goes on when the caller leaves.
pub async fn answer(app: Arc<App>, path: String, headers: HeaderMap, body: Vec<u8>) -> Answer {
    let work = tokio::spawn(pass(app, path, headers, body));
    // A panic in the work is a fault of the simulator itself; the caller sees what a crashed server shows.
    work.await.unwrap_or_else(|_| Answer::page(500, PAGE))
}

async fn pass(app: Arc<App>, path: String, headers: HeaderMap, body: Vec<u8>) -> Answer {
    let Some((service, method)) = wire::route(&path, &app.prefix) else {
        return Answer::page(404, "<!DOCTYPE html><html><body>404</body></html>");
    };
    let call = wire::read(service, &method, &body);
    let started = Instant::now();
    let time = app.clock.utc().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let (passing, admitted) = {
        let mut galaxy = app.galaxy();
        let admitted = galaxy.limit.admit(started);
        let sequence = galaxy.journal.arrive(&method, admitted.is_ok(), started);
        let (call, unreadable) = match call {
            Ok(call) => (call, None),
            Err(why) => (wire::Call::default(), Some(why)),
        };
        let request = Request { service, method, path, headers, call };
        let mut passing = Passing { app: Arc::clone(&app), request, faults: Vec::new(), sequence, time, started };
        if let Some(why) = unreadable {
            let problem = Problem::new(8, format!("请求数据包格式不正确：{why}"));
            let reply = Reply::refused(&problem, wraps(&passing.request.method));
            return passing.refuse(&mut galaxy, 200, reply);
        }
        if admitted.is_ok() {
            let numbers: Vec<String> = passing.carried(&galaxy).into_iter().filter_map(|one| one.number).collect();
            let (method, form) = (passing.request.method.clone(), passing.request.call.form.clone());
            passing.faults = galaxy.faults.meet(&method, &form, &numbers);
        }
        (passing, admitted)
    };
    match admitted {
        Err(wait) => passing.throttle(app.limit_reply == LimitReply::Http429, wait),
        Ok(()) => passing.go().await,
    }
}

impl Passing {
    async fn go(self) -> Answer {
        for fault in self.of(Kind::Latency).filter(|fault| fault.at != Some(Moment::After)) {
            sleep(ms(fault, 1_000)).await;
        }
        if let Some(fault) = self.of(Kind::SessionLoss).next() {
            self.app.galaxy().sessions.lose_all();
            tracing::info!(force = fault.force, "all sessions ended by a fault");
        }
        if let Some(answer) = self.before() {
            return answer;
        }
        let late = self.of(Kind::Late).next().map(|fault| (ms(fault, 5_000), fault.how.unwrap_or(Manner::Hang)));
        if let Some((delay, how)) = late {
            tokio::spawn(async move {
                sleep(delay).await;
                self.work(Outcome::Cut);
            });
            return match how {
                Manner::Hang => Answer::Hang(Duration::from_secs(3_600)),
                how => Answer::cut(how),
            };
        }
        let outcome = if self.faults.iter().any(hides) { Outcome::Cut } else { Outcome::Executed };
        let executed = self.work(outcome);
        for fault in self.of(Kind::Latency).filter(|fault| fault.at == Some(Moment::After)) {
            sleep(ms(fault, 1_000)).await;
        }
        self.after(executed)
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Spec> {
        self.faults.iter().filter(move |fault| fault.kind == kind)
    }

    /// What a fault answers instead of the work.
    fn before(&self) -> Option<Answer> {
        let wrapped = wraps(&self.request.method);
        let fault = self.faults.iter().find(|fault| replaces(fault))?;
        let whole = |problem: Problem| {
            let reply = Reply::refused(&problem, wrapped);
            self.refuse(&mut self.app.galaxy(), 200, reply)
        };
        Some(match fault.kind {
            Kind::CutBefore => {
                let reply = Reply { result: "cut".to_owned(), ..Reply::ok(Value::Null) };
                self.log(&mut self.app.galaxy(), Outcome::CutBefore, None, &reply);
                Answer::cut(fault.how.unwrap_or(Manner::Rst))
            }
            Kind::Throttle if fault.http => self.throttle(true, ms(fault, 1_000)),
            Kind::Throttle => self.throttle(false, Duration::ZERO),
            Kind::Lock => whole(call_locked(&self.request.call.form)),
            Kind::Error => {
                let message = fault.message.clone().unwrap_or_else(|| "服务端发生异常".to_owned());
                let mut problem = Problem::new(fault.code.unwrap_or(4), message);
                problem.field.clone_from(&fault.field);
                whole(problem)
            }
            Kind::Confirm => {
                let reply =
                    json!([{ "actionname": "showConfirm", "params": [{ "msg": "请求参数存在可疑数据，是否继续？" }] }]);
                let reply = Reply { result: "confirm".to_owned(), ..Reply::ok(reply) };
                self.refuse(&mut self.app.galaxy(), 200, reply)
            }
            _ => {
                let answer = instead(fault);
                let reply = Reply { result: answer.result(), ..Reply::ok(Value::Null) };
                self.log(&mut self.app.galaxy(), Outcome::Refused, None, &reply);
                answer
            }
        })
    }

    /// Does the work and logs it.
    fn work(&self, outcome: Outcome) -> Executed {
        let lost = self.of(Kind::SessionLoss).any(|fault| fault.force);
        let refusals = Refusals(self.faults.iter().filter_map(refusal).collect());
        let mut galaxy = self.app.galaxy();
        let stale = self.of(Kind::Stale).next().is_some();
        let clamp = self.of(Kind::Clamp).map(|fault| fault.rows.unwrap_or_default()).min();
        let conditions = Conditions { refusals: &refusals, lost, stale, clamp };
        let executed = galaxy.execute(&self.request, &conditions, &self.app.clock);
        let outcome = if executed.refused { Outcome::Refused } else { outcome };
        self.log(&mut galaxy, outcome, executed.session, &executed.reply);
        executed
    }

    /// What faults make of the reply.
    fn after(&self, mut executed: Executed) -> Answer {
        if let Body::Json(body) = &mut executed.reply.body {
            for fault in &self.faults {
                match fault.kind {
                    Kind::OddDindex => odd(body, fault),
                    Kind::Messages => {
                        let message = fault
                            .message
                            .clone()
                            .unwrap_or_else(|| "单据编号为“AR00000001”的应收单，审核成功！".to_owned());
                        let entry = json!({ "FieldName": null, "Message": message, "DIndex": 0 });
                        let list =
                            body.pointer_mut("/Result/ResponseStatus/SuccessMessages").and_then(Value::as_array_mut);
                        if let Some(list) = list {
                            list.push(entry);
                        }
                    }
                    _ => {}
                }
            }
        }
        let text = executed.reply.body.text();
        match self.faults.iter().find(|fault| hides(fault)) {
            None => Answer::json(executed.status, text, executed.cookies),
            Some(fault) => match fault.kind {
                Kind::CutAfter => Answer::cut(fault.how.unwrap_or(Manner::Rst)),
                Kind::Truncated => Answer::truncated(&text, cut_of(fault.how.unwrap_or(Manner::Eof))),
                Kind::BrokenChunk => Answer::broken_chunk(&text, cut_of(fault.how.unwrap_or(Manner::Eof))),
                _ => instead(fault),
            },
        }
    }

    fn throttle(&self, http: bool, wait: Duration) -> Answer {
        let mut reply = Reply::refused(&throttled(), wraps(&self.request.method));
        let seconds = wait.as_millis().div_ceil(1_000).max(1);
        if http {
            reply.result = "http 429".to_owned();
            reply.body = Body::Json(json!({ "Message": throttled().message }));
        }
        let answer = self.refuse(&mut self.app.galaxy(), if http { 429 } else { 200 }, reply);
        if http { answer.with_header("Retry-After", &seconds.to_string()) } else { answer }
    }

    fn refuse(&self, galaxy: &mut Galaxy, status: u16, reply: Reply) -> Answer {
        self.log(galaxy, Outcome::Refused, None, &reply);
        Answer::json(status, reply.body.text(), Vec::new())
    }

    fn log(&self, galaxy: &mut Galaxy, outcome: Outcome, session: Option<u64>, reply: &Reply) {
        let mut documents = self.carried(galaxy);
        if !reply.documents.is_empty() {
            documents = reply
                .documents
                .iter()
                .map(|document| Carried {
                    index: document.index,
                    number: document.number.clone(),
                    ended: Some(match &document.outcome {
                        Ok(_) => "saved".to_owned(),
                        Err(problems) => {
                            problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; ")
                        }
                    }),
                })
                .collect();
        }
        let package = Package(&self.request.call.data);
        let query = self.request.method.ends_with("BillQuery").then(|| Asked {
            filter: package.get("FilterString").cloned().unwrap_or(Value::Null),
            order: package.text("OrderString"),
            start: package.count("StartRow"),
            limit: package.count("Limit"),
            rows: reply.rows,
        });
        galaxy.journal.write(Record {
            sequence: self.sequence,
            time: self.time.clone(),
            method: self.request.method.clone(),
            form: self.request.call.form.clone(),
            session,
            outcome,
            result: reply.result.clone(),
            documents,
            query,
            faults: self.faults.iter().map(|fault| fault.kind).collect(),
            duration_ms: self.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        });
    }

    /// The numbers that the call carries.
    fn carried(&self, galaxy: &Galaxy) -> Vec<Carried> {
        let call = &self.request.call;
        if self.request.service != Service::DynamicForm {
            return Vec::new();
        }
        let package = Package(&call.data);
        let numbers: Vec<Option<String>> = match galaxy.store.find(&call.form) {
            Some(table) if package.get("Model").is_some() => {
                let form = &galaxy.store.table(table).form;
                models(&package, true).unwrap_or_default().iter().map(|model| number_of(form, model)).collect()
            }
            _ if package.get("Number").is_some() => vec![Some(package.text("Number"))],
            _ => package.list("Numbers").into_iter().map(Some).collect(),
        };
        numbers.into_iter().enumerate().map(|(index, number)| Carried { index, number, ended: None }).collect()
    }
}

fn ms(fault: &Spec, otherwise: u64) -> Duration {
    Duration::from_millis(fault.ms.unwrap_or(otherwise))
}

/// Whether a fault answers instead of the work.
fn replaces(fault: &Spec) -> bool {
    match fault.kind {
        Kind::CutBefore | Kind::Throttle | Kind::Confirm | Kind::Error => true,
        Kind::Lock => fault.indexes.is_empty() && fault.numbers.is_empty(),
        Kind::Status | Kind::Html | Kind::Empty => fault.at != Some(Moment::After),
        _ => false,
    }
}

/// Whether a fault hides the reply after the work.
fn hides(fault: &Spec) -> bool {
    match fault.kind {
        Kind::CutAfter | Kind::Truncated | Kind::BrokenChunk => true,
        Kind::Status | Kind::Html | Kind::Empty => fault.at == Some(Moment::After),
        _ => false,
    }
}

/// What Status, Html and Empty show.
fn instead(fault: &Spec) -> Answer {
    match fault.kind {
        Kind::Html => Answer::page(200, fault.message.as_deref().unwrap_or(PAGE)),
        Kind::Empty => Answer::json(200, if fault.how.is_some() { "" } else { "{}" }.to_owned(), Vec::new()),
        _ => {
            let status = fault.status.unwrap_or(500);
            match fault.body {
                ErrorBody::Html => Answer::page(status, fault.message.as_deref().unwrap_or(PAGE)),
                ErrorBody::Json => {
                    let message = fault.message.as_deref().unwrap_or("服务端发生异常");
                    Answer::json(status, json!({ "Message": message }).to_string(), Vec::new())
                }
            }
        }
    }
}

/// The refusal of documents that a fault asks for.
fn refusal(fault: &Spec) -> Option<Refusal> {
    let (stage, code, message) = match fault.kind {
        Kind::RefuseSave => (Stage::Save, 11, "插件校验未通过"),
        Kind::RefuseAudit => (Stage::Audit, 11, "更新库存时出现负库存，审核失败！"),
        Kind::Lock if !(fault.indexes.is_empty() && fault.numbers.is_empty()) => (Stage::Save, 13, ""),
        _ => return None,
    };
    let message = match (&fault.message, fault.kind) {
        (Some(message), _) => message.clone(),
        (None, Kind::Lock) => locked(fault.numbers.first().map_or("", String::as_str)).message,
        (None, _) => message.to_owned(),
    };
    let problem = Problem { field: fault.field.clone(), message, code: fault.code.unwrap_or(code) };
    Some(Refusal { stage, indexes: fault.indexes.clone(), numbers: fault.numbers.clone(), problem })
}

/// Makes the DIndex of one entry odd.
fn odd(body: &mut Value, fault: &Spec) {
    let wanted = fault.indexes.first().copied().unwrap_or(0);
    let Some(status) = body.pointer_mut("/Result/ResponseStatus") else { return };
    for list in ["SuccessEntitys", "Errors"] {
        let Some(entries) = status.get_mut(list).and_then(Value::as_array_mut) else { continue };
        let is_wanted = |entry: &Value| entry.get("DIndex").and_then(Value::as_u64) == u64::try_from(wanted).ok();
        match fault.how {
            None | Some(Manner::Missing) => entries.retain(|entry| !is_wanted(entry)),
            Some(how) => {
                for entry in entries.iter_mut().filter(|entry| is_wanted(entry)) {
                    let odd = match how {
                        Manner::Repeated => json!(if wanted == 0 { 1 } else { wanted - 1 }),
                        Manner::OutOfRange => json!(wanted + 1_000),
                        _ => json!(wanted.to_string()),
                    };
                    if let Some(index) = entry.get_mut("DIndex") {
                        *index = odd;
                    }
                }
            }
        }
    }
}

fn cut_of(how: Manner) -> Cut {
    if how == Manner::Rst { Cut::Reset } else { Cut::Close }
}
