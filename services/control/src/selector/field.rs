//! What a selector may ask of a letter.

use document::{Category, Code, Stage};
use flow::suggest;

use crate::letter::State;

/// A fact about a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The letter's id.
    Id,
    /// Whose it is.
    Tenant,
    /// The flow it belongs to.
    Flow,
    /// The definition it failed under.
    FlowVersion,
    /// The step it failed in.
    Stage,
    /// What kind of failure.
    Category,
    /// Which failure.
    Code,
    /// What became of it; missing while its last event is unreadable.
    State,
    /// The document's key in its source.
    Document,
    /// The document's version.
    Version,
    /// The document's key in the target, where it was mapped.
    TargetKey,
    /// The failure in words, as lists show it: without what looks like a personal number.
    Message,
    /// The field or path at fault.
    Field,
    /// Attempts of the step so far.
    Attempts,
    /// Time since the first failure.
    Age,
    /// When it failed first.
    FirstFailed,
    /// When it failed last.
    LastFailed,
    /// When a timed fault is due again.
    RetryAt,
    /// The replay job that carries it, else the replay it failed in.
    Replay,
    /// The reason given with its last event.
    Reason,
    /// Whether its body was edited.
    Edited,
    /// Who works on it.
    ClaimedBy,
    /// The trace that it failed in, 32 hex digits.
    Trace,
    /// Topic of the record as it entered the failed step.
    OriginTopic,
    /// Partition of that record.
    OriginPartition,
    /// Offset of that record.
    OriginOffset,
}

/// What values of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text, compared by code point.
    Text,
    /// One of the field's words.
    Closed,
    /// A whole number.
    Number,
    /// A point in time.
    Time,
    /// A duration.
    Age,
    /// `true` or `false`.
    Truth,
}

/// What a field is called: in selectors, in English and in Chinese.
struct Named {
    field: Field,
    name: &'static str,
    english: &'static str,
    chinese: &'static str,
    kind: Kind,
}

const fn named(field: Field, name: &'static str, english: &'static str, chinese: &'static str, kind: Kind) -> Named {
    Named { field, name, english, chinese, kind }
}

/// In the order of [`Field`], by which it is read.
const FIELDS: [Named; 26] = [
    named(Field::Id, "id", "id", "死信编号", Kind::Text),
    named(Field::Tenant, "tenant", "tenant", "租户", Kind::Text),
    named(Field::Flow, "flow", "flow", "流程", Kind::Text),
    named(Field::FlowVersion, "flow_version", "flow version", "流程版本", Kind::Text),
    named(Field::Stage, "stage", "stage", "阶段", Kind::Closed),
    named(Field::Category, "category", "category", "类别", Kind::Closed),
    named(Field::Code, "code", "code", "错误码", Kind::Closed),
    named(Field::State, "state", "state", "状态", Kind::Closed),
    named(Field::Document, "document", "document key", "单据键", Kind::Text),
    named(Field::Version, "version", "document version", "单据版本", Kind::Number),
    named(Field::TargetKey, "target_key", "target key", "目标键", Kind::Text),
    named(Field::Message, "message", "message", "消息", Kind::Text),
    named(Field::Field, "field", "field at fault", "出错字段", Kind::Text),
    named(Field::Attempts, "attempts", "number of attempts", "尝试次数", Kind::Number),
    named(Field::Age, "age", "age", "首次失败至今时长", Kind::Age),
    named(Field::FirstFailed, "first_failed", "first failure", "首次失败时间", Kind::Time),
    named(Field::LastFailed, "last_failed", "last failure", "最近失败时间", Kind::Time),
    named(Field::RetryAt, "retry_at", "time of the next try", "下次重试时间", Kind::Time),
    named(Field::Replay, "replay", "replay job", "重放任务", Kind::Text),
    named(Field::Reason, "reason", "reason", "原因说明", Kind::Text),
    named(Field::Edited, "edited", "edited mark", "已编辑标记", Kind::Truth),
    named(Field::ClaimedBy, "claimed_by", "person in charge", "认领人", Kind::Text),
    named(Field::Trace, "trace", "trace", "追踪编号", Kind::Text),
    named(Field::OriginTopic, "origin.topic", "original topic", "来源主题", Kind::Text),
    named(Field::OriginPartition, "origin.partition", "original partition", "来源分区", Kind::Number),
    named(Field::OriginOffset, "origin.offset", "original offset", "来源位移", Kind::Number),
];

impl Field {
    /// Every field.
    pub fn all() -> impl Iterator<Item = Field> {
        FIELDS.iter().map(|named| named.field)
    }

    /// The field of that name.
    pub fn named(name: &str) -> Option<Field> {
        FIELDS.iter().find(|named| named.name == name).map(|named| named.field)
    }

    /// A hint for a name that no field has: the nearest field, else the way into the document.
    pub fn hint(name: &str) -> String {
        let known: Vec<&str> = FIELDS.iter().map(|named| named.name).chain(["payload"]).collect();
        match suggest::nearest(name, &known) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("of the document it is payload.{name}; of the letter there are {}", known.join(", ")),
        }
    }

    /// The words of a closed field; none for others.
    pub fn words(self) -> Vec<&'static str> {
        match self {
            Field::Stage => Stage::ALL.iter().map(|stage| stage.as_str()).collect(),
            Field::Category => Category::ALL.iter().map(|category| category.as_str()).collect(),
            Field::Code => Code::ALL.iter().map(|code| code.as_str()).collect(),
            Field::State => State::ALL.iter().map(|state| state.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    fn entry(self) -> &'static Named {
        &FIELDS[self as usize]
    }

    /// The name in selectors.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// What it is called in English.
    pub fn english(self) -> &'static str {
        self.entry().english
    }

    /// What it is called in Chinese.
    pub fn chinese(self) -> &'static str {
        self.entry().chinese
    }

    /// What its values are.
    pub fn kind(self) -> Kind {
        self.entry().kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_stands_at_its_place_and_comes_back_from_its_name() {
        for field in Field::all() {
            assert_eq!(field.entry().field, field);
            assert_eq!(Field::named(field.name()), Some(field));
            assert!(!field.chinese().is_ascii(), "{field:?}");
            assert_eq!(field.kind() == Kind::Closed, !field.words().is_empty(), "{field:?}");
        }
        assert_eq!(Field::named("colour"), None);
        assert_eq!(Field::hint("catagory"), "did you mean category?");
    }
}
