//! All letters that a selector wants, for work on many of them at once.

use std::collections::BTreeSet;

use document::{DeadLetterId, Fault, FlowName};

use super::{Index, List, Order, Scan};
use crate::selector::Selector;

/// Letters taken from the tables at once.
const PAGE: usize = 5_000;

/// How far a selector is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// As far as one scan goes: a limit that it reached is told, so that the selector can be narrowed.
    OneScan,
    /// To the last letter, scan after scan.
    End,
}

/// What a selector wants, in [`Order::Replay`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The letters.
    pub ids: Vec<DeadLetterId>,
    /// The flows that they belong to, in order.
    pub flows: Vec<FlowName>,
    /// What was looked at in all scans together, for a selector that needs them.
    pub scan: Option<Scan>,
}

impl Index {
    /// The letters that a selector wants, without their bodies; ends a page behind `most`, so that more can be told from
    /// as many.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn choose(&self, selector: &Selector, reach: Reach, most: usize, now: i64) -> Result<Chosen, Fault> {
        let (mut chosen, mut flows) = (Chosen::default(), BTreeSet::new());
        let mut token: Option<String> = None;
        loop {
            let page_token = token.as_deref();
            let list = List { selector, order: Order::Replay, descending: false, page_token, limit: PAGE, now };
            let page = self.list(&list)?;
            for letter in page.items {
                chosen.ids.push(letter.id);
                if !flows.contains(&letter.flow) {
                    flows.insert(letter.flow);
                }
            }
            if let Some(scan) = page.scan {
                let before = chosen.scan.unwrap_or_default();
                chosen.scan = Some(Scan {
                    rows: before.rows + scan.rows,
                    bytes: before.bytes + scan.bytes,
                    too_large: before.too_large + scan.too_large,
                    limit_reached: scan.limit_reached && page.next.is_some(),
                });
            }
            token = page.next;
            let stopped = reach == Reach::OneScan && chosen.scan.is_some_and(|scan| scan.limit_reached);
            if token.is_none() || stopped || chosen.ids.len() > most {
                break;
            }
        }
        chosen.flows = flows.into_iter().collect();
        Ok(chosen)
    }
}
