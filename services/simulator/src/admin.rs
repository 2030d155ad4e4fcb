//! The admin port: faults, log, counts, documents and clock, over plain HTTP and JSON.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::door::App;
use crate::fault::Spec;
use crate::query::Package;
use crate::reply::unknown_form;
use crate::rules::Refusals;
use crate::save::{Context, Flags, Mode, save_one};

/// A refusal: status 400 and why.
struct Refused(String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({ "error": self.0 }))).into_response()
    }
}

impl From<JsonRejection> for Refused {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection.body_text())
    }
}

type Shared = State<Arc<App>>;
type Said = Result<Json<Value>, Refused>;

/// The routes.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/live", get(|| async { Json(json!({ "live": true })) }))
        .route("/faults", get(faults).post(add_faults).delete(end_faults))
        .route("/faults/{id}", delete(end_fault))
        .route("/log", get(log))
        .route("/stats", get(stats))
        .route("/documents", post(plant).delete(remove))
        .route("/dump", get(dump))
        .route("/clock", get(clock).post(set_clock))
        .route("/session-loss", post(lose_sessions))
        .route("/secret", post(change_secret))
        .route("/snapshot", post(take_snapshot))
        .with_state(app)
}

async fn faults(State(app): Shared) -> Json<Value> {
    Json(json!(app.galaxy().faults.list()))
}

async fn add_faults(State(app): Shared, body: Result<Json<Value>, JsonRejection>) -> Said {
    let list = match body?.0 {
        Value::Array(list) => list,
        one => vec![one],
    };
    // Either all of them or none.
    let specs = list.into_iter().map(Spec::from_value).collect::<Result<Vec<_>, _>>().map_err(Refused)?;
    let mut galaxy = app.galaxy();
    let ids: Vec<u64> = specs.into_iter().map(|spec| galaxy.faults.add(spec)).collect();
    Ok(Json(json!({ "ids": ids })))
}

async fn end_faults(State(app): Shared) -> Json<Value> {
    Json(json!({ "ended": app.galaxy().faults.remove(None) }))
}

