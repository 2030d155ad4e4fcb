//! What of a flow is on its way: read from its source, and not at a known end in its target.

use document::{Code, Fault, FlowName, topic};

use super::Shared;
use crate::index::Unfinished;

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

    /// In words.
    pub fn words(&self) -> String {
        let Unfinished { intents, begun, in_doubt } = self.unfinished;
        format!(
            "{} records not read by the stages yet, {intents} saves open, {begun} documents begun, {in_doubt} in doubt",
            self.records
        )
    }
}

impl Shared {
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
            let lags = self.admin.lag(group, &[topic]).await.map_err(|error| error.fault())?;
            records += lags.iter().map(|lag| u64::try_from(lag.records()).unwrap_or(0)).sum::<u64>();
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
}
