//! Selectors over the whole language: every field, every operator, paths and patterns, joined and nested.

use document::{Category, Code, Stage};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use control::index::Order;
use control::letter::State;
use control::selector::{Cost, Field, Kind, Selector};

use super::letters::{
    self, FIELDS, FLOW_VERSIONS, FLOWS, HOURS, MATERIALS, ORGANISATIONS, PEOPLE, REASONS, VERSIONS, one_of,
};

/// What the desk is asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) selector: Selector,
    pub(super) order: Order,
    pub(super) descending: bool,
}

impl Asked {
    /// Whether the columns of the index cannot answer it.
    pub(super) fn scans(&self) -> bool {
        self.selector.expression().cost() != Cost::Columns
    }
}

/// The orders that a list may have.
const ORDERS: [(Order, bool); 5] = [
    (Order::LastFailed, true),
    (Order::LastFailed, false),
    (Order::FirstFailed, false),
    (Order::FirstFailed, true),
    (Order::Document, false),
];
/// Of ten selectors, how many ask for header fields and age alone.
const OF_COLUMNS: usize = 7;

/// `count` selectors over the letters up to `letters`, the same for the same numbers.
///
/// # Errors
/// One does not read.
pub(super) fn seeded(count: usize, letters: u64) -> anyhow::Result<Vec<Asked>> {
    let mut maker = Maker { random: StdRng::seed_from_u64(2), letters };
    let mut asked = |number: usize| {
        let text = if number % 10 < OF_COLUMNS { maker.of_columns() } else { maker.of_scans() };
        let selector = Selector::parse(&text).map_err(|fault| anyhow::anyhow!("{text}: {fault}"))?;
        let (order, descending) = one_of(&mut maker.random, &ORDERS);
        Ok(Asked { selector, order, descending })
    };
    (0..count).map(&mut asked).collect()
}

/// Operators of fields whose values have an order, and of those that only have words.
const ORDERED: [&str; 10] = ["=", "!=", "<", "<=", ">", ">=", "in", "not in", "between", "not between"];
const CLOSED: [&str; 4] = ["=", "!=", "in", "not in"];

struct Maker {
    random: StdRng,
    letters: u64,
}

impl Maker {
    fn of_columns(&mut self) -> String {
        self.joined(Self::on_field)
    }

    /// Conditions on rows or bodies, as often as not beside one on the columns.
    fn of_scans(&mut self) -> String {
        let scan = if self.random.random_bool(0.3) { self.joined(Self::on_row) } else { self.on_row() };
        match self.random.random_range(0..6) {
            0 | 1 => format!("({scan}) and {}", self.on_field()),
            2 => format!("({scan}) or {}", self.on_field()),
            _ => scan,
        }
    }

    /// One to four conditions, joined, negated, nested.
    fn joined(&mut self, mut one: impl FnMut(&mut Self) -> String) -> String {
        match self.random.random_range(0..10) {
            0..=2 => one(self),
            3 => format!("not ({})", one(self)),
            4 => format!("{} or {}", one(self), one(self)),
            5 => format!("{} and ({} or {})", one(self), one(self), one(self)),
            6 => format!("{} and not ({} or {})", one(self), one(self), one(self)),
            7 => format!("{} and {} or {} and {}", one(self), one(self), one(self), one(self)),
            8 => format!("{} and {} and {}", one(self), one(self), one(self)),
            _ => format!("{} and {}", one(self), one(self)),
        }
    }

    /// A condition on a field that its column answers. Every third is one that people ask most.
    fn on_field(&mut self) -> String {
        let all: Vec<Field> = Field::all().collect();
        let often = [Field::Flow, Field::Category, Field::Code, Field::State, Field::Age, Field::Attempts];
        let field = if self.random.random_bool(0.33) { self.one_of(&often) } else { self.one_of(&all) };
        if self.random.random_bool(0.05) {
            return format!("exists({})", field.name());
        }
        let operators: &[&str] = match field.kind() {
            Kind::Closed | Kind::Truth => &CLOSED,
            Kind::Text | Kind::Number | Kind::Time | Kind::Age => &ORDERED,
        };
        self.compared(field.name(), operators, |maker| maker.value(field))
    }