async fn end_fault(State(app): Shared, Path(id): Path<u64>) -> Json<Value> {
    Json(json!({ "ended": app.galaxy().faults.remove(Some(id)) }))
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn log(State(app): Shared, Query(query): Query<After>) -> Json<Value> {
    Json(json!(app.galaxy().journal.after(query.after)))
}

async fn stats(State(app): Shared) -> Json<Value> {
    let galaxy = app.galaxy();
    let (open, opened, logins) = galaxy.sessions.counts();
    let mut stats = json!(galaxy.journal.stats());
    let documents: serde_json::Map<String, Value> = galaxy
        .store
        .tables()
        .iter()
        .filter(|table| !table.documents().is_empty())
        .map(|table| (table.form.id.clone(), table.documents().len().into()))
        .collect();
    if let Some(object) = stats.as_object_mut() {
        object.insert("sessions".to_owned(), json!({ "open": open, "opened": opened, "logins": logins }));
        object.insert("documents".to_owned(), documents.into());
    }
    Json(stats)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Planting {
    form: String,
    documents: Vec<serde_json::Map<String, Value>>,
    /// Base data that is missing is created.
    #[serde(default)]
    create_base_data: bool,
    /// A number may be carried twice.
    #[serde(default)]
    allow_duplicate: bool,
    /// Rows that a changed document does not list stay.
    #[serde(default)]
    keep_entries: bool,
}

async fn plant(State(app): Shared, body: Result<Json<Planting>, JsonRejection>) -> Said {
    let Json(planting) = body?;
    let now = app.clock.local();
    let mut galaxy = app.galaxy();
    let table = galaxy.store.find(&planting.form).ok_or_else(|| Refused(unknown_form(&planting.form).message))?;
    let mut rules = galaxy.rules.clone();
    rules.unique_numbers &= !planting.allow_duplicate;
    let refusals = Refusals::default();
    let context = Context { now, rules: &rules, refusals: &refusals };
    let flags = json!({
        "CreateBaseData": planting.create_base_data,
        "IsVerifyBaseDataField": true,
        "IsDeleteEntry": !planting.keep_entries,
    });
    let flags = Flags::read(&Package(flags.as_object().unwrap_or(&serde_json::Map::new())));
    let mut ids = Vec::new();
    for (index, model) in planting.documents.iter().enumerate() {
        match save_one(&mut galaxy.store, table, model, &flags, Mode::Plant, context) {
            Ok((id, _)) => ids.push(id),
            Err(problems) => {
                let why: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
                return Err(Refused(format!("document {index}: {} ({} planted before it)", why.join("; "), ids.len())));
            }
        }
    }
    Ok(Json(json!({ "ids": ids })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    form: String,
    number: Option<String>,
    id: Option<i64>,
}

async fn remove(State(app): Shared, Query(which): Query<Which>) -> Said {
    let mut galaxy = app.galaxy();
    let table = galaxy.store.find(&which.form).ok_or_else(|| Refused(unknown_form(&which.form).message))?;
    let table = galaxy.store.table_mut(table);
    let mut ids: Vec<i64> = which.number.iter().flat_map(|number| table.by_number(number)).copied().collect();
    ids.extend(which.id);
    let removed = ids.into_iter().filter(|id| table.remove(*id).is_some()).count();
    Ok(Json(json!({ "removed": removed })))
}

async fn dump(State(app): Shared, Query(which): Query<Which>) -> Said {
    let galaxy = app.galaxy();
    let at = galaxy.store.find(&which.form).ok_or_else(|| Refused(unknown_form(&which.form).message))?;
    let table = galaxy.store.table(at);
    let documents: Vec<Value> = table
        .documents()
        .values()
        .filter(|document| which.id.is_none_or(|id| document.id == id))
        .filter(|document| which.number.as_deref().is_none_or(|number| document.number(&table.form) == Some(number)))
        .map(|document| galaxy.store.dump(at, document))
        .collect();
    Ok(Json(json!(documents)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockOrder {
    /// An instant, or server local time.
    now: Option<String>,
    advance_ms: Option<i64>,
    frozen: Option<bool>,
    #[serde(default)]
    reset: bool,
}

async fn clock(State(app): Shared) -> Json<Value> {
    Json(tell(&app))
}

async fn set_clock(State(app): Shared, body: Result<Json<ClockOrder>, JsonRejection>) -> Said {
    let Json(order) = body?;
    if order.reset {
        app.clock.reset();
    }
    if let Some(text) = &order.now {
        let at = app.clock.parse(text).ok_or_else(|| Refused(format!("{text:?} is not a time")))?;
        app.clock.set(at, order.frozen.unwrap_or(false));
    } else if let Some(frozen) = order.frozen {
        app.clock.stop(frozen);
    }
    if let Some(by) = order.advance_ms {
        app.clock.advance(chrono::Duration::milliseconds(by));
    }
    Ok(Json(tell(&app)))
}

fn tell(app: &App) -> Value {
    json!({ "utc": app.clock.utc().to_rfc3339(), "local": crate::clock::write_time(app.clock.local()) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    app_secret: String,
}

async fn change_secret(State(app): Shared, body: Result<Json<Secret>, JsonRejection>) -> Said {
    let Json(secret) = body?;
    if secret.app_secret.is_empty() {
        return Err(Refused("app_secret is empty".to_owned()));
    }
    Ok(Json(json!({ "lost": app.galaxy().change_secret(secret.app_secret) })))
}

async fn take_snapshot(State(app): Shared) -> Json<Value> {
    app.galaxy().take_snapshot();
    Json(json!({ "taken": true }))
}

async fn lose_sessions(State(app): Shared) -> Json<Value> {
    Json(json!({ "lost": app.galaxy().sessions.lose_all() }))
}
