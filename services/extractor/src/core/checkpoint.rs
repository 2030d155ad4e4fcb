//! The saved progress of one flow, as it stands in `starbridge.extract-state`.

use std::num::NonZeroU32;

use document::{BackfillId, BackfillMarks, Code, Fault, FlowName, Version};
use serde::{Deserialize, Serialize};

use super::key::Key;

/// The form this version writes; an entry of another form is not guessed at. A member that only a newer version knows is
/// passed over: what an older version must not forget takes another form.
pub const FORMAT: u32 = 1;

/// How many versions a checkpoint grants the transaction behind it: more than one could hold, and a second of the clock.
const GRANT: u64 = 1_000_000;

/// Everything the next owner of a flow needs to go on. Written last in the transaction of the records it stands for.
///
/// Shape: JSON object; times are unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// [`FORMAT`].
    pub format: u32,
    /// W: every bill whose watermark date was below this when a scan began has been read.
    pub watermark: i64,
    /// The last version given out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_version: Option<Version>,
    /// Versions up to this one may stand in records that this checkpoint knows nothing of: those of a transaction that
    /// became readable without its own. Whoever goes on from here stays above it, whatever the clocks say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Version>,
    /// Digest of what decides which bills a scan sees; another one makes a scan begin anew.
    pub config: String,
    /// The scan under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<ScanMark>,
    /// The schedule's firing that was served last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired: Option<i64>,
    /// The lookback's firing that was served last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_back: Option<i64>,
    /// When a scan was last complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<i64>,
    /// The reading of a window under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowMark>,
    /// How far windows were read that belong to backfills.
    #[serde(default, skip_serializing_if = "BackfillMarks::is_empty")]
    pub backfills: BackfillMarks,
}

/// A span of the watermark date that is read by command, whatever W is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Its first instant, unix seconds.
    pub from: i64,
    /// The instant behind its last one, unix seconds.
    pub to: i64,
    /// Whether bills that are as they were emitted are emitted again, as new versions.
    #[serde(default)]
    pub again: bool,
    /// The backfill it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// Which backfill a window is a part of, and how it wants to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Part {
    /// The backfill.
    pub backfill: BackfillId,
    /// Documents a minute, on average from one page to the next; as fast as the stages behind allow where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<NonZeroU32>,
}

/// How far the reading of a window got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowMark {
    /// The window.
    pub window: Window,
    /// The configuration it was begun under.
    pub config: String,
    /// How far it got.
    pub scan: ScanMark,
}

/// How far a scan got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanMark {
    /// Server time before its first page; W goes there (less the settling time) when it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t0: Option<i64>,
    /// `CURRENT_TIME` of the run.
    pub run_time: i64,
    /// `LAST_SYNC_TIME` of the run, which is also the lower bound of the watermark date: W − overlap.
    pub since: i64,
    /// The last bill that is done with; the scan goes on behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Key>,
}

impl Checkpoint {
    /// The state of a flow that never ran, whose first scan reads from `start`.
    pub fn new(start: i64, config: &str) -> Self {
        Self {
            format: FORMAT,
            watermark: start,
            last_version: None,
            granted: None,
            config: config.to_owned(),
            scan: None,
            fired: None,
            looked_back: None,
            completed: None,
            window: None,
            backfills: BackfillMarks::default(),
        }
    }

    /// As another run goes on from it: above every version that may have been given out.
    #[must_use]
    pub fn resumed(self) -> Self {
        Self { last_version: self.last_version.max(self.granted), ..self }
    }

    /// The clock by which a batch may give out versions, unix microseconds: no later than what is granted leaves room
    /// for. `None` when too little is granted: another checkpoint must be readable first.
    pub fn clock(&self, micros: u64) -> Option<u64> {
        let latest = self.granted?.0.checked_sub(GRANT / 2)?;
        let last = self.last_version.map_or(0, |version| version.0);
        (last <= latest).then_some(micros.min(latest))
    }

    /// Grants the transaction behind this one its versions.
    pub fn grant(&mut self, micros: u64) {
        let last = self.last_version.map_or(0, |version| version.0);
        self.granted = Some(Version(last.max(micros).saturating_add(GRANT)));
    }

    /// The entry's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }

