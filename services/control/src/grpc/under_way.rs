//! What of a flow is on its way: read from its source, and not at a known end in its target.

use document::{Code, Fault, FlowName, topic};

use super::Shared;
use crate::index::Unfinished;
use crate::selector::Selector;

/// What of a flow is on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Records that the stages have not read yet.
    pub records: u64,
    /// What the loader has begun.
    pub unfinished: Unfinished,
}

impl UnderWay {
    /// Whether nothing is.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// How many records and documents that is.
    pub fn total(&self) -> u64 {
        let Unfinished { intents, begun, in_doubt } = self.unfinished;
        // A document of an open save has no end yet either; where it has one of an earlier version, the save counts.
        self.records + intents.max(begun) + in_doubt
    }

    /// In words.
    pub fn words(&self) -> String {
        let Unfinished { intents, begun, in_doubt } = self.unfinished;
        format!(
            "{} records not read by the stages yet, {intents} saves open, {begun} documents begun, {in_doubt} in doubt",
            self.records
        )
    }
}

/// What is left of a flow that is to be deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rest {
    /// What is on its way.
    pub under_way: UnderWay,
    /// Dead letters that are open, parked or being replayed.
    pub open_letters: u64,
}

/// Refuses to delete a flow that something is left of.
///
/// # Errors
/// `E_FLOW_BUSY`.
pub fn may_go(flow: &FlowName, rest: &Rest) -> Result<(), Fault> {
    if *rest == Rest::default() {
        return Ok(());
    }
    let detail = format!("{}, {} dead letters without an end", rest.under_way.words(), rest.open_letters);
    Err(Fault::new(Code::FlowBusy, detail).of_record(flow.to_string()))
}

impl Shared {
    /// What is left of a flow.
    ///
    /// # Errors
    /// As [`Shared::under_way`].
    pub async fn rest_of(&self, flow: &FlowName) -> Result<Rest, Fault> {
        let under_way = self.under_way(flow).await?;
        let selector = Selector::parse(&format!("flow = \"{flow}\" and state in (open, parked, replaying)"))?;
        let open = super::blocking(|| self.index.count(&selector, self.clock.millis()))?;
        Ok(Rest { under_way, open_letters: open.letters })
    }

    /// What of a flow is on its way, as of now.
    ///
    /// # Errors
    /// `E_INDEX` while the index has not read everything, and what keeps Kafka from answering.
    pub async fn under_way(&self, flow: &FlowName) -> Result<UnderWay, Fault> {
        if !self.progress.is_caught_up() {
            return Err(Fault::new(Code::Index, "the index is still being read").at_path("$.index"));
        }
        let mut records = 0;
        for (group, topic) in [
            (&self.carriers.transformer_group, topic::extracted(flow)),
            (&self.carriers.loader_group, topic::mapped(flow)),
        ] {
            if self.admin.partitions(&topic).await.map_err(|error| error.fault())?.is_none() {
                continue;
            }
            let lags = self.admin.lag(group, std::slice::from_ref(&topic)).await.map_err(|error| error.fault())?;
            let behind = lags.iter().map(|lag| u64::try_from(lag.records()).unwrap_or(0)).sum::<u64>();
            // The ends of transactions count in a lag and are no records: where nothing else is left, nothing is.
            let unread =
                behind > 0 && self.admin.oldest_unread(group, &topic).await.map_err(|error| error.fault())?.is_some();
            records += if unread { behind } else { 0 };
        }
        let unfinished = super::blocking(|| self.index.unfinished(flow))?;
        Ok(UnderWay { records, unfinished })
    }
}

/// Refuses what would move the keys of documents while some are on their way. `moved`: what moves them.
///
/// # Errors
/// `E_KEY_MOVES`.
pub fn keys_may_move(flow: &FlowName, moved: &[String], under_way: &UnderWay) -> Result<(), Fault> {
    if moved.is_empty() || under_way.is_nothing() {
        return Ok(());
    }
    let detail = format!("the version moves keys by {}; {}", moved.join(", "), under_way.words());
    Err(Fault::new(Code::KeyMoves, detail).of_record(flow.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_while_anything_is_on_its_way() {
        let flow = FlowName::new("misc").expect("valid");
        let moved = ["target.key".to_owned()];
        let open = Unfinished { intents: 1, ..Unfinished::default() };
        for under_way in
            [UnderWay { unfinished: open, ..UnderWay::default() }, UnderWay { records: 2, ..UnderWay::default() }]
        {
            let fault = keys_may_move(&flow, &moved, &under_way).expect_err("refused");
            assert_eq!((fault.code, fault.place.record.as_deref()), (Code::KeyMoves, Some("misc")));
            assert!(fault.detail.contains("target.key"), "{}", fault.detail);
            assert_eq!(keys_may_move(&flow, &[], &under_way), Ok(()));
        }
        assert_eq!(keys_may_move(&flow, &moved, &UnderWay::default()), Ok(()));
    }

    #[test]
    fn a_flow_goes_when_nothing_is_left_of_it() {
        let flow = FlowName::new("misc").expect("valid");
        assert_eq!(may_go(&flow, &Rest::default()), Ok(()));
        let under_way = UnderWay { records: 3, ..UnderWay::default() };
        for rest in [Rest { open_letters: 2, ..Rest::default() }, Rest { under_way, open_letters: 0 }] {
            let fault = may_go(&flow, &rest).expect_err("refused");
            assert_eq!((fault.code, fault.place.record.as_deref()), (Code::FlowBusy, Some("misc")));
        }
    }
}
