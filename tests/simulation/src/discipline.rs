//! What a loader promises the target, held against its own account: how many calls there are at once, how large they
//! are, and that it keeps still when it is told to.

use std::collections::BTreeMap;
use std::time::Duration;

use loader::core::event::{AdvanceReply, CallId, Event, ProbeReply, SaveReply, Trouble};

use crate::message::Save;
use crate::world::World;

/// The calls of one session.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Those without a reply, and the partitions their documents lie in.
    unanswered: BTreeMap<CallId, Vec<i32>>,
    /// Nothing new is asked for before that.
    still_until: Duration,
}

impl Account {
    /// Whether a call waits for its reply that is about one of `partitions`; about any at all when the list is empty.
    pub(crate) fn waits_for(&self, partitions: &[i32]) -> bool {
        let of_them = |about: &Vec<i32>| about.iter().any(|partition| partitions.contains(partition));
        if partitions.is_empty() { !self.unanswered.is_empty() } else { self.unanswered.values().any(of_them) }
    }

    /// A partition is gone: whoever owns it now waits for what was under way.
    pub(crate) fn forget(&mut self, partition: i32) {
        self.unanswered.values_mut().for_each(|about| about.retain(|known| *known != partition));
    }

    /// A reply is heard.
    pub(crate) fn hear(&mut self, event: &Event, now: Duration, throttle_wait: Duration) {
        let (call, throttled, login) = match event {
            Event::Saved { call, reply } => {
                let throttled = if let SaveReply::Throttled(wait) = reply { Some(*wait) } else { None };
                (call, throttled, matches!(reply, SaveReply::NotSent(Trouble::Login(_))))
            }
            Event::Probed { call, reply } => {
                let throttled = if let ProbeReply::Throttled(wait) = reply { Some(*wait) } else { None };
                (call, throttled, matches!(reply, ProbeReply::Failed(Trouble::Login(_))))
            }
            Event::Advanced { call, reply } => {
                let throttled = if let AdvanceReply::Throttled(wait) = reply { Some(*wait) } else { None };
                (call, throttled, matches!(reply, AdvanceReply::Failed(Trouble::Login(_))))
            }
            _ => return,
        };
        self.unanswered.remove(call);
        if let Some(wait) = throttled {
            self.still_until = self.still_until.max(now + wait.unwrap_or(throttle_wait));
        } else if login {
            self.still_until = self.still_until.max(now + Duration::from_secs(60));
        } else {
            // It answers, whatever it said before.
            self.still_until = Duration::ZERO;
        }
    }
}

impl World {
    /// A call is made.
    pub(crate) fn begin_call(&mut self, node: usize, call: CallId, keys: &[&[u8]]) {
        let partitions = keys.iter().map(|key| self.partition_of(key)).collect();
        let most = self.setting.numbers.calls;
        let account = &mut self.loader(node).account;
        account.unanswered.insert(call, partitions);
        let open = account.unanswered.len();
        if open > most {
            self.violate(format!("I13: node {node} makes {open} calls at once, {most} are allowed"));
        }
    }

    /// A permit is asked for.
    pub(crate) fn check_stillness(&mut self, node: usize) {
        let (until, now) = (self.loader(node).account.still_until, self.now);
        if now < until {
            self.violate(format!("node {node} asks for a call although it was to keep still until {until:?}"));
        }
    }

    /// The size of a save.
    pub(crate) fn check_size(&mut self, save: &Save) {
        let (most, most_bytes) = (self.setting.rules.documents, self.setting.rules.max_bytes);
        let bytes: usize = save.sent.iter().map(|sent| sent.value.len()).sum();
        if save.sent.is_empty() || save.sent.len() > most || (save.sent.len() > 1 && bytes > most_bytes) {
            self.violate(format!("a save of {} documents with {bytes} bytes is made", save.sent.len()));
        }
    }
}
