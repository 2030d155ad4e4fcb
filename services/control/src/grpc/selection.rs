//! Which letters a request is about.

use document::{Code, DeadLetterId, Fault, FlowName};
use starbridge_proto::v1;
use tonic::Status;

use super::gate::Caller;
use super::status::status;
use super::{Shared, blocking, show};
use crate::access::Scope;
use crate::index::{Chosen, Reach};

/// Letters that an audit entry names.
const NAMED: usize = 20;
/// Ids that one request may name.
const IDS: usize = 10_000;

/// The letters of a selection, in the order in which they would be published.
#[derive(Debug, Clone)]
pub struct Selected {
    /// Their ids.
    pub ids: Vec<DeadLetterId>,
    /// The flows they belong to.
    pub flows: Vec<FlowName>,
    /// The selector that chose them; empty when ids did.
    pub selector: String,
    /// What had to be read.
    pub scan: Option<v1::ScanReport>,
}

impl Selected {
    /// Where the letters lie.
    pub fn scopes(&self, shared: &Shared) -> Vec<Scope> {
        self.flows.iter().map(|flow| shared.scope_of(flow)).collect()
    }

    /// Whether these are all letters that the selector wants.
    ///
    /// # Errors
    /// `E_SELECTION_TOO_LARGE` when a scan reached its limit before the end.
    pub fn whole(&self) -> Result<(), Fault> {
        if self.scan.as_ref().is_none_or(|scan| !scan.limited) {
            return Ok(());
        }
        let detail = "the scan reached its limit, so there may be more letters; narrow the selector";
        Err(Fault::new(Code::SelectionTooLarge, detail).at_path("$.selection"))
    }

    /// What the audit entry names: the letters, of many the first ones and how many more.
    pub fn object(&self) -> String {
        match self.ids.as_slice() {
            [] => "dead_letter/none".to_owned(),
            ids => {
                let named: Vec<String> = ids.iter().take(NAMED).map(ToString::to_string).collect();
                let more = ids.len() - named.len();
                let more = if more > 0 { format!(",+{more}") } else { String::new() };
                format!("dead_letter/{}{more}", named.join(","))
            }
        }
    }
}

impl Shared {
    /// Finds the letters of a selection. A selector takes only what the caller may see, ids what they name. How far a
    /// selector is followed, and so how many letters it may take, is for the caller of this to say.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for no or two ways to choose or a selector that does not read, NOT_FOUND for an id that is none,
    /// OUT_OF_RANGE for more letters than one request may touch.
    pub async fn select(
        &self,
        caller: &Caller,
        selection: Option<&v1::Selection>,
        reach: Reach,
    ) -> Result<Selected, Status> {
        let wrong = |detail: &str| status(&Fault::new(Code::RequestInvalid, detail).at_path("$.selection"));
        let selection = selection.ok_or_else(|| wrong("is missing"))?;
        match (selection.ids.is_empty(), selection.selector.trim().is_empty()) {
            (true, true) => Err(wrong("names neither ids nor a selector; every letter is `id ~ \"\"`")),
            (false, false) => Err(wrong("names both ids and a selector")),
            (false, true) => self.by_ids(&selection.ids),
            (true, false) => self.by_selector(caller, &selection.selector, reach).await,
        }
    }

    fn by_ids(&self, ids: &[String]) -> Result<Selected, Status> {
        if ids.len() > IDS {
            return Err(too_many(ids.len(), IDS));
        }
        let mut found = Vec::new();
        for id in ids {
            let letter = self.letter(id)?;
            let order =
                letter.row.target_key.as_ref().map_or_else(|| letter.row.document.to_string(), ToString::to_string);
            found.push((letter.row.flow.clone(), order, letter.row.version, letter.row.id.clone()));
        }
        found.sort();
        found.dedup();
        let mut flows: Vec<FlowName> = found.iter().map(|(flow, ..)| flow.clone()).collect();
        flows.dedup();
        let ids = found.into_iter().map(|(.., id)| id).collect();
        Ok(Selected { ids, flows, selector: String::new(), scan: None })
    }

    async fn by_selector(&self, caller: &Caller, text: &str, reach: Reach) -> Result<Selected, Status> {
        let selector = self.selector(caller, text).await?;
        let now = self.clock.millis();
        let most = match reach {
            Reach::OneScan => self.bounds.letters,
            Reach::End => self.bounds.exported,
        };
        let chosen = blocking(|| self.index.choose(&selector, reach, most, now)).map_err(|fault| status(&fault))?;
        if chosen.ids.len() > most {
            return Err(too_many(chosen.ids.len(), most));
        }
        let Chosen { ids, flows, scan } = chosen;
        Ok(Selected { ids, flows, selector: text.trim().to_owned(), scan: show::scan(scan) })
    }

    /// The letter whose id this is, or that alone begins so.
    ///
    /// # Errors
    /// NOT_FOUND.
    pub fn letter(&self, id: &str) -> Result<crate::index::Letter, Status> {
        let unknown =
            || status(&Fault::new(Code::LetterUnknown, "there is no dead letter of this id").of_record(id.to_owned()));
        let hex = id.len() <= 32 && id.chars().all(|c| c.is_ascii_hexdigit());
        if !hex || id.len() < 8 {
            return Err(unknown());
        }
        let id = id.to_ascii_lowercase();
        blocking(|| {
            let whole = if id.len() == 32 {
                DeadLetterId(id.clone())
            } else {
                let selector = crate::selector::Selector::parse(&format!("id ~ \"^{id}\"")).map_err(|f| status(&f))?;
                let page = self.index.ids(&selector, None, 2, self.clock.millis()).map_err(|f| status(&f))?;
                let [one] = page.items.as_slice() else { return Err(unknown()) };
                one.clone()
            };
            self.index.get(&whole).map_err(|fault| status(&fault))?.ok_or_else(unknown)
        })
    }
}

fn too_many(found: usize, limit: usize) -> Status {
    let detail = format!("{found} letters or more, where one request may touch {limit}");
    status(&Fault::new(Code::SelectionTooLarge, detail).at_path("$.selection"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_entry_names_the_letters_it_is_about() {
        let object = |number: usize| {
            let ids = (0..number).map(|n| DeadLetterId(format!("{n:02}"))).collect();
            Selected { ids, flows: Vec::new(), selector: String::new(), scan: None }.object()
        };
        assert_eq!(object(0), "dead_letter/none");
        assert_eq!(object(1), "dead_letter/00");
        assert_eq!(object(2), "dead_letter/00,01");
        assert!(object(NAMED).ends_with(",19") && object(NAMED + 3).ends_with(",19,+3"));
    }
}
