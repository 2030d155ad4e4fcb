//! The reading side: what a source document asks for and how its answer becomes stored records.

mod condition;
mod flatten;
mod format;
mod kingdee;
mod read;
mod shape;

use document::Fault;
use serde_json::{Map, Value};

use crate::collections::Shelf;
use crate::file::FunctionError;
use crate::function::{Page, Run};
use crate::metadata::entry::{self, Entry};
use crate::metadata::render::{self, Pass, constant_text};
use crate::metadata::scope::BillScope;
use crate::reference::{Path, Template, Variable};

pub(crate) use read::{Sought, schemes_of};
pub use shape::{Shaped, SourceRecord};

/// Rows per page where the document says nothing.
pub const DEFAULT_PAGE_SIZE: u32 = 100;

/// Days of the look for missed documents where the document names none.
const DEFAULT_REMEDY_DAYS: u32 = 3;

/// A source document, compiled.
#[derive(Debug)]
pub struct SourceDocument {
    file: String,
    api: String,
    id: Identity,
    number: Identity,
    id_check: bool,
    page_size: u32,
    request: Vec<Entry>,
    other: Vec<Entry>,
    /// `None` for interfaces other than Kingdee's bill query.
    columns: Option<Vec<Column>>,
    declared: Vec<String>,
    form: Option<String>,
    on_error: FunctionError,
    condition: condition::Condition,
    formattings: Vec<format::Formatting>,
    beat_flat: Vec<String>,
    split_array: Option<String>,
    remedy: Option<Remedy>,
    collections: Shelf,
}

/// How a record's id or number is read.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) written: String,
    pub(crate) form: IdentityForm,
}

#[derive(Debug, Clone)]
pub(crate) enum IdentityForm {
    Path(Path),
    Template(Template),
}

/// `omissionRemedy`: its cron and the lists with the taken-over fields replaced.
#[derive(Debug)]
struct Remedy {
    cron: String,
    request: Vec<Entry>,
    other: Vec<Entry>,
}

/// The parameters of one Kingdee bill query, rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceQuery {
    /// Business form.
    pub form_id: String,
    /// Columns in the order of FieldKeys; a row of the answer has as many values.
    pub columns: Vec<Column>,
    /// The document's own filter with its references filled in; empty when it has none.
    pub filter: String,
    /// The document's own order; empty when it has none.
    pub order: String,
    /// Rows per page.
    pub limit: u32,
    /// First row of the page, for forms that have no key to page by.
    pub start_row: u64,
    /// Most rows of the whole answer; 0 is no bound.
    pub top_row_count: u64,
    /// Sub-system, where the document names one.
    pub sub_system_id: Option<String>,
}

/// One column of a bill query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Member name the value gets in the row.
    pub field: String,
    /// Kingdee key, such as `FStockOrgId.FNumber`.
    pub key: String,
}

impl SourceDocument {
    /// The document, its lookups seeing `collections`.
    #[must_use]
    pub(crate) fn looking_into(self, collections: Shelf) -> Self {
        Self { collections, ..self }
    }

    /// The bill query of one run.
    ///
    /// # Errors
    /// A fault of a value that cannot be computed, or of a parameter that is not what the call needs;
    /// `E_FORM_MISSING` when nothing names the form, `E_CALL_OPTION` for an interface that is no bill query.
    pub fn query(&self, run: &Run) -> Result<SourceQuery, Fault> {
        self.query_of(&self.request, &self.other, run)
    }

    /// The bill query of the look for missed documents (`omissionRemedy`): the same with the taken-over fields
    /// replaced. Without a remedy it is [`Self::query`].
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn remedy_query(&self, run: &Run) -> Result<SourceQuery, Fault> {
        match &self.remedy {
            Some(remedy) => self.query_of(&remedy.request, &remedy.other, run),
            None => self.query(run),
        }
    }

    /// `request` and `otherRequest` rendered into one object: the call of interfaces other than the bill query.
    ///
    /// # Errors
    /// A fault of a value that cannot be computed.
    pub fn request(&self, run: &Run) -> Result<Map<String, Value>, Fault> {
        self.request_of(&self.request, &self.other, run)
    }

