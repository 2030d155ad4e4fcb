//! The failure table of the correctness document, row by row.

/// A row of the failure table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// A service is killed.
    Kill,
    /// A service stands still and goes on.
    Zombie,
    /// A service stands still exactly before it writes.
    PausedBeforeWrite,
    /// The target does the work and does not answer in time.
    TimesOutButSaves,
    /// The target does the work later.
    SavesLate,
    /// Connections and replies that break.
    BrokenReply,
    /// 5xx.
    ServerErrors,
    /// Some documents of a batch, odd indexes.
    PartialSuccess,
    /// One document that is never taken.
    Poison,
    /// Sessions end.
    SessionExpires,
    /// Logins are refused.
    LoginRefused,
    /// Calls are refused for their number.
    Throttle,
    /// Redis.
    Redis,
    /// Brokers.
    Broker,
    /// An end of a transaction that meets the next one.
    StaleEndTxn,
    /// Members come and go.
    RebalanceStorm,
    /// Offsets or data are gone.
    DataExpired,
    /// A topic is made anew.
    TopicRecreated,
    /// Flow versions that are late or fail; permissions lost.
    FlowVersion,
    /// No space is left.
    DiskFull,
    /// Clocks jump.
    Clock,
    /// The source moves while it is read.
    SourceMoves,
    /// Dates of the source that lie.
    SourceDates,
    /// Keys with quotes.
    OddKey,
    /// Documents edited by hand in the target.
    EditedInTarget,
    /// Replays at once.
    Replays,
    /// Settings change.
    ConfigChange,
    /// Everything is gone but Kafka.
    AllGone,
}

impl Row {
    /// Every row, in the table's order.
    pub const ALL: [Row; 28] = [
        Row::Kill,
        Row::Zombie,
        Row::PausedBeforeWrite,
        Row::TimesOutButSaves,
        Row::SavesLate,
        Row::BrokenReply,
        Row::ServerErrors,
        Row::PartialSuccess,
        Row::Poison,
        Row::SessionExpires,
        Row::LoginRefused,
        Row::Throttle,
        Row::Redis,
        Row::Broker,
        Row::StaleEndTxn,
        Row::RebalanceStorm,
        Row::DataExpired,
        Row::TopicRecreated,
        Row::FlowVersion,
        Row::DiskFull,
        Row::Clock,
        Row::SourceMoves,
        Row::SourceDates,
        Row::OddKey,
        Row::EditedInTarget,
        Row::Replays,
        Row::ConfigChange,
        Row::AllGone,
    ];

