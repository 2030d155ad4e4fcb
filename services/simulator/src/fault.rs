//! Faults on demand: which call they meet and what they do to it.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Waits `ms`, before the work or after it (`at`).
    Latency,
    /// Answers with HTTP `status` and a body of `body`, instead of the work or after it (`at`).
    Status,
    /// Closes the connection (`how`: rst, eof) without doing the work.
    CutBefore,
    /// Does the work, then closes the connection instead of answering.
    CutAfter,
    /// Does the work `ms` later; the caller is left hanging, or cut off at once (`how`: hang, rst, eof).
    Late,
    /// Answers 200 with an HTML page, instead of the work or after it (`at`).
    Html,
    /// Answers with an empty body (`how`: eof) or `{}`, instead of the work or after it (`at`).
    Empty,
    /// Does the work, announces the whole reply and sends half of it.
    Truncated,
    /// Does the work and breaks off the chunked reply with a chunk that is none.
    BrokenChunk,
    /// Ends every session; with `force` the call itself is refused with MsgCode 1 even when it is signed.
    SessionLoss,
    /// Refuses the call: MsgCode 14, or with `http` HTTP 429 and Retry-After (`ms`).
    Throttle,
    /// Refuses the documents at `indexes` or with `numbers` while they are saved.
    RefuseSave,
    /// Refuses the documents at `indexes` or with `numbers` while they are audited.
    RefuseAudit,
    /// MsgCode 13 for the call, or for the documents at `indexes` or with `numbers`.
    Lock,
    /// Makes one DIndex of the reply odd (`how`: missing, repeated, out_of_range, text), that of the first of `indexes`.
    OddDindex,
    /// Answers with the request filter's showConfirm, without doing the work.
    Confirm,
    /// Adds a SuccessMessage to the reply.
    Messages,
    /// Refuses the call with MsgCode `code` and `message`, without doing the work.
    Error,
    /// Answers queries from what the last snapshot holds: a replica that lags behind.
    Stale,
    /// Answers queries with at most `rows` rows, however many are asked for; with none, as where a permission is lost.
    Clamp,
}

/// Where in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Before the work.
    Before,
    /// After the work.
    After,
}

/// In which manner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// TCP reset.
    Rst,
    /// Orderly close.
    Eof,
    /// No answer.
    Hang,
    /// The entry is left out.
    Missing,
    /// The entry carries the index of its neighbour.
    Repeated,
    /// The index is beyond the documents.
    OutOfRange,
    /// The index is a text.
    Text,
}

/// Body of an HTTP error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorBody {
    /// A page of a proxy.
    #[default]
    Html,
    /// JSON of the application.
    Json,
}

/// A fault as it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What it does.
    pub kind: Kind,
    /// The method it meets; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// The form it meets; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// The first matching call it meets, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// How many calls it meets, 0 for all; default 1, but all for a probability and for refusals of documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The share of matching calls it meets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// Before or after the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    /// HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Body of an HTTP error.
    #[serde(default)]
    pub body: ErrorBody,
    /// In which manner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<Manner>,
    /// Document indexes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<usize>,
    /// Document numbers; a call that carries none of them is not met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<String>,
    /// What is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The field to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Most rows of a reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// MsgCode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// HTTP 429 instead of MsgCode 14.
    #[serde(default)]
    pub http: bool,
    /// MsgCode 1 even for signed calls.
    #[serde(default)]
    pub force: bool,
}

impl Spec {
    /// Reads JSON, or `KIND[:KEY=VALUE,…]` with `|` between the members of a list.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| error.to_string())?
        } else {
            let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
            let mut object = Map::from_iter([("kind".to_owned(), Value::from(kind.trim()))]);
            for pair in rest.split(',').filter(|pair| !pair.trim().is_empty()) {
                let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not KEY=VALUE"))?;
                let read = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
                let value = match key.trim() {
                    "numbers" => value.split('|').map(Value::from).collect(),
                    "indexes" => value.split('|').map(read).collect(),
                    "call" | "form" | "message" | "field" => Value::from(value),
                    _ => read(value),
                };
                object.insert(key.trim().to_owned(), value);
            }
            Value::Object(object)
        };
        Self::from_value(value)
    }

    /// Reads a JSON value.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn from_value(value: Value) -> Result<Self, String> {
        let spec: Spec = serde_json::from_value(value).map_err(|error| error.to_string())?;
        let fits = match spec.how {
            None => true,
            Some(Manner::Rst | Manner::Eof) => {
                matches!(
                    spec.kind,
                    Kind::CutBefore | Kind::CutAfter | Kind::Late | Kind::Truncated | Kind::BrokenChunk | Kind::Empty
                )
            }
            Some(Manner::Hang) => spec.kind == Kind::Late,
            Some(Manner::Missing | Manner::Repeated | Manner::OutOfRange | Manner::Text) => {
                spec.kind == Kind::OddDindex
            }
        };
        if !fits {
            return Err(format!("{:?} does not happen in the manner {:?}", spec.kind, spec.how));
        }
        if spec.probability.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err("probability lies between 0 and 1".to_owned());
        }
        Ok(spec)
    }

    fn limit(&self) -> u64 {
        let unending = matches!(self.kind, Kind::RefuseSave | Kind::RefuseAudit | Kind::Messages);
        self.count.unwrap_or(if self.probability.is_some() || unending { 0 } else { 1 })
    }
}