    /// Reads an entry's value.
    ///
    /// # Errors
    /// A fault with [`Code::CheckpointUnreadable`]: the flow must stop, for a guess would lose bills or load them
    /// all again.
    pub fn from_bytes(flow: &FlowName, bytes: &[u8]) -> Result<Self, Fault> {
        let unreadable = |detail: String| {
            Fault::new(Code::CheckpointUnreadable, detail)
                .of_record(format!("{}/{flow}", document::topic::EXTRACT_STATE))
        };
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(FORMAT)) {
            return Err(unreadable(format!("format {format:?} where {FORMAT} is known")).at_path("$.format"));
        }
        serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))
    }

    /// The mark to go on from, or a new one: a scan goes on only under the configuration it began with. W stays, so
    /// a scan begun anew misses nothing.
    pub fn mark(&self, config: &str, overlap: i64, now: i64) -> ScanMark {
        match &self.scan {
            Some(mark) if self.config == config => mark.clone(),
            _ => ScanMark { t0: None, run_time: now, since: self.watermark.saturating_sub(overlap), cursor: None },
        }
    }

    /// Whether a backfill has read this window already, and is beyond it.
    pub fn has_read(&self, window: &Window) -> bool {
        let mark = window.part.and_then(|part| self.backfills.get(part.backfill));
        mark.and_then(|mark| mark.read_to).is_some_and(|read_to| read_to >= window.to)
    }

    /// The mark to go on from in `window`, or a new one: it goes on only in the same window under the same configuration.
    pub fn window_mark(&self, config: &str, window: Window, now: i64) -> ScanMark {
        match &self.window {
            Some(mark) if mark.window == window && mark.config == config => mark.scan.clone(),
            _ => ScanMark { t0: None, run_time: now, since: window.from, cursor: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::BackfillMark;
    use proptest::prelude::*;

    fn flow() -> FlowName {
        FlowName::new("misc-inbound").expect("valid")
    }

    fn keys() -> impl Strategy<Value = Key> {
        prop_oneof![any::<i64>().prop_map(Key::Integer), "[a-z0-9'入库]{1,12}".prop_map(Key::Text)]
    }

    fn marks() -> impl Strategy<Value = ScanMark> {
        (any::<Option<i64>>(), any::<i64>(), any::<i64>(), proptest::option::of(keys()))
            .prop_map(|(t0, run_time, since, cursor)| ScanMark { t0, run_time, since, cursor })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn checkpoints_survive_the_topic(
            watermark in any::<i64>(),
            last_version in any::<Option<u64>>(),
            granted in any::<Option<u64>>(),
            config in "[0-9a-f]{0,32}",
            scan in proptest::option::of(marks()),
            times in any::<(Option<i64>, Option<i64>, Option<i64>)>(),
            window in proptest::option::of((any::<(i64, i64, bool)>(), "[0-9a-f]{0,32}", marks())),
            backfill in proptest::option::of(any::<(u128, Option<NonZeroU32>, Option<i64>, u64)>()),
        ) {
            let part = backfill.map(|(id, rate, ..)| Part { backfill: BackfillId::new(id), rate });
            let mut backfills = BackfillMarks::default();
            if let Some((id, _, read_to, emitted)) = backfill {
                let mark = BackfillMark { read_to, emitted, ..BackfillMark::default() };
                backfills.note(BackfillId::new(id), |noted| *noted = mark);
            }
            let checkpoint = Checkpoint {
                format: FORMAT,
                watermark,
                last_version: last_version.map(Version),
                granted: granted.map(Version),
                config,
                scan,
                fired: times.0,
                looked_back: times.1,
                completed: times.2,
                window: window.map(|((from, to, again), config, scan)| {
                    WindowMark { window: Window { from, to, again, part }, config, scan }
                }),
                backfills,
            };
            prop_assert_eq!(Checkpoint::from_bytes(&flow(), &checkpoint.to_bytes()), Ok(checkpoint));
        }
    }

    #[test]
    fn what_does_not_read_stops_the_flow() {
        for (bytes, path) in [
            (&b"{"[..], None),
            (b"[]", Some("$.format")),
            (br#"{"format":2,"watermark":1,"config":""}"#, Some("$.format")),
            (br#"{"format":1,"watermark":1}"#, None),
        ] {
            let fault = Checkpoint::from_bytes(&flow(), bytes).expect_err("unreadable");
            assert_eq!(fault.code, Code::CheckpointUnreadable);
            assert_eq!(fault.place.record.as_deref(), Some("starbridge.extract-state/misc-inbound"));
            assert_eq!(fault.place.path.as_deref(), path);
        }
    }

    #[test]
    fn a_scan_goes_on_only_under_its_own_configuration() {
        let mut checkpoint = Checkpoint::new(10_000, "a");
        let mark = ScanMark { t0: Some(9), run_time: 8, since: 7, cursor: Some(Key::Integer(6)) };
        checkpoint.scan = Some(mark.clone());
        assert_eq!(checkpoint.mark("a", 600, 20_000), mark);
        let anew = ScanMark { t0: None, run_time: 20_000, since: 9_400, cursor: None };
        assert_eq!(checkpoint.mark("b", 600, 20_000), anew);
    }

    #[test]
    fn a_window_goes_on_only_where_it_was_begun() {
        let mut checkpoint = Checkpoint::new(10_000, "a");
        let window = Window { from: 100, to: 200, again: false, part: None };
        let scan = ScanMark { t0: Some(9), run_time: 8, since: 100, cursor: Some(Key::Integer(6)) };
        checkpoint.window = Some(WindowMark { window, config: "a".to_owned(), scan: scan.clone() });
        assert_eq!(checkpoint.window_mark("a", window, 20_000), scan);
        let anew = ScanMark { t0: None, run_time: 20_000, since: 100, cursor: None };
        assert_eq!(checkpoint.window_mark("b", window, 20_000), anew);
        assert_eq!(checkpoint.window_mark("a", Window { again: true, ..window }, 20_000), anew);
    }
}
