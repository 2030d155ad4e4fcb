//! What a history is made of: drawn once, from its seed.

use std::sync::Arc;
use std::time::Duration;

use document::{FlowVersion, Tenant};
use extractor::core::emit;
use extractor::core::run::{LookbackPlan, Plan};
use flow::file::WhenRunning;
use loader::core::ledger::Reached;
use loader::core::rules::OnChange;
use loader::core::{Numbers, Retry, Rules};

use crate::dice::Dice;
use crate::flow;
use crate::rule::Rule;
use crate::source::{ZONE, columns, heads};
use crate::variety::{Form, REPAIRED_VERSION, Variety};
use crate::world::EPOCH;

/// The definition of the flow.
pub(crate) const FLOW_VERSION: &str = "aaaaaaaaaaaaaaaa";
/// Another one that says the same, tried with some of the documents.
pub(crate) const TRIED_VERSION: &str = "bbbbbbbbbbbbbbbb";
/// Behind how much of a delay in the source a scan looks, seconds.
pub(crate) const OVERLAP: i64 = 600;
/// How long the watermark stays behind the start of a scan, seconds.
pub(crate) const SETTLE: i64 = 30;

#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) partitions: i32,
    pub(crate) extractors: usize,
    pub(crate) transformers: usize,
    pub(crate) loaders: usize,
    /// How the extractor reads, and from when on it does so.
    plans: Vec<(Duration, Arc<Plan>)>,
    /// Bills per transaction.
    pub(crate) batch: usize,
    /// Least time between two runs, milliseconds.
    pub(crate) scan_every: u64,
    /// Every so many runs is a lookback.
    pub(crate) lookback_every: u64,
    /// What a transformer keeps of records that wait.
    pub(crate) hold_bytes: usize,
    /// What a firing does while a run goes on.
    pub(crate) when_running: WhenRunning,
    /// Transformers and loaders do not know the version that is tried before this instant.
    pub(crate) tried_from: Duration,
    /// How the loader works.
    pub(crate) rules: Arc<Rules>,
    pub(crate) numbers: Numbers,
    /// Whether numbers are unique in the target.
    pub(crate) unique: bool,
    /// Whether the nodes' clocks differ.
    pub(crate) skewed: bool,
    /// One in so many …; 0 for never.
    pub(crate) target_trouble: u64,
    pub(crate) late_ends: u64,
    pub(crate) write_failures: u64,
    pub(crate) slow_brokers: u64,
    pub(crate) page_failures: u64,
    pub(crate) touches: u64,
    /// Time between two moves of the nemesis, at most, milliseconds.
    pub(crate) pace: u64,
    /// What makes it unlike most others.
    pub(crate) variety: Variety,
}

impl Setting {
    pub(crate) fn draw(dice: &mut Dice, off: Option<Rule>, variety: Variety) -> Self {
        // Half of the histories have a log that lies about its ends.
        let lying_log = dice.one_in(2);
        let often = [0, 4, 10, 40];
        let mut rules = rules(dice);
        if variety.narrow {
            rules.max_bytes = 300;
        }
        let numbers = vary(numbers(dice, &rules, off), &variety);
        Self {
            partitions: i32::try_from(1 + dice.below(3)).expect("few"),
            extractors: 1 + dice.index(2),
            transformers: 1 + dice.index(2),
            loaders: 1 + dice.index(3).min(1),
            plans: plans(plan(dice, off), &variety),
            batch: 1 + dice.index(6),
            scan_every: 5_000 + dice.below(30_000),
            lookback_every: 2 + dice.below(4),
            hold_bytes: if dice.one_in(3) { 300 } else { 1 << 20 },
            when_running: if dice.one_in(2) { WhenRunning::Skip } else { WhenRunning::Wait },
            tried_from: Duration::from_secs(1_000) + dice.millis(0, 240_000),
            rules: Arc::new(rules),
            numbers,
            unique: dice.one_in(2) && !variety.renames,
            skewed: dice.one_in(2),
            target_trouble: often[dice.index(4)],
            late_ends: if lying_log { 4 + dice.below(20) } else { 0 },
            write_failures: if dice.one_in(2) { 10 + dice.below(60) } else { 0 },
            slow_brokers: if dice.one_in(3) { 15 + dice.below(60) } else { 0 },
            page_failures: if dice.one_in(2) { 10 + dice.below(40) } else { 0 },
            touches: [0, 3, 8][dice.index(3)],
            pace: [8_000, 20_000, 60_000][dice.index(3)],
            variety,
        }
    }

    /// Whether a version is known where documents are mapped and loaded.
    pub(crate) fn is_known(&self, version: &FlowVersion, now: Duration) -> bool {
        match version.as_str() {
            TRIED_VERSION => now >= self.tried_from,
            REPAIRED_VERSION => self.variety.current(now) == *version,
            _ => true,
        }
    }

    /// How the extractor reads.
    pub(crate) fn plan(&self, now: Duration) -> &Arc<Plan> {
        let (_, plan) = self.plans.iter().rfind(|(from, _)| *from <= now).expect("one is there from the beginning");
        plan
    }

    /// Whether the flow looks back, and windows of it can be read.
    pub(crate) fn looks_back(&self) -> bool {
        self.plans.iter().all(|(_, plan)| plan.lookback.is_some())
    }

    /// Where the first scan begins, unix seconds.
    pub(crate) fn start(&self) -> i64 {
        EPOCH - 10 * 86_400
    }
}

