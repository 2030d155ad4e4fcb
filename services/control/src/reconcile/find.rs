//! What is asked of the systems in which order, and what follows from the answers. Between any two questions documents may
//! arrive, change and go: what is found holds all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use document::{DocumentKey, Fault, TargetKey, Version};

use super::judge::{Loaded, Standing, fallen_back, is_sampled, presence};
use super::read::Bill;
use super::report::{Counts, Finding, Kind, Spec};
use crate::systems::look::Head;

/// Keys that are asked for one by one, at 200 a call; the whole window is asked for, at 2,000 a call, where there are more.
const FEW: usize = 2_000;

/// Both systems of a flow, and what is on record of its documents. Each method is a question about now.
pub trait Sides {
    /// The time, unix seconds.
    fn now(&self) -> i64;

    /// The heads of the source's bills in the window.
    fn bills(&mut self) -> impl Future<Output = Result<BTreeMap<DocumentKey, Bill>, Fault>> + Send;

    /// What is on record of a document.
    ///
    /// # Errors
    /// The fault of the index.
    fn standing(&self, document: &DocumentKey) -> Result<Standing, Fault>;

    /// Who has a target key, by the ledger.
    ///
    /// # Errors
    /// The fault of the index.
    fn owners(&self, key: &TargetKey) -> Result<Owners, Fault>;

    /// The heads of the target's documents of these keys, by key.
    fn heads(&mut self, keys: &[String]) -> impl Future<Output = Result<BTreeMap<String, Vec<Head>>, Fault>> + Send;

    /// Compares field by field, first reading the source: for each, where the target's document is another one than the
    /// flow makes of the source's bill.
    fn compare(&mut self, documents: &[Pair]) -> impl Future<Output = Result<Vec<Option<Difference>>, Fault>> + Send;

    /// The heads of the target's documents that were created in the window, by key.
    fn created(&mut self) -> impl Future<Output = Result<BTreeMap<String, Vec<Head>>, Fault>> + Send;

    /// Which of these documents the source has; an error where it cannot be told of all.
    fn existing(&mut self, documents: &[String]) -> impl Future<Output = Result<BTreeSet<String>, Fault>> + Send;

    /// Lets the time of grace pass.
    fn wait(&mut self) -> impl Future<Output = ()> + Send;
}

/// Who has a key of the target's form, by the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    /// The documents of this flow.
    pub documents: Vec<DocumentKey>,
    /// Whether another flow loads into the same form, and the key is one of its documents'.
    pub another_flow: bool,
}

/// A document of the target that is compared with a bill of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The document.
    pub document: DocumentKey,
    /// The inner id of the source's bill.
    pub bill: String,
    /// What is on record of it.
    pub loaded: Loaded,
    /// Its id in the target.
    pub target_id: String,
}

/// That a document is another one than it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The watermark date of the bill that was compared, unix seconds.
    pub stamp: Option<i64>,
    /// Where it differs, in words; no values.
    pub detail: String,
}

/// What a report comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The documents.
    pub counts: Counts,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// The dates of bills that never arrived anywhere.
    pub lost: Vec<i64>,
}

/// What looks wrong with a document.
type Suspects = BTreeMap<DocumentKey, Vec<Finding>>;

/// Asks both sides. `verdicts`: what persons decided about documents in doubt.
///
/// # Errors
/// The fault of a question; then nothing is known.
pub async fn find<S: Sides + Send>(
    sides: &mut S,
    spec: &Spec,
    verdicts: &BTreeMap<DocumentKey, String>,
) -> Result<Found, Fault> {
    let bills = sides.bills().await?;
    let documents: Vec<DocumentKey> = bills.keys().cloned().collect();
    let mut look = Look { sides, spec, bills: &bills, fallen: BTreeMap::new(), second: false };
    let mut counts = Counts { source: documents.len() as u64, ..Counts::default() };
    let mut suspects = look.at(&documents, &mut counts).await?;
    // What came after the heads of the source were read is there when it is asked for by name.
    let extra = look.extra().await?;
    let extra = look.without_source(extra).await?;
    if suspects.is_empty() && extra.is_empty() {
        return Ok(Found { counts, ..Found::default() });
    }
    // What looks wrong may be on its way: after a while it is looked at again, and all of it is compared.
    look.sides.wait().await;
    look.second = true;
    let again: Vec<DocumentKey> = suspects.keys().cloned().collect();
    let before = again.len() as u64;
    let mut second = Counts::default();
    suspects = look.at(&again, &mut second).await?;
    counts.applied += second.applied;
    counts.parked += second.parked;
    counts.in_doubt += second.in_doubt;
    counts.discarded += second.discarded;
    counts.on_the_way += second.on_the_way;
    counts.compared = (counts.compared + second.compared).min(counts.source.max(before));
    let mut findings: Vec<Finding> = suspects.into_values().flatten().collect();
    let keys = extra.into_iter().filter_map(|finding| Some(finding.target_key?.to_string())).collect();
    let still = look.still(keys).await?;
    findings.extend(look.without_source(still).await?);
    let lost = findings.iter().filter(|finding| finding.kind == Kind::Missing && finding.target_key.is_none());
    let lost = lost.filter_map(|finding| bills.get(&finding.document)?.stamp).collect();
    findings.iter_mut().for_each(|finding| judge_verdict(finding, verdicts));
    Ok(Found { counts, findings, lost })
}