/// A fault in force.
#[derive(Debug, Clone, Serialize)]
pub struct Fault {
    /// Its name for `DELETE /faults/{id}`.
    pub id: u64,
    /// What was asked for.
    #[serde(flatten)]
    pub spec: Spec,
    /// Matching calls so far.
    pub seen: u64,
    /// Calls it met.
    pub met: u64,
}

/// The faults in force.
#[derive(Debug)]
pub struct Faults {
    list: Vec<Fault>,
    next: u64,
    chance: StdRng,
}

impl Faults {
    /// None yet; probabilities come from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { list: Vec::new(), next: 0, chance: StdRng::seed_from_u64(seed) }
    }

    /// Puts a fault in force.
    pub fn add(&mut self, spec: Spec) -> u64 {
        self.next += 1;
        self.list.push(Fault { id: self.next, spec, seen: 0, met: 0 });
        self.next
    }

    /// All of them.
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// Ends one, or all without an id; gives how many.
    pub fn remove(&mut self, id: Option<u64>) -> usize {
        let before = self.list.len();
        self.list.retain(|fault| id.is_some_and(|id| fault.id != id));
        before - self.list.len()
    }

    /// The faults that meet a call.
    pub fn meet(&mut self, method: &str, form: &str, numbers: &[String]) -> Vec<Spec> {
        let mut met = Vec::new();
        for fault in &mut self.list {
            let spec = &fault.spec;
            let fits = |wanted: &Option<String>, is: &str| {
                wanted.as_ref().is_none_or(|wanted| wanted == "*" || wanted.eq_ignore_ascii_case(is))
            };
            let named = spec.numbers.is_empty()
                || numbers.is_empty()
                || spec.numbers.iter().any(|number| numbers.contains(number));
            if !fits(&spec.call, method) || !fits(&spec.form, form) || !named {
                continue;
            }
            fault.seen += 1;
            let due = spec.nth.is_none_or(|nth| fault.seen >= nth);
            let left = spec.limit() == 0 || fault.met < spec.limit();
            if due && left && spec.probability.is_none_or(|share| self.chance.random_bool(share)) {
                fault.met += 1;
                met.push(spec.clone());
            }
        }
        met
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_reads_as_the_json() {
        let short = Spec::parse("refuse_audit:call=BatchSave,nth=2,numbers=A-1|A-2,indexes=0|3,message=库存不足");
        let short = short.expect("it is sound");
        assert_eq!((short.kind, short.nth, short.numbers.len()), (Kind::RefuseAudit, Some(2), 2));
        assert_eq!((short.indexes.as_slice(), short.message.as_deref()), ([0, 3].as_slice(), Some("库存不足")));
        assert_eq!(Spec::parse(r#"{"kind":"late","ms":20,"how":"hang"}"#).expect("it is sound").ms, Some(20));
        for bad in ["slow", "latency:ms", "latency:colour=red", "cut_after:how=text", "latency:probability=2"] {
            assert!(Spec::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fault_meets_the_nth_call_so_many_times() {
        let mut faults = Faults::new(1);
        faults.add(Spec::parse("lock:call=save,form=X,nth=2,count=2").expect("it is sound"));
        let mut meet = |method: &str| faults.meet(method, "x", &[]).len();
        let met = [meet("Save"), meet("View"), meet("Save"), meet("Save"), meet("Save")];
        assert_eq!(met, [0, 0, 1, 1, 0]);
    }

    #[test]
    fn probabilities_repeat_with_their_seed() {
        let run = |seed| {
            let mut faults = Faults::new(seed);
            faults.add(Spec::parse("latency:probability=0.3").expect("it is sound"));
            (0..200).map(|_| faults.meet("Save", "X", &[]).len()).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        let share = run(7).into_iter().sum::<usize>();
        assert!((30..=90).contains(&share), "{share}");
    }
}
