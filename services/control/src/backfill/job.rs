//! A backfill, as it stands in `starbridge.control` under `backfill/{id}`, and what comes next of it. No I/O.

use document::{BackfillId, BackfillMark, Code, Fault, FlowName, Headers, Record};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::core::Memory;

/// Before the keys of backfills.
pub const BACKFILLS: &str = "backfill/";
/// Backfills of one flow that are kept; older ones that are over go when another one begins.
const KEPT: usize = 100;
/// How long a window may show no sign of life before it is asked for again, milliseconds. It does no harm when it is being
/// read: the extractor knows the same window by its words.
const AGAIN_AFTER: i64 = 10 * 60 * 1000;

/// How far a backfill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Windows are being read.
    Running,
    /// A person lets it rest.
    Paused,
    /// Every window was read.
    Done,
    /// A person ended it.
    Cancelled,
    /// It was given up.
    Failed,
}

impl Status {
    /// Whether nothing more comes of it.
    pub fn is_over(self) -> bool {
        matches!(self, Status::Done | Status::Cancelled | Status::Failed)
    }
}

/// A window that the extractor was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its end, unix seconds.
    pub to: i64,
    /// When, unix milliseconds.
    pub at: i64,
}

/// A backfill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// Its id; with the flow before it in the words of people.
    pub id: BackfillId,
    /// The flow.
    pub flow: FlowName,
    /// How far it is.
    pub status: Status,
    /// The first instant of the watermark date, unix seconds.
    pub from: i64,
    /// The instant behind the last one, unix seconds.
    pub to: i64,
    /// The length of its windows, seconds.
    pub chunk: i64,
    /// Documents a minute, on average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Whether bills that are as they were seen before are emitted again.
    pub again: bool,
    /// Who asked.
    pub by: String,
    /// When, unix milliseconds.
    pub at: i64,
    /// Why.
    pub reason: String,
    /// The window that is being read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// What the extractor said when it was over; before that only the extractor knows.
    #[serde(default)]
    pub mark: BackfillMark,
    /// When it was over, unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// What comes next of a backfill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The extractor is asked for a window: first instant, instant behind the last one.
    Ask(i64, i64),
    /// It is over, and every window was read.
    Done,
    /// Nothing for now.
    Wait,
}

impl Backfill {
    /// As people name it.
    pub fn name(&self) -> String {
        format!("{}:{}", self.flow, self.id)
    }

    /// Its key.
    pub fn key(&self) -> String {
        format!("{BACKFILLS}{}", self.name())
    }

    /// Its record's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers")
    }

    /// How many windows it has.
    pub fn chunks(&self) -> i64 {
        chunks(self.from, self.to, self.chunk)
    }

    /// How many of them were read whole, by what the extractor says.
    pub fn chunks_read(&self, mark: &BackfillMark) -> i64 {
        match self.read_to(mark) {
            read_to if read_to >= self.to => self.chunks(),
            read_to => (read_to - self.from) / self.chunk,
        }
    }

    /// Every bill before this was read, by what the extractor says; unix seconds.
    pub fn read_to(&self, mark: &BackfillMark) -> i64 {
        mark.read_to.unwrap_or(self.from).clamp(self.from, self.to)
    }

    /// What comes next at `now`, unix milliseconds. `rests`: whether a person lets the flow rest.
    pub fn step(&self, mark: &BackfillMark, rests: bool, now: i64) -> Step {
        let read_to = self.read_to(mark);
        if self.status.is_over() {
            return Step::Wait;
        }
        if read_to >= self.to {
            return Step::Done;
        }
        if rests || self.status == Status::Paused {
            return Step::Wait;
        }
        let alive = |asked: &Asked| asked.at.max(mark.at.saturating_mul(1_000)) + AGAIN_AFTER > now;
        match self.asked {
            Some(asked) if asked.to > read_to && alive(&asked) => Step::Wait,
            _ => Step::Ask(read_to, self.to.min(read_to.saturating_add(self.chunk))),
        }
    }

    /// What the extractor is told.
    pub fn command(&self, (from, to): (i64, i64)) -> Record {
        let (flow, again) = (&self.flow, self.again);
        let mut value = json!({
            "flow": flow, "command": "window", "from": from, "to": to, "again": again, "backfill": self.id,
        });
        if let Some(rate) = self.rate {
            value["rate"] = rate.into();
        }
        Record {
            key: flow.as_str().as_bytes().to_vec(),
            headers: Headers::new(),
            value: Some(value.to_string().into_bytes()),
        }
    }

    /// Ends it.
    pub fn end(&mut self, status: Status, mark: BackfillMark, now: i64) {
        (self.status, self.mark, self.ended_at) = (status, mark, Some(now));
    }

    /// Lets it rest, go on, or end, as a person wishes.
    ///
    /// # Errors
    /// `E_BACKFILL_STATE` when it is over.
    pub fn turn(&mut self, wish: Status, mark: BackfillMark, now: i64) -> Result<(), Fault> {
        if self.status.is_over() {
            return Err(Fault::new(Code::BackfillState, "the backfill is over").of_record(self.name()));
        }
        match wish {
            Status::Cancelled => self.end(wish, mark, now),
            _ => self.status = wish,
        }
        Ok(())
    }
}

/// How many windows of a length lie in a span.
pub fn chunks(from: i64, to: i64, chunk: i64) -> i64 {
    let span = to.saturating_sub(from);
    span / chunk + i64::from(span % chunk > 0)
}