/// A finding about a document of which a person had the last word is a finding about that word.
fn judge_verdict(finding: &mut Finding, verdicts: &BTreeMap<DocumentKey, String>) {
    if finding.kind != Kind::ChangedAfterLoad
        && let Some(verdict) = verdicts.get(&finding.document)
    {
        finding.detail = format!("{verdict}; {}: {}", finding.kind.as_str(), finding.detail);
        finding.kind = Kind::WrongVerdict;
    }
}

struct Look<'a, S> {
    sides: &'a mut S,
    spec: &'a Spec,
    bills: &'a BTreeMap<DocumentKey, Bill>,
    /// Documents that were not as far as they were taken when they were looked at first, and which version that was.
    fallen: BTreeMap<(DocumentKey, TargetKey), Version>,
    second: bool,
}

impl<S: Sides + Send> Look<'_, S> {
    /// Looks at documents: what is on record first, and then the target. Gives what looks wrong.
    async fn at(&mut self, documents: &[DocumentKey], counts: &mut Counts) -> Result<Suspects, Fault> {
        let mut suspects = Suspects::new();
        let mut loaded: Vec<(DocumentKey, Loaded)> = Vec::new();
        for document in documents {
            match self.sides.standing(document)? {
                Standing::Applied(found) => loaded.extend(found.into_iter().map(|one| (document.clone(), one))),
                Standing::Parked => counts.parked += 1,
                Standing::InDoubt => counts.in_doubt += 1,
                Standing::Discarded => counts.discarded += 1,
                Standing::OnTheWay => counts.on_the_way += 1,
                Standing::Unknown if self.is_young(self.bills.get(document).and_then(|bill| bill.stamp)) => {
                    counts.on_the_way += 1;
                }
                Standing::Unknown => suspects.entry(document.clone()).or_default().push(Finding {
                    kind: Kind::Missing,
                    document: document.clone(),
                    target_key: None,
                    target_ids: Vec::new(),
                    detail: "neither the ledger nor a dead letter knows it".to_owned(),
                }),
            }
        }
        let keys: Vec<String> = loaded.iter().map(|(_, one)| one.target_key.to_string()).collect();
        let heads = self.sides.heads(&keys).await?;
        let mut pairs = Vec::new();
        for (document, one) in loaded {
            let found = heads.get(one.target_key.as_str()).map(Vec::as_slice).unwrap_or_default();
            let mut wrong = presence(&one, found);
            let is_another = wrong.is_some();
            if !is_another && let Some(detail) = fallen_back(&one, found) {
                if !self.is_left_so(&document, &one) {
                    counts.on_the_way += 1;
                    continue;
                }
                wrong = Some((Kind::Different, found.iter().map(|head| head.id.clone()).collect(), detail));
            }
            match &wrong {
                None => counts.applied += 1,
                Some((kind, target_ids, detail)) => suspects.entry(document.clone()).or_default().push(Finding {
                    kind: *kind,
                    document: document.clone(),
                    target_key: Some(one.target_key.clone()),
                    target_ids: target_ids.clone(),
                    detail: detail.clone(),
                }),
            }
            if let ([only], Some(bill)) = (found, self.bills.get(&document))
                && !one.edited
                && (is_another || is_sampled(&self.spec.id, document.as_str(), self.share(&document, &one)))
            {
                let (bill, target_id) = (bill.id.clone(), only.id.clone());
                pairs.push(Pair { document, bill, loaded: one, target_id });
            }
        }
        counts.compared += pairs.len() as u64;
        for (pair, difference) in self.differing(pairs).await? {
            let known = suspects.entry(pair.document.clone()).or_default();
            if known.is_empty() {
                counts.applied = counts.applied.saturating_sub(1);
                known.push(self.difference(pair, difference));
            }
        }
        Ok(suspects)
    }

    /// Whether a document that is not as far as it was taken was left so, as far as is known. A newer version is not as far,
    /// either, while it is on its way; but then the ledger has another version after the time of grace.
    fn is_left_so(&mut self, document: &DocumentKey, loaded: &Loaded) -> bool {
        let key = (document.clone(), loaded.target_key.clone());
        if self.second {
            return self.fallen.get(&key) == Some(&loaded.version);
        }
        self.fallen.insert(key, loaded.version);
        true
    }

    /// The share of documents like this one that is compared: at the second look all that looked wrong, but for those whose
    /// status says all there is to say. They may be many, and each takes a call.
    fn share(&self, document: &DocumentKey, loaded: &Loaded) -> f64 {
        let is_told = || self.fallen.contains_key(&(document.clone(), loaded.target_key.clone()));
        if self.second && !is_told() { 1.0 } else { self.spec.sample }
    }

    /// Those that differ while their bill stays as it is: a bill that changes between the reading of either side differs,
    /// too, but then its date is another one when it is read again.
    async fn differing(&mut self, pairs: Vec<Pair>) -> Result<Vec<(Pair, Difference)>, Fault> {
        let once = self.sides.compare(&pairs).await?;
        let once: Vec<(Pair, Difference)> =
            pairs.into_iter().zip(once).filter_map(|(pair, difference)| Some((pair, difference?))).collect();
        if once.is_empty() {
            return Ok(once);
        }
        let pairs: Vec<Pair> = once.iter().map(|(pair, _)| pair.clone()).collect();
        let twice = self.sides.compare(&pairs).await?;
        let both = once.into_iter().zip(twice);
        let stays = both.filter(|((_, once), twice)| twice.as_ref().is_some_and(|twice| twice.stamp == once.stamp));
        // A change that is younger than the time of grace is on its way.
        Ok(stays.filter_map(|(first, _)| (!self.is_on_its_way(&first)).then_some(first)).collect())
    }

    fn is_on_its_way(&self, (pair, difference): &(Pair, Difference)) -> bool {
        is_newer(difference, pair) && self.is_young(difference.stamp)
    }

    fn is_young(&self, stamp: Option<i64>) -> bool {
        stamp.is_some_and(|stamp| stamp > self.sides.now() - self.spec.grace)
    }

    fn difference(&self, pair: Pair, difference: Difference) -> Finding {
        let kind = if is_newer(&difference, &pair) { Kind::ChangedAfterLoad } else { Kind::Different };
        Finding {
            kind,
            document: pair.document,
            target_key: Some(pair.loaded.target_key),
            target_ids: vec![pair.target_id],
            detail: difference.detail,
        }
    }

    /// The target's documents, created in the window, that the source does not seem to have, by key.
    async fn extra(&mut self) -> Result<BTreeMap<String, Vec<Head>>, Fault> {
        let mut extra = self.sides.created().await?;
        let mut known = BTreeSet::new();
        for key in extra.keys() {
            let owners = self.sides.owners(&TargetKey(key.clone()))?;
            if owners.another_flow || owners.documents.iter().any(|document| self.bills.contains_key(document)) {
                known.insert(key.clone());
            }
        }
        extra.retain(|key, _| !known.contains(key));
        Ok(extra)
    }

    /// What the target has now of these keys: a few are asked for by name, and of many the whole window takes fewer calls.
    async fn still(&mut self, keys: BTreeSet<String>) -> Result<BTreeMap<String, Vec<Head>>, Fault> {
        if keys.len() <= FEW {
            return self.sides.heads(&keys.into_iter().collect::<Vec<_>>()).await;
        }
        let mut found = self.sides.created().await?;
        found.retain(|key, _| keys.contains(key));
        Ok(found)
    }

    /// Those of the target's documents `heads` whose document the source does not have.
    async fn without_source(&mut self, heads: BTreeMap<String, Vec<Head>>) -> Result<Vec<Finding>, Fault> {
        let mut owners = BTreeMap::new();
        for key in heads.keys() {
            owners.insert(key.clone(), self.sides.owners(&TargetKey(key.clone()))?);
        }
        let documents = owners.values().flat_map(|owners| &owners.documents);
        let documents: Vec<String> = documents.map(ToString::to_string).collect();
        let there = self.sides.existing(&documents).await?;
        let mut findings = Vec::new();
        for (key, heads) in heads {
            let owners = owners.remove(&key).unwrap_or_default();
            // Another flow may have loaded it meanwhile.
            if owners.another_flow || owners.documents.iter().any(|document| there.contains(document.as_str())) {
                continue;
            }
            let document = owners.documents.into_iter().next();
            let detail = match &document {
                Some(_) => "it was loaded, and the source has it no more",
                None => "it was not loaded by any flow, and no bill of the source has its key",
            };
            findings.push(Finding {
                kind: Kind::Extra,
                document: document.unwrap_or_else(|| DocumentKey(String::new())),
                target_key: Some(TargetKey(key)),
                target_ids: heads.into_iter().map(|head| head.id).collect(),
                detail: detail.to_owned(),
            });
        }
        Ok(findings)
    }
}

/// Whether the bill changed after the version that was loaded of it.
fn is_newer(difference: &Difference, pair: &Pair) -> bool {
    let version_at = i64::try_from(pair.loaded.version.0 / 1_000_000).unwrap_or(i64::MAX);
    difference.stamp.is_some_and(|stamp| stamp > version_at)
}

#[cfg(test)]
mod tests;
