//! Commands to the extractor, and how far they are done.
//!
//! A command is a small JSON object in `starbridge.commands`, with the flow's name as key:
//! `{"flow": "misc-inbound", "command": "run"}`; `lookback` is another one. `window` reads the bills whose watermark date
//! lies in a span of time, whatever W is: `{"flow": "misc-inbound", "command": "window", "from": 1710345600, "to":
//! 1710432000}` in unix seconds, `to` excluded; with `"again": true` bills that are as they were emitted are emitted again,
//! as new versions. A window that is part of a backfill names it, and may name documents a minute: `"backfill": "<32 hex
//! digits>", "rate": 600`. The position of a command is saved only when the run it asked for is complete, so a crash repeats it
//! instead of forgetting it. While a flow rests its commands wait, and so
//! does the position.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;

use document::{BackfillId, Code, DeadLetter, Fault, FlowName, Received, Stage, Tenant, Version};
use queue::Next;
use serde::Deserialize;

use crate::core::checkpoint::{Part, Window};
use crate::core::schedule::Kind;

/// What a command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Run,
    Lookback,
    Window,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    flow: FlowName,
    command: Word,
    from: Option<i64>,
    to: Option<i64>,
    again: Option<bool>,
    backfill: Option<BackfillId>,
    rate: Option<NonZeroU32>,
}

impl Text {
    fn kind(&self) -> Result<Kind, &'static str> {
        let part = match (self.backfill, self.rate) {
            (Some(backfill), rate) => Some(Part { backfill, rate }),
            (None, None) => None,
            (None, Some(_)) => return Err("a rate belongs to a backfill"),
        };
        match (self.command, self.from, self.to, self.again, part) {
            (Word::Run, None, None, None, None) => Ok(Kind::Scan),
            (Word::Lookback, None, None, None, None) => Ok(Kind::Lookback),
            (Word::Window, Some(from), Some(to), again, part) if from < to => {
                Ok(Kind::Window(Window { from, to, again: again.unwrap_or(false), part }))
            }
            (Word::Window, ..) => Err("a window needs from and to, unix seconds, and from is the earlier one"),
            (Word::Run | Word::Lookback, ..) => Err("from, to, again and backfill belong to a window"),
        }
    }
}

/// Reads a command.
///
/// # Errors
/// A fault with [`Code::CommandUnreadable`], whose record is topic, partition and offset.
pub fn read(received: &Received) -> Result<(FlowName, Kind), Fault> {
    let value = received.record.value.as_deref().unwrap_or_default();
    let text = serde_json::from_slice::<Text>(value).map_err(|error| error.to_string());
    let read = text.and_then(|text| Ok((text.kind()?, text.flow)));
    match read {
        Ok((kind, flow)) => Ok((flow, kind)),
        Err(detail) => Err(Fault::new(Code::CommandUnreadable, detail).of_record(place(received))),
    }
}

fn place(received: &Received) -> String {
    format!("{}/{}@{}", received.topic, received.partition, received.offset)
}

/// The fault of a command whose flow is not here.
pub fn unknown(received: &Received, flow: &FlowName) -> Fault {
    Fault::new(Code::CommandUnreadable, format!("there is no flow {flow} that could do this"))
        .of_record(place(received))
}

/// The letter that keeps a command nobody could follow.
pub fn letter(received: &Received, fault: &Fault, now_millis: i64) -> DeadLetter {
    let key = String::from_utf8_lossy(&received.record.key).into_owned();
    // A letter belongs to a flow; one that is named so can only be this.
    let flow = FlowName::new(key).unwrap_or_else(|_| FlowName::new("unknown-command").expect("a valid name"));
    DeadLetter {
        tenant: Tenant::default(),
        flow,
        flow_version: "none".into(),
        document_key: place(received).as_str().into(),
        version: Version(u64::try_from(received.offset).unwrap_or_default()),
        stage: Stage::Extract,
        category: fault.code.category(),
        code: fault.code,
        message: fault.detail.clone(),
        field: None,
        origin: Some((received.topic.clone(), received.partition, received.offset)),
        origin_timestamp: received.timestamp,
        attempts: 1,
        first_failed_at: now_millis,
        last_failed_at: now_millis,
        retry_at: None,
        replay: None,
        trace: None,
        headers: DeadLetter::headers_of(&received.record.headers),
        claim_check: false,
        body: received.record.value.clone().unwrap_or_default(),
    }
}

/// Commands in hand, in order, by partition.
#[derive(Debug, Default)]
pub struct Commands {
    partitions: BTreeMap<i32, VecDeque<Open>>,
}

#[derive(Debug)]
struct Open {
    next: Next,
    wish: Option<(FlowName, Kind)>,
}