/// What is written when a backfill begins: it, and the end of earlier ones of its flow that are too many. `known`: those,
/// oldest first.
pub fn begun(backfill: &Backfill, known: Vec<(String, Vec<u8>)>) -> Vec<Memory> {
    let spare = known.len().saturating_sub(KEPT - 1);
    let over = known
        .into_iter()
        .filter(|(_, value)| serde_json::from_slice::<Backfill>(value).is_ok_and(|backfill| backfill.status.is_over()));
    let gone = over.take(spare).map(|(key, _)| (key, None));
    std::iter::once((backfill.key(), Some(backfill.to_bytes()))).chain(gone).collect()
}

/// The fault of a backfill that is not there.
pub fn unknown(name: &str) -> Fault {
    Fault::new(Code::BackfillUnknown, "there is no backfill of this id").of_record(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn backfill() -> Backfill {
        Backfill {
            id: BackfillId::new(0xab),
            flow: FlowName::new("misc").expect("valid"),
            status: Status::Running,
            from: 100,
            to: 100 + 2 * DAY + 1,
            chunk: DAY,
            rate: None,
            again: false,
            by: "li".to_owned(),
            at: 0,
            reason: String::new(),
            asked: None,
            mark: BackfillMark::default(),
            ended_at: None,
            fault: None,
        }
    }

    fn mark(read_to: Option<i64>, at: i64) -> BackfillMark {
        BackfillMark { read_to, at, ..BackfillMark::default() }
    }

    #[test]
    fn windows_are_asked_for_one_after_the_other_until_all_are_read() {
        let mut backfill = backfill();
        let mut read_to = None;
        let mut asked = Vec::new();
        for now in 0..9 {
            match backfill.step(&mark(read_to, 0), false, now) {
                Step::Ask(from, to) => {
                    assert_eq!(backfill.step(&mark(read_to, 0), true, now), Step::Wait, "the flow rests");
                    backfill.asked = Some(Asked { to, at: now });
                    assert_eq!(backfill.step(&mark(read_to, 0), false, now + 1), Step::Wait);
                    asked.push((from, to));
                    read_to = Some(to);
                }
                Step::Done => backfill.end(Status::Done, mark(read_to, 0), now),
                Step::Wait => assert_eq!(backfill.status, Status::Done),
            }
        }
        assert_eq!(asked, [(100, 100 + DAY), (100 + DAY, 100 + 2 * DAY), (100 + 2 * DAY, 100 + 2 * DAY + 1)]);
        assert_eq!((backfill.chunks(), backfill.chunks_read(&backfill.mark)), (3, 3));
        assert_eq!((backfill.status, backfill.ended_at.is_some()), (Status::Done, true));
    }

    #[test]
    fn a_window_without_a_sign_of_life_is_asked_for_again() {
        let mut backfill = backfill();
        backfill.asked = Some(Asked { to: 100 + DAY, at: 5 });
        assert_eq!(backfill.step(&mark(None, 0), false, AGAIN_AFTER + 4), Step::Wait);
        assert_eq!(backfill.step(&mark(None, 0), false, AGAIN_AFTER + 5), Step::Ask(100, 100 + DAY));
        // It is read page by page.
        let later = AGAIN_AFTER + 60_000;
        assert_eq!(backfill.step(&mark(None, 60), false, later - 1), Step::Wait);
        assert_eq!(backfill.step(&mark(None, 60), false, later), Step::Ask(100, 100 + DAY));
    }

    #[test]
    fn a_person_lets_it_rest_and_ends_it_and_what_is_over_stays_so() {
        let mut backfill = backfill();
        let half = mark(Some(100 + DAY), 0);
        backfill.turn(Status::Paused, half, 1).expect("not over");
        assert_eq!(backfill.step(&half, false, 1), Step::Wait);
        assert_eq!(backfill.step(&mark(Some(i64::MAX), 0), false, 1), Step::Done, "the last window was in hand");
        backfill.turn(Status::Running, half, 1).expect("not over");
        assert_eq!(backfill.step(&half, false, 1), Step::Ask(100 + DAY, 100 + 2 * DAY));
        backfill.turn(Status::Cancelled, half, 7).expect("not over");
        assert_eq!((backfill.mark, backfill.ended_at, backfill.chunks_read(&half)), (half, Some(7), 1));
        assert_eq!(backfill.step(&half, false, 9), Step::Wait);
        let fault = backfill.turn(Status::Running, half, 9).expect_err("over");
        let id = "misc:000000000000000000000000000000ab";
        assert_eq!((fault.code, fault.place.record.as_deref()), (Code::BackfillState, Some(id)));
        let fault = unknown(id);
        assert_eq!((fault.code, fault.place.record.as_deref()), (Code::BackfillUnknown, Some(id)));
    }

    #[test]
    fn the_extractor_is_told_what_it_understands() {
        let text =
            |backfill: &Backfill| String::from_utf8(backfill.command((5, 9)).value.expect("a value")).expect("text");
        let mut backfill = backfill();
        let told = r#"{"flow":"misc","command":"window","from":5,"to":9,"again":false,"backfill":"000000000000000000000000000000ab"}"#;
        assert_eq!(text(&backfill), told);
        backfill.rate = Some(60);
        assert!(text(&backfill).ends_with(r#""backfill":"000000000000000000000000000000ab","rate":60}"#));
    }

    #[test]
    fn only_what_is_over_makes_room() {
        let known = |count: u128, status| -> Vec<(String, Vec<u8>)> {
            let one = |number| Backfill { id: BackfillId::new(number), status, ..backfill() };
            (0..count).map(one).map(|backfill| (backfill.key(), backfill.to_bytes())).collect()
        };
        assert_eq!(begun(&backfill(), known(99, Status::Done)).len(), 1);
        let written = begun(&backfill(), known(101, Status::Done));
        let first = |number| Backfill { id: BackfillId::new(number), ..backfill() }.key();
        assert_eq!(written[1..], [(first(0), None), (first(1), None)]);
        assert_eq!(begun(&backfill(), known(101, Status::Paused)).len(), 1);
    }
}