    /// [`Self::request`] of the look for missed documents.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn remedy_request(&self, run: &Run) -> Result<Map<String, Value>, Fault> {
        match &self.remedy {
            Some(remedy) => self.request_of(&remedy.request, &remedy.other, run),
            None => self.request(run),
        }
    }

    /// The parameters of the call as they are used, whichever the interface.
    ///
    /// # Errors
    /// As [`Self::query`] and [`Self::request`].
    pub fn parameters(&self, run: &Run) -> Result<Map<String, Value>, Fault> {
        match &self.columns {
            Some(_) => self.query(run).map(|query| query.parameters()),
            None => self.request(run),
        }
    }

    /// [`Self::parameters`] of the look for missed documents.
    ///
    /// # Errors
    /// As [`Self::parameters`].
    pub fn remedy_parameters(&self, run: &Run) -> Result<Map<String, Value>, Fault> {
        match &self.columns {
            Some(_) => self.remedy_query(run).map(|query| query.parameters()),
            None => self.remedy_request(run),
        }
    }

    /// Days the look for missed documents reaches back: the furthest `DAYS_AGO_n` among the taken-over values, else 3.
    pub fn remedy_days(&self) -> u32 {
        let mut furthest = None;
        if let Some(remedy) = &self.remedy {
            entry::walk_all(&remedy.request, &mut |entry| furthest = furthest.max(days_of(entry)));
            entry::walk_all(&remedy.other, &mut |entry| furthest = furthest.max(days_of(entry)));
        }
        furthest.unwrap_or(DEFAULT_REMEDY_DAYS)
    }

    /// The form the document itself names as a constant.
    pub(crate) fn own_form(&self) -> Option<&str> {
        own_form(self.request.iter().chain(&self.other))
    }

    /// Arrays whose elements are taken apart; names that begin so may appear in rows.
    pub(crate) fn flattened(&self) -> Vec<&str> {
        self.beat_flat.iter().map(String::as_str).chain(self.split_array.as_deref()).collect()
    }

    /// Whether the interface is Kingdee's bill query.
    pub fn is_bill_query(&self) -> bool {
        self.columns.is_some()
    }

    /// Five-field cron of `omissionRemedy`, where the document has one.
    pub fn remedy_cron(&self) -> Option<&str> {
        self.remedy.as_ref().map(|remedy| remedy.cron.as_str())
    }

    /// The columns of the bill query; empty for other interfaces.
    pub fn columns(&self) -> &[Column] {
        self.columns.as_deref().unwrap_or_default()
    }

    /// The interface's name as the document writes it.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Name or dotted path of the field that is the record's unique key; a template where the text holds a brace.
    pub fn id_field(&self) -> &str {
        &self.id.written
    }

    /// Name or dotted path of the field shown as the bill's code; the id field where the document names none.
    pub fn number_field(&self) -> &str {
        &self.number.written
    }

    /// Whether a stored id is left as it is when it comes again.
    pub fn id_check(&self) -> bool {
        self.id_check
    }

    /// Rows per page: the document's pageSize, else 100.
    pub fn page_size(&self) -> u32 {
        self.page_size
    }

    /// Members a row is known to have: columns or declared response fields, and what formatting adds. Empty when the
    /// document declares nothing, so that nothing can be said of a name.
    pub fn known_fields(&self) -> Vec<&str> {
        let columns = self.columns().iter().map(|column| column.field.as_str());
        let mut known: Vec<&str> = columns.chain(self.declared.iter().map(String::as_str)).collect();
        if !known.is_empty() {
            known.extend(self.formattings.iter().map(|formatting| formatting.new.segments()[0].name()));
        }
        known
    }

    /// The key that is queried for a field of the record, and what is done to it first.
    pub(crate) fn origin(&self, field: &Path) -> (Option<String>, Option<String>) {
        let formatting = self.formattings.iter().rev().find(|formatting| formatting.new == *field);
        let through = formatting.map(|made| format!("formatResponse {} of {}", made.written, made.old));
        let asked = formatting.map_or(field, |formatting| &formatting.old);
        let first = asked.segments().first().map_or("", |segment| segment.name());
        let whole = self.columns().iter().find(|column| column.field == asked.as_str());
        let column = whole.or_else(|| self.columns().iter().find(|column| column.field == first));
        (column.map(|column| column.key.clone()), through)
    }

    fn pass<'a>(&'a self, run: &'a Run) -> Pass<'a> {
        Pass { run, on_error: self.on_error, enforce_required: false, file: &self.file }
    }

    /// The run with the first page where it names none.
    fn paged(&self, run: &Run) -> Run {
        let first = Page { size: u64::from(self.page_size), start_row: 0, start_page: 1 };
        Run { page: Some(run.page.unwrap_or(first)), ..run.clone() }
    }

    fn query_of(&self, request: &[Entry], other: &[Entry], run: &Run) -> Result<SourceQuery, Fault> {
        let Some(columns) = &self.columns else {
            let detail = format!("{} is no bill query", self.api);
            return Err(Fault::new(document::Code::CallOption, detail).in_file(&self.file).at_path("$.api"));
        };
        let run = self.paged(run);
        let parameters = kingdee::Parameters {
            lists: [request, other],
            columns,
            form: self.form.as_deref(),
            page_size: self.page_size,
            file: &self.file,
            collections: &self.collections,
        };
        parameters.query(&run, self.pass(&run))
    }

    fn request_of(&self, request: &[Entry], other: &[Entry], run: &Run) -> Result<Map<String, Value>, Fault> {
        let run = self.paged(run);
        let nothing = [Value::Object(Map::new())];
        let scope = BillScope::of_bill(&nothing, None, &self.collections);
        let mut members = render::render(request, &scope, self.pass(&run))?;
        members.extend(render::render(other, &scope, self.pass(&run))?);
        Ok(members)
    }
}

/// The constant FormId of a document.
pub(crate) fn own_form<'a>(mut entries: impl Iterator<Item = &'a Entry>) -> Option<&'a str> {
    entries.find(|entry| entry.field == "FormId").and_then(|entry| constant_text(&entry.form))
}

fn days_of(entry: &Entry) -> Option<u32> {
    let days = |variable| match variable {
        Some(Variable::DaysAgo(days)) => Some(days.max(1)),
        _ => None,
    };
    entry.form.references().into_iter().filter_map(|reference| days(reference.variable())).max()
}

#[cfg(test)]
mod tests;