    /// A condition that every row or body must be asked for.
    fn on_row(&mut self) -> String {
        let material = self.random.random_range(0..MATERIALS);
        let some = material % 1_000;
        match self.random.random_range(0..14) {
            0 => self.compared("payload.FBillNo", &ORDERED, |maker| format!("{:?}", maker.document())),
            1 => self.compared("payload.FEntity[*].FQty", &ORDERED, Self::quantity),
            2 => self.compared("payload.FEntity[0].FQty", &ORDERED, Self::quantity),
            3 => self.compared("payload.FDate", &ORDERED, Self::date),
            4 => self.compared("payload.FStockOrgId.FNumber", &ORDERED, |maker| {
                format!("\"{:03}\"", maker.random.random_range(0..ORGANISATIONS))
            }),
            5 => format!("payload.FEntity[0].FMaterialId.FNumber = \"M-{material:05}\""),
            6 => format!("payload.FEntity.FMaterialId.FNumber ~ \"^M-{some:03}\""),
            7 => format!("payload[0].FBillNo ~ \"{some:03}$\""),
            8 => "exists(payload.FNote)".to_owned(),
            9 => format!("payload.FEntity[*].FStockId.FNumber = CK{:03}", some % 100),
            10 => format!("message ~ \"M-{some:03}\\d[13579]\""),
            11 => "code ~ \"^E_(SOURCE|TARGET)_\"".to_owned(),
            12 => format!("document ~ \"{some:03}$\""),
            _ => format!("target_key ~ \"^SB-.*{some:03}\" or reason ~ \"建档$\""),
        }
    }

    /// `subject` compared by one of `operators` with as many values as that takes.
    fn compared(&mut self, subject: &str, operators: &[&str], mut value: impl FnMut(&mut Self) -> String) -> String {
        let operator = self.one_of(operators);
        match operator {
            "in" | "not in" => {
                let values: Vec<String> = (0..self.random.random_range(1..4)).map(|_| value(self)).collect();
                format!("{subject} {operator} ({})", values.join(", "))
            }
            "between" | "not between" => format!("{subject} {operator} {} and {}", value(self), value(self)),
            operator => format!("{subject} {operator} {}", value(self)),
        }
    }

    /// A value that some letters have, or that lies between theirs.
    fn value(&mut self, field: Field) -> String {
        match field {
            Field::Id => format!("\"{:04x}\"", self.random.random_range(0..0x1_0000)),
            Field::Tenant => "default".to_owned(),
            Field::Flow => self.one_of(&FLOWS).to_owned(),
            Field::FlowVersion => self.one_of(&FLOW_VERSIONS).to_owned(),
            Field::Stage => self.one_of(&Stage::ALL).to_string(),
            Field::Category => self.one_of(&Category::ALL).to_string(),
            Field::Code => self.one_of(Code::ALL).to_string(),
            Field::State => self.one_of(&State::ALL).to_string(),
            Field::Document => self.document(),
            Field::Version => (VERSIONS + self.random.random_range(0..self.letters)).to_string(),
            Field::Trace => format!("\"{:032x}\"", self.random.random_range(1..=self.letters)),
            Field::TargetKey => format!("SB-{}", self.document()),
            Field::Message => format!("{:?}", letters::message(self.random.random_range(0..MATERIALS))),
            Field::Field => format!("{:?}", self.one_of(&FIELDS)),
            Field::Attempts => self.random.random_range(0..6).to_string(),
            Field::Age => format!("{}h", self.random.random_range(0..HOURS)),
            Field::FirstFailed | Field::LastFailed | Field::RetryAt => self.date(),
            Field::Replay => letters::job(&mut self.random),
            Field::Reason => format!("{:?}", self.one_of(&REASONS)),
            Field::Edited => self.one_of(&["true", "false"]).to_owned(),
            Field::ClaimedBy => self.one_of(&PEOPLE).to_owned(),
            Field::OriginTopic => format!("starbridge.{}.mapped", self.one_of(&FLOWS)),
            Field::OriginPartition => self.random.random_range(0..6).to_string(),
            Field::OriginOffset => self.random.random_range(0..self.letters).to_string(),
        }
    }

    fn document(&mut self) -> String {
        letters::document(self.random.random_range(0..self.letters))
    }

    fn quantity(&mut self) -> String {
        format!("{}.{:02}", self.random.random_range(0..1_000), self.random.random_range(0..100))
    }

    /// A day of the letters' last month.
    fn date(&mut self) -> String {
        format!("2026-01-{:02}", self.random.random_range(1..=31))
    }

    fn one_of<T: Clone>(&mut self, values: &[T]) -> T {
        one_of(&mut self.random, values)
    }
}
