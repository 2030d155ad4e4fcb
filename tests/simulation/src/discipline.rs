//! What a loader promises the target, held against its own account: how many calls there are at once, how large they
//! are, that it keeps still when it is told to, and while a breaker is open.

use std::collections::BTreeMap;
use std::time::Duration;

use loader::core::Numbers;
use loader::core::event::{Action, AdvanceReply, CallId, Event, Observation, ProbeReply, SaveReply, Trouble, Unknown};

use crate::message::Save;
use crate::world::World;

/// The calls of one session.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Those without a reply, and the partitions their documents lie in.
    unanswered: BTreeMap<CallId, Vec<i32>>,
    /// Nothing new is asked for before that.
    still_until: Duration,
    /// What was told of the breaker of each connection: 0 closed, 1 half open, 2 open.
    told: BTreeMap<String, u8>,
    /// The wait of a breaker that is not closed, at least.
    open_wait: Duration,
    /// While it is open nothing is asked for before that.
    shut_until: Duration,
    /// A login was refused since the target answered last: then other waits hold.
    locked_out: bool,
}

/// What a reply says of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// It answers.
    Answer,
    /// It does not, or not as it should.
    Failure,
    /// It does not let us in.
    Login,
    /// Neither.
    None,
}

fn sign_of(trouble: &Trouble) -> Sign {
    match trouble {
        Trouble::Late => Sign::None,
        Trouble::Login(_) => Sign::Login,
        Trouble::Unreachable(_) | Trouble::Refused(_) => Sign::Failure,
    }
}

impl Account {
    /// The account of a session whose process knows of these breakers from an earlier one.
    pub(crate) fn begin<'a>(breakers: impl Iterator<Item = (&'a str, u8)>) -> Self {
        let told: BTreeMap<String, u8> = breakers.map(|(name, level)| (name.to_owned(), level)).collect();
        // Why a breaker is open that an earlier session opened is not known here.
        let locked_out = told.values().any(|level| *level == 2);
        Self { told, locked_out, ..Self::default() }
    }

    /// The first wait of an open breaker is the shortest, and each failure doubles it up to the longest.
    fn shut(&mut self, now: Duration, numbers: &Numbers, again: bool) {
        let longer = if again { self.open_wait * 2 } else { Duration::ZERO };
        self.open_wait = longer.clamp(numbers.breaker_wait, numbers.breaker_wait_max);
        self.shut_until = now + self.open_wait;
    }

    /// It is told that a breaker moved.
    fn tell(&mut self, target: &str, level: u8, now: Duration, numbers: &Numbers) {
        let before = self.told.insert(target.to_owned(), level).unwrap_or(0);
        if level == 2 && !self.locked_out {
            self.shut(now, numbers, before > 0);
        }
    }

    /// What a reply says of the target.
    fn notice(&mut self, sign: Sign, now: Duration, numbers: &Numbers) {
        match sign {
            Sign::Answer => (self.shut_until, self.locked_out) = (Duration::ZERO, false),
            Sign::Login => self.locked_out = true,
            // A trial that fails makes the wait longer; that it is still open is no news.
            Sign::Failure if !self.locked_out && self.told.values().any(|level| *level == 2) => {
                self.shut(now, numbers, true);
            }
            Sign::Failure | Sign::None => {}
        }
    }

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
    pub(crate) fn hear(&mut self, event: &Event, now: Duration, numbers: &Numbers) {
        let (call, throttled, sign) = match event {
            Event::Saved { call, reply } => match reply {
                SaveReply::Throttled(wait) => (call, Some(*wait), Sign::None),
                SaveReply::NotSent(trouble) => (call, None, sign_of(trouble)),
                SaveReply::Done(_) => (call, None, Sign::Answer),
                SaveReply::UnknownClosed(Unknown::Other(_)) | SaveReply::UnknownOpen(Unknown::Other(_)) => {
                    (call, None, Sign::Failure)
                }
                SaveReply::UnknownClosed(_) | SaveReply::UnknownOpen(_) => (call, None, Sign::None),
            },
            Event::Probed { call, reply } => match reply {
                ProbeReply::Throttled(wait) => (call, Some(*wait), Sign::None),
                ProbeReply::Failed(trouble) => (call, None, sign_of(trouble)),
                ProbeReply::Found(_) => (call, None, Sign::Answer),
            },
            Event::Advanced { call, reply } => match reply {
                AdvanceReply::Throttled(wait) => (call, Some(*wait), Sign::None),
                AdvanceReply::Failed(trouble) => (call, None, sign_of(trouble)),
                AdvanceReply::Done(_) => (call, None, Sign::Answer),
            },
            _ => return,
        };
        self.unanswered.remove(call);
        self.notice(sign, now, numbers);
        if let Some(wait) = throttled {
            self.still_until = self.still_until.max(now + wait.unwrap_or(numbers.throttle_wait));
        } else if sign == Sign::Login {
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
        let account = &self.loader(node).account;
        let (until, now) = (account.still_until.max(account.shut_until), self.now);
        if now < until {
            self.violate(format!("node {node} asks for a call although it was to keep still until {until:?}"));
        }
    }

    /// What is shown of breakers is what was told of them, when it happened; and they are those of connections.
    pub(crate) fn check_breakers(&mut self, node: usize, levels: &[(String, u8)], actions: &[Action]) {
        let (now, mut account) = (self.now, std::mem::take(&mut self.loader(node).account));
        for action in actions {
            if let Action::Observe(Observation::Breaker { target, state, .. }) = action {
                account.tell(target, *state, now, &self.setting.numbers);
            }
        }
        let told = |name: &String| account.told.get(name).copied().unwrap_or(0);
        let untold = levels.iter().find(|(name, level)| told(name) != *level);
        let words = untold.map(|(name, level)| {
            format!("node {node} shows level {level} of the breaker of {name:?} and told {}", told(name))
        });
        let unknown = levels.iter().find(|(name, _)| *name != self.setting.rules.connection);
        let words = words.or_else(|| unknown.map(|(name, _)| format!("node {node} shows a breaker of {name:?}")));
        self.loader(node).account = account;
        if let Some(words) = words {
            self.violate(words);
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
