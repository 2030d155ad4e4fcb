//! What the core needs to know of a flow, and the numbers it works by.

use std::time::Duration;

use super::ledger::Reached;

/// What happens to a newer version of a document that is in the target already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChange {
    /// The target keeps what it has.
    Skip,
    /// The document is updated by its id, unless it is audited.
    Update,
    /// A person decides.
    Park,
}

/// What one version of a flow says about loading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The connection its documents go to.
    pub connection: String,
    /// Documents per call, at most.
    pub documents: usize,
    /// Bytes per call, at most; a larger document goes alone.
    pub max_bytes: usize,
    /// What a change of a loaded document means.
    pub on_change: OnChange,
    /// How far a document must get.
    pub wanted: Reached,
    /// The save submits and audits as well.
    pub together: bool,
    /// The reply to a save tells what key the document has: the key is the number of the form.
    pub told_by_save: bool,
    /// How often its calls are made again.
    pub retry: Retry,
}

/// How often a call is made again, and after which waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Retries of a connection that cannot be made, before the breaker opens.
    pub connect: u32,
    /// Attempts that end without proof of anything, before the breaker opens.
    pub attempts: u32,
    /// Waits before the first, second … probe or retry; the last one from there on.
    pub waits: Vec<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { connect: 3, attempts: 5, waits: [1, 2, 4, 8, 8].map(Duration::from_secs).to_vec() }
    }
}

impl Rules {
    /// How far a document is that a save reports as done.
    pub fn reached_by_save(&self) -> Reached {
        if self.together { Reached::Audited } else { Reached::Saved }
    }
}

/// The numbers of the protocol. Every one of them is a setting; the defaults are those of production.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// From noting the time before the intent's commit to the first byte of the save, at most.
    pub send_deadline: Duration,
    /// A request reaches the target within this, or never.
    pub net: Duration,
    /// The target finishes a request within this.
    pub exec_max: Duration,
    /// Connecting may delay the first byte by this.
    pub connect_allowance: Duration,
    /// The share by which a wait may be longer or shorter.
    pub jitter: f64,
    /// Failures within `breaker_window` that open the breaker.
    pub breaker_failures: usize,
    /// See `breaker_failures`.
    pub breaker_window: Duration,
    /// First wait of an open breaker; doubled up to `breaker_wait_max`.
    pub breaker_wait: Duration,
    /// See `breaker_wait`.
    pub breaker_wait_max: Duration,
    /// Successes that close it again.
    pub breaker_successes: u32,
    /// Waits after the first, second … refused login; the last of them after every further one.
    pub login_waits: Vec<Duration>,
    /// Wait after a throttled call that names none.
    pub throttle_wait: Duration,
    /// How long a batch may wait for company.
    pub linger: Duration,
    /// Calls to one connection at the same time.
    pub calls: usize,
    /// Keys of one probe, at most.
    pub probe_keys: usize,
    /// Records of one partition in hand, at most.
    pub in_hand: usize,
    /// Bytes of one partition in hand, at most.
    pub in_hand_bytes: usize,
    /// Bytes in hand over all partitions, at most.
    pub total_bytes: usize,
    /// A document created within this and not in the ledger was not loaded by us.
    pub horizon: Duration,
    /// Every document is looked up before its first save.
    pub verify_first: bool,
    /// How far our clock and the target's may be apart.
    pub clock_allowance: Duration,
    /// Records of a flow version that must have ended before the flow breaker judges.
    pub flow_breaker_least: usize,
    /// Records it looks back on.
    pub flow_breaker_window: usize,
    /// How long a flow waits once its breaker opened.
    pub flow_breaker_pause: Duration,
    /// Bytes of a letter's body, at most; a larger one is replaced by the place of its record.
    pub letter_bytes: usize,
    /// When a timed fault is due again, by its failures; the last one repeats.
    pub retry_after: Vec<Duration>,
    /// A lone document whose saves keep failing while probes work is taken for the culprit after this.
    pub poison_patience: Duration,
    /// Offsets that moved without anything to write are committed at this interval.
    pub offsets_every: Duration,
    /// The rule that is switched off.
    #[cfg(feature = "ablation")]
    pub off: Option<super::ablation::Rule>,
}

impl Default for Numbers {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            send_deadline: s(5),
            net: s(5),
            exec_max: s(110),
            connect_allowance: s(10),
            jitter: 0.2,
            breaker_failures: 5,
            breaker_window: s(30),
            breaker_wait: s(5),
            breaker_wait_max: s(60),
            breaker_successes: 3,
            login_waits: vec![s(60), s(300)],
            throttle_wait: s(60),
            linger: Duration::from_millis(100),
            calls: 1,
            probe_keys: 100,
            in_hand: 1_000,
            in_hand_bytes: 8 << 20,
            total_bytes: 64 << 20,
            horizon: s(29 * 86_400),
            verify_first: false,
            clock_allowance: s(600),
            flow_breaker_least: 20,
            flow_breaker_window: 40,
            flow_breaker_pause: s(600),
            letter_bytes: 15 << 20,
            retry_after: vec![s(60), s(600), s(3600)],
            poison_patience: s(600),
            offsets_every: s(1),
            #[cfg(feature = "ablation")]
            off: None,
        }
    }
}

impl Numbers {
    /// How long after a send an absent document is sure to stay absent.
    pub fn settle(&self) -> Duration {
        self.net + self.exec_max
    }

    /// When a timed fault is due again that has failed `failures` times, milliseconds from now.
    pub fn due_after(&self, failures: u32) -> i64 {
        let last = self.retry_after.len().saturating_sub(1);
        let at = usize::try_from(failures.saturating_sub(1)).unwrap_or(last).min(last);
        let wait = self.retry_after.get(at).copied().unwrap_or(Duration::from_secs(60));
        i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
    }

    /// The wait of `retry` before try `count` (from 0), `dice` in 0..1 spreading it.
    pub fn wait(&self, retry: &Retry, count: u32, dice: f64) -> Duration {
        let last = retry.waits.len().saturating_sub(1);
        let at = usize::try_from(count).unwrap_or(last).min(last);
        let base = retry.waits.get(at).copied().unwrap_or(Duration::from_secs(1));
        base.mul_f64((1.0 + self.jitter * (2.0 * dice - 1.0)).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_follow_their_list_and_are_spread_by_a_fifth() {
        let (numbers, retry) = (Numbers::default(), Retry::default());
        let waits = |dice: f64| [0, 1, 2, 3, 4, 5, 900].map(|count| numbers.wait(&retry, count, dice).as_millis());
        assert_eq!(waits(0.5), [1_000, 2_000, 4_000, 8_000, 8_000, 8_000, 8_000]);
        assert_eq!(waits(0.0), [800, 1_600, 3_200, 6_400, 6_400, 6_400, 6_400]);
        assert_eq!(waits(1.0), [1_200, 2_400, 4_800, 9_600, 9_600, 9_600, 9_600]);
        assert_eq!(numbers.wait(&Retry { waits: Vec::new(), ..retry }, 0, 0.5), Duration::from_secs(1));
    }

    #[test]
    fn a_timed_fault_is_due_after_a_minute_then_ten_then_every_hour() {
        let due = [0, 1, 2, 3, 4, 900].map(|failures| Numbers::default().due_after(failures));
        assert_eq!(due, [60_000, 60_000, 600_000, 3_600_000, 3_600_000, 3_600_000]);
    }

    #[test]
    fn what_is_absent_stays_absent_after_the_way_and_the_work() {
        assert_eq!(Numbers::default().settle(), Duration::from_secs(5 + 110));
    }
}