    /// The fault, as the table has it.
    pub fn name(self) -> &'static str {
        match self {
            Row::Kill => "kill -9 any service at any step",
            Row::Zombie => "zombie (SIGSTOP, then CONT)",
            Row::PausedBeforeWrite => "pause exactly between deadline check and socket write",
            Row::TimesOutButSaves => "target times out but saves",
            Row::SavesLate => "target times out, saves late",
            Row::BrokenReply => "RST before or after body, truncated or chunk-broken body, 200 with HTML",
            Row::ServerErrors => "5xx x4 then ok; 5xx for long",
            Row::PartialSuccess => "partial success, odd DIndex",
            Row::Poison => "one poison bill",
            Row::SessionExpires => "session expires mid-batch",
            Row::LoginRefused => "login refused",
            Row::Throttle => "throttle replies",
            Row::Redis => "Redis stop / FLUSHALL / slow 5 s / wrong type in key",
            Row::Broker => "broker restart, leader change, coordinator move, ISR below min",
            Row::StaleEndTxn => "stale EndTxn applied to next transaction",
            Row::RebalanceStorm => "rebalance storm",
            Row::DataExpired => "committed offsets expired; data expired",
            Row::TopicRecreated => "topic recreated, given partitions; ledger deleted",
            Row::FlowVersion => "flow version late / failing everywhere; permission lost at source",
            Row::DiskFull => "broker disk full; service disk full",
            Row::Clock => "clock jumps; zone changed",
            Row::SourceMoves => "rows inserted, removed, re-approved while paging; clamped page; 10 000-row bill",
            Row::SourceDates => "approve date in the future, equal seconds, late commit",
            Row::OddKey => "key with quote, newline, emoji, 300 chars",
            Row::EditedInTarget => "same bill edited in target by hand",
            Row::Replays => "replay x10 concurrent; replay of v1 after v2; edit then replay",
            Row::ConfigChange => "config change mid-flight",
            Row::AllGone => "all services and Redis gone, Kafka intact / Kafka gone",
        }
    }

    /// The one row of those that are drawn whose name holds `text`.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn of(text: &str) -> Result<Self, String> {
        let mut found = Self::ALL.into_iter().filter(|row| row.is_in_the_deck() && row.name().contains(text));
        match (found.next(), found.next()) {
            (Some(row), None) => Ok(row),
            (None, _) => Err("no row that is drawn has such a name".to_owned()),
            (Some(one), Some(other)) => Err(format!("it may be {:?} or {:?}", one.name(), other.name())),
        }
    }

    /// Whether runs draw it from the deck.
    pub(super) fn is_in_the_deck(self) -> bool {
        self.elsewhere().is_none() && !self.is_drawn_apart()
    }

    /// Whether it is not in the deck that every run draws from: kills are in each of them, and what needs more than the
    /// services as they ship is in each that has it.
    fn is_drawn_apart(self) -> bool {
        self == Row::Kill || self.needs_points()
    }

    /// Whether only services that know named places can be hit by it.
    pub(super) fn needs_points(self) -> bool {
        matches!(self, Row::PausedBeforeWrite | Row::Clock)
    }

    /// In how many ways runs hit it; none for what is not dealt from the deck.
    pub(super) fn ways(self) -> usize {
        match self {
            Row::Kill | Row::PausedBeforeWrite | Row::Clock | Row::StaleEndTxn | Row::TopicRecreated => 0,
            Row::TimesOutButSaves
            | Row::SavesLate
            | Row::Poison
            | Row::SessionExpires
            | Row::LoginRefused
            | Row::Throttle
            | Row::RebalanceStorm
            | Row::AllGone
            | Row::DataExpired
            | Row::EditedInTarget
            | Row::ConfigChange
            | Row::FlowVersion => 2,
            Row::Zombie | Row::ServerErrors | Row::DiskFull | Row::SourceDates | Row::SourceMoves => 3,
            Row::PartialSuccess | Row::OddKey | Row::Replays => 4,
            Row::Redis | Row::Broker => 5,
            Row::BrokenReply => 9,
        }
    }

    /// Where a row is tried that these runs do not draw; `None` for those that they do.
    pub fn elsewhere(self) -> Option<&'static str> {
        match self {
            Row::Kill
            | Row::Zombie
            | Row::TimesOutButSaves
            | Row::SavesLate
            | Row::BrokenReply
            | Row::ServerErrors
            | Row::PartialSuccess
            | Row::Poison
            | Row::SessionExpires
            | Row::LoginRefused
            | Row::Throttle
            | Row::Redis
            | Row::Broker
            | Row::RebalanceStorm
            | Row::AllGone
            | Row::PausedBeforeWrite
            | Row::DiskFull
            | Row::Clock
            | Row::EditedInTarget
            | Row::Replays
            | Row::ConfigChange
            | Row::SourceMoves
            | Row::SourceDates
            | Row::OddKey
            | Row::FlowVersion
            | Row::DataExpired => None,
            Row::StaleEndTxn => Some("make test-sim: only a log in memory can lie so"),
            Row::TopicRecreated => Some("tests/tests/broker: what stops for good cannot go on here"),
        }
    }

    /// What of a row these runs leave out, and where that is tried.
    pub fn left_out(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Row::DataExpired => &[("data that expired", "tests/tests/broker: its partition stops for good")],
            Row::FlowVersion => &[("a version that is late", "cargo test -p transformer late_version")],
            Row::SourceMoves => {
                &[("a bill over 16 MiB, whose letter is too_large", "make test-sim, tests/tests/broker")]
            }
            Row::AllGone => &[("Kafka gone with its disks", "make drills")],
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_named_by_a_part_of_its_name() {
        assert_eq!(Row::of("replay"), Ok(Row::Replays));
        assert!(Row::of("e").expect_err("many").contains("or"));
        // Kills are in every run, and nobody's log lies.
        for none in ["kill -9", "stale EndTxn", "no such row"] {
            assert!(Row::of(none).is_err(), "{none}");
        }
    }
}