impl Commands {
    /// A command that was taken up; `None` for one that is done with already.
    pub fn taken(&mut self, received: &Received, wish: Option<(FlowName, Kind)>) {
        let open = Open { next: Next::after(received), wish };
        self.partitions.entry(received.partition).or_default().push_back(open);
    }

    /// A run of a flow is complete: what had asked for it before it began is done.
    pub fn done(&mut self, flow: &FlowName, kind: Kind) {
        for open in self.partitions.values_mut().flatten() {
            if open.wish.as_ref() == Some(&(flow.clone(), kind)) {
                open.wish = None;
            }
        }
    }

    /// Nobody waits for runs of a flow any more.
    pub fn given_up(&mut self, flow: &FlowName) {
        for open in self.partitions.values_mut().flatten() {
            open.wish.take_if(|(name, _)| name == flow);
        }
    }

    /// Positions that can be saved now.
    pub fn ready(&mut self) -> Vec<Next> {
        let mut ready = Vec::new();
        for open in self.partitions.values_mut() {
            let mut last = None;
            while open.front().is_some_and(|command| command.wish.is_none()) {
                last = open.pop_front().map(|command| command.next);
            }
            ready.extend(last);
        }
        ready
    }

    /// A partition is gone.
    pub fn forget(&mut self, partition: i32) {
        self.partitions.remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::Record;

    fn received(offset: i64, value: &str) -> Received {
        Received {
            topic: "starbridge.commands".to_owned(),
            partition: 3,
            offset,
            timestamp: Some(7),
            record: Record { key: b"misc".to_vec(), value: Some(value.as_bytes().to_vec()), ..Record::default() },
        }
    }

    fn misc() -> FlowName {
        FlowName::new("misc").expect("valid")
    }

    #[test]
    fn commands_read_or_are_kept_as_letters() {
        assert_eq!(read(&received(1, r#"{"flow":"misc","command":"run"}"#)), Ok((misc(), Kind::Scan)));
        assert_eq!(read(&received(1, r#"{"flow":"misc","command":"lookback"}"#)), Ok((misc(), Kind::Lookback)));
        let window = |again| Kind::Window(Window { from: 5, to: 9, again, part: None });
        let text = r#"{"flow":"misc","command":"window","from":5,"to":9}"#;
        assert_eq!(read(&received(1, text)), Ok((misc(), window(false))));
        let text = r#"{"flow":"misc","command":"window","from":5,"to":9,"again":true}"#;
        assert_eq!(read(&received(1, text)), Ok((misc(), window(true))));
        let text = r#"{"flow":"misc","command":"window","from":5,"to":9,"backfill":"000000000000000000000000000000ab","rate":60}"#;
        let part = Some(Part { backfill: BackfillId::new(0xab), rate: NonZeroU32::new(60) });
        assert_eq!(read(&received(1, text)), Ok((misc(), Kind::Window(Window { from: 5, to: 9, again: false, part }))));
        for bad in [
            "",
            "run",
            r#"{"flow":"misc","command":"halt"}"#,
            r#"{"flow":"misc","command":"run","x":1}"#,
            r#"{"flow":"misc","command":"run","from":1,"to":2}"#,
            r#"{"flow":"misc","command":"window","from":5}"#,
            r#"{"flow":"misc","command":"window","from":5,"to":5}"#,
            r#"{"flow":"misc","command":"window","from":5,"to":9,"rate":60}"#,
            r#"{"flow":"misc","command":"window","from":5,"to":9,"backfill":"ab"}"#,
            r#"{"flow":"misc","command":"run","backfill":"000000000000000000000000000000ab"}"#,
        ] {
            let fault = read(&received(9, bad)).expect_err("unreadable");
            assert_eq!(fault.code, Code::CommandUnreadable);
            assert_eq!(fault.place.record.as_deref(), Some("starbridge.commands/3@9"));
            let letter = letter(&received(9, bad), &fault, 11);
            assert_eq!((letter.flow.as_str(), letter.body.as_slice()), ("misc", bad.as_bytes()));
            assert_eq!(DeadLetter::from_record(&letter.clone().into_record()), Ok(letter));
        }
        assert_eq!(unknown(&received(9, ""), &misc()).place.record.as_deref(), Some("starbridge.commands/3@9"));
    }

    #[test]
    fn a_position_is_saved_when_everything_before_it_is_done() {
        let mut commands = Commands::default();
        commands.taken(&received(5, ""), Some((misc(), Kind::Scan)));
        commands.taken(&received(6, ""), None);
        commands.taken(&received(7, ""), Some((misc(), Kind::Lookback)));
        assert_eq!(commands.ready(), []);
        commands.done(&misc(), Kind::Scan);
        assert_eq!(commands.ready(), [Next::at("starbridge.commands", 3, 7)]);
        commands.forget(3);
        commands.done(&misc(), Kind::Lookback);
        assert_eq!(commands.ready(), []);
    }
}
