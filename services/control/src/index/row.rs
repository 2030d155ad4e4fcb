//! A letter as the index's columns have it.

use document::{Category, Code, DeadLetterId, DocumentKey, FlowName, FlowVersion, Stage, TargetKey, Tenant, Version};
use rusqlite::types::Type;
use rusqlite::{Row, types::FromSql};
use rust_decimal::Decimal;

use crate::letter::State;
use crate::selector::{Fact, Field};

/// A letter without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterRow {
    /// Its id.
    pub id: DeadLetterId,
    /// Whose it is.
    pub tenant: Tenant,
    /// The flow it belongs to.
    pub flow: FlowName,
    /// The definition it failed under.
    pub flow_version: FlowVersion,
    /// The step it failed in.
    pub stage: Stage,
    /// What kind of failure.
    pub category: Category,
    /// Which failure.
    pub code: Code,
    /// What became of it; `None` while its last event is unreadable, so that nothing is done about it by mistake.
    pub state: Option<State>,
    /// The document.
    pub document: DocumentKey,
    /// Its version.
    pub version: Version,
    /// Its key in the target, where it was mapped.
    pub target_key: Option<TargetKey>,
    /// The failure in words, as everybody may see it: without what looks like a personal number.
    pub message: String,
    /// The field or path at fault.
    pub field: Option<String>,
    /// Attempts of the step so far.
    pub attempts: u32,
    /// When it failed first, unix milliseconds.
    pub first_failed: i64,
    /// When it failed last, unix milliseconds.
    pub last_failed: i64,
    /// When a timed fault is due again, unix milliseconds.
    pub retry_at: Option<i64>,
    /// The replay job that carries it, else the replay it failed in.
    pub replay: Option<String>,
    /// The reason given with its last event.
    pub reason: Option<String>,
    /// How often its body was edited.
    pub revision: u32,
    /// Who works on it.
    pub claimed_by: Option<String>,
    /// Who decided last.
    pub state_by: Option<String>,
    /// The trace that it failed in, 32 hex digits.
    pub trace: Option<String>,
    /// Topic, partition and offset of the record as it entered the failed step.
    pub origin: Option<(String, i32, i64)>,
}

/// The columns a [`LetterRow`] is read from, in its order.
pub(super) const COLUMNS: &str = "id, tenant, flow, flow_version, stage, category, code, state, document, version, \
     target_key, message, field, attempts, first_failed, last_failed, retry_at, replay, reason, revision, \
     claimed_by, origin_topic, origin_partition, origin_offset, event_by, trace";
/// How many they are.
pub(super) const COLUMN_COUNT: usize = 26;

/// The column of a version: smaller numbers stay smaller.
pub(super) fn version_column(version: u64) -> i64 {
    version.wrapping_sub(1 << 63).cast_signed()
}

/// The version in a column.
fn version_of(column: i64) -> u64 {
    column.cast_unsigned().wrapping_add(1 << 63)
}

/// A count; SQLite has no unsigned numbers.
pub(super) fn count(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    column(row, at).map(i64::cast_unsigned)
}

/// A text column as what it stands for; none where it is null.
fn parsed_optional<T>(row: &Row<'_>, at: usize, parse: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<Option<T>> {
    match column::<Option<String>>(row, at)? {
        Some(_) => parsed(row, at, parse).map(Some),
        None => Ok(None),
    }
}

/// A text column as what it stands for.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize, parse: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    parse(&text).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("{text:?} is none of its words").into())
    })
}

fn column<T: FromSql>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    row.get(column)
}

impl LetterRow {
    /// Whether its body was edited.
    pub fn is_edited(&self) -> bool {
        self.revision > 0
    }

    /// Reads the [`COLUMNS`].
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let origin_topic: Option<String> = column(row, 21)?;
        Ok(Self {
            id: DeadLetterId(column(row, 0)?),
            tenant: parsed(row, 1, |text| Tenant::new(text).ok())?,
            flow: parsed(row, 2, |text| FlowName::new(text).ok())?,
            flow_version: FlowVersion(column(row, 3)?),
            stage: parsed(row, 4, |text| text.parse().ok())?,
            category: parsed(row, 5, |text| text.parse().ok())?,
            code: parsed(row, 6, |text| text.parse().ok())?,
            state: parsed_optional(row, 7, |text| text.parse().ok())?,
            document: DocumentKey(column(row, 8)?),
            version: Version(version_of(column(row, 9)?)),
            target_key: column::<Option<String>>(row, 10)?.map(TargetKey),
            message: column(row, 11)?,
            field: column(row, 12)?,
            attempts: column(row, 13)?,
            first_failed: column(row, 14)?,
            last_failed: column(row, 15)?,
            retry_at: column(row, 16)?,
            replay: column(row, 17)?,
            reason: column(row, 18)?,
            revision: column(row, 19)?,
            claimed_by: column(row, 20)?,
            state_by: column(row, 24)?,
            trace: column(row, 25)?,
            origin: match origin_topic {
                Some(topic) => Some((topic, column(row, 22)?, column(row, 23)?)),
                None => None,
            },
        })
    }

    /// The value of a field, as a selector compares it. The age is asked by the first failure.
    pub(super) fn fact(&self, field: Field) -> Option<Fact<'_>> {
        Some(match field {
            Field::Id => Fact::Text(&self.id.0),
            Field::Tenant => Fact::Text(self.tenant.as_str()),
            Field::Flow => Fact::Text(self.flow.as_str()),
            Field::FlowVersion => Fact::Text(self.flow_version.as_str()),
            Field::Stage => Fact::Text(self.stage.as_str()),
            Field::Category => Fact::Text(self.category.as_str()),
            Field::Code => Fact::Text(self.code.as_str()),
            Field::State => Fact::Text(self.state?.as_str()),
            Field::Document => Fact::Text(self.document.as_str()),
            Field::Version => Fact::Number(Decimal::from(self.version.0)),
            Field::TargetKey => Fact::Text(self.target_key.as_ref()?.as_str()),
            Field::Message => Fact::Text(&self.message),
            Field::Field => Fact::Text(self.field.as_deref()?),
            Field::Attempts => Fact::Number(Decimal::from(self.attempts)),
            Field::Age | Field::FirstFailed => Fact::Time(self.first_failed),
            Field::LastFailed => Fact::Time(self.last_failed),
            Field::RetryAt => Fact::Time(self.retry_at?),
            Field::Replay => Fact::Text(self.replay.as_deref()?),
            Field::Reason => Fact::Text(self.reason.as_deref()?),
            Field::Edited => Fact::Truth(self.is_edited()),
            Field::ClaimedBy => Fact::Text(self.claimed_by.as_deref()?),
            Field::Trace => Fact::Text(self.trace.as_deref()?),
            Field::OriginTopic => Fact::Text(&self.origin.as_ref()?.0),
            Field::OriginPartition => Fact::Number(Decimal::from(self.origin.as_ref()?.1)),
            Field::OriginOffset => Fact::Number(Decimal::from(self.origin.as_ref()?.2)),
        })
    }
}