fn plan(dice: &mut Dice, off: Option<Rule>) -> Plan {
    let by_row = off == Some(Rule::KeyPaging);
    Plan {
        rules: emit::Rules {
            tenant: Tenant::default(),
            flow: flow(),
            flow_version: FLOW_VERSION.into(),
            canary: dice.one_in(3).then(|| emit::Share { version: TRIED_VERSION.into(), percent: 30 }),
            zone: ZONE,
            columns: columns(Form::Bills),
            by_number: true,
            id_check: false,
            max_record_bytes: if dice.one_in(6) { 500 } else { 1 << 20 },
        },
        config: "c1".to_owned(),
        overlap: if off == Some(Rule::Overlap) { 0 } else { OVERLAP },
        settle: SETTLE,
        limit: u32::try_from(2 + dice.below(9)).expect("few"),
        number_column: by_row.then_some(1),
        max_bill_bytes: 1 << 20,
        max_batch_bytes: 16 << 20,
        lookback: (!by_row).then(|| LookbackPlan {
            reach: 3 * 86_400,
            columns: heads(),
            limit: u32::try_from(2 + dice.below(9)).expect("few"),
            chunk: 1 + dice.index(5),
            conclusive: true,
            shrunk_ratio: 0.05,
        }),
        #[cfg(feature = "ablation")]
        off: match off {
            Some(Rule::Trim) => Some(extractor::core::ablation::Rule::Trim),
            Some(Rule::EmptyPage) => Some(extractor::core::ablation::Rule::EmptyPage),
            _ => None,
        },
    }
}

/// The plan of the beginning, and the one that takes its place.
fn plans(mut plan: Plan, variety: &Variety) -> Vec<(Duration, Arc<Plan>)> {
    plan.rules.columns = columns(variety.form);
    plan.rules.by_number = variety.form != Form::Heads;
    plan.rules.id_check = variety.id_check;
    if variety.small_records {
        plan.rules.max_record_bytes = 150;
    }
    if variety.long_bills {
        plan.limit = 2_000;
    }
    plan.max_bill_bytes = variety.max_bill_bytes;
    plan.max_batch_bytes = variety.max_batch_bytes;
    if variety.form == Form::Report {
        plan.number_column = plan.rules.columns.keys().iter().position(|key| key == "FBillNo");
        plan.lookback = None;
    }
    if let Some(lookback) = &mut plan.lookback {
        lookback.conclusive = variety.conclusive;
        lookback.shrunk_ratio = variety.shrunk_ratio;
    }
    let repaired = variety.repaired_at.map(|at| {
        let mut plan = plan.clone();
        plan.rules.flow_version = REPAIRED_VERSION.into();
        plan.rules.canary = None;
        plan.config = "c2".to_owned();
        (at, Arc::new(plan))
    });
    [(Duration::ZERO, Arc::new(plan))].into_iter().chain(repaired).collect()
}

/// The numbers as a small machine would have them.
fn vary(numbers: Numbers, variety: &Variety) -> Numbers {
    let numbers = match variety.narrow {
        true => Numbers { in_hand: 3, in_hand_bytes: 600, total_bytes: 1_000, probe_keys: 2, ..numbers },
        false => numbers,
    };
    let numbers = match variety.small_letters {
        true => Numbers { letter_bytes: 60, ..numbers },
        false => numbers,
    };
    // Where much conflicts with what others did, or with what nobody remembers, the breaker would hold the flow back for
    // longer than a history is.
    match variety.ledgers || variety.meddling || variety.renames {
        true => Numbers { flow_breaker_least: usize::MAX, ..numbers },
        false => numbers,
    }
}

fn rules(dice: &mut Dice) -> Rules {
    let (wanted, together) =
        [(Reached::Saved, false), (Reached::Saved, false), (Reached::Audited, false), (Reached::Audited, true)]
            [dice.index(4)];
    Rules {
        connection: "b".to_owned(),
        documents: 1 + dice.index(8),
        max_bytes: 1 << 20,
        on_change: [OnChange::Update, OnChange::Update, OnChange::Skip, OnChange::Park][dice.index(4)],
        wanted,
        together,
        told_by_save: !dice.one_in(4),
        retry: Retry::default(),
    }
}

fn numbers(dice: &mut Dice, rules: &Rules, off: Option<Rule>) -> Numbers {
    let settles = off != Some(Rule::Settle);
    let defaults = Numbers::default();
    // A flow that parks most changes is held back by its breaker, as it should be, for longer than a history is.
    let parks = match rules.on_change {
        OnChange::Park => true,
        OnChange::Update => rules.wanted > Reached::Saved,
        OnChange::Skip => false,
    };
    let flow_breaker_least = if parks { usize::MAX } else { 4 + dice.index(20) };
    let flow_breaker_pause = Duration::from_secs(120);
    let numbers = Numbers {
        calls: 1 + dice.index(2),
        verify_first: dice.one_in(10),
        flow_breaker_least,
        flow_breaker_pause,
        ..defaults
    };
    let numbers = match settles {
        true => numbers,
        false => Numbers { net: Duration::ZERO, exec_max: Duration::ZERO, ..numbers },
    };
    #[cfg(feature = "ablation")]
    let numbers = Numbers {
        off: match off {
            Some(Rule::Deadline) => Some(loader::core::ablation::Rule::Deadline),
            Some(Rule::Intent) => Some(loader::core::ablation::Rule::Intent),
            Some(Rule::Probe) => Some(loader::core::ablation::Rule::Probe),
            Some(Rule::VersionGuard) => Some(loader::core::ablation::Rule::VersionGuard),
            _ => None,
        },
        ..numbers
    };
    numbers
}
