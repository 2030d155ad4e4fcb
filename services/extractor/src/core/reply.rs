//! What an answer of the source means: for its breaker, for the run that asked, and in a word for whoever watches.

use std::time::Duration;

use coordination::Breaker;
use document::{Code, Fault};
use kingdee::Class;

/// How long a source is left alone that is busy and does not say for how long.
const BUSY: Duration = Duration::from_secs(60);
/// The client itself never tries refused credentials again: a person has to change them.
const REFUSED: Duration = Duration::from_secs(300);

/// Why a page was not read, and what that means for the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceError {
    /// Trouble on the way or in the source: the same page again, after a while.
    Retry {
        /// The class, for metrics: `connect`, `trouble`, `throttled`, `credentials`.
        class: &'static str,
        /// How long the source asked to wait.
        after: Option<Duration>,
        /// What happened.
        fault: Fault,
    },
    /// The answer cannot be used: the run fails and W stays.
    Refused(Fault),
    /// The query itself is wrong: the flow stops until somebody changes it.
    Stop(Fault),
}

impl SourceError {
    /// What an error of the client means for the run.
    pub fn of(class: Class, fault: Fault) -> Self {
        let retry = |after, fault| SourceError::Retry { class: word(class), after, fault };
        match class {
            Class::NotSent | Class::Trouble => retry(None, fault),
            Class::Throttled(after) => retry(Some(after.unwrap_or(BUSY)), fault),
            Class::Credentials => retry(Some(REFUSED), fault),
            Class::Final => match fault.code {
                Code::SourceSchema | Code::UnknownForm | Code::QueryRefused | Code::TargetField => {
                    SourceError::Stop(fault)
                }
                _ => SourceError::Refused(fault),
            },
        }
    }

    /// What happened.
    pub fn fault(&self) -> &Fault {
        match self {
            SourceError::Retry { fault, .. } | SourceError::Refused(fault) | SourceError::Stop(fault) => fault,
        }
    }
}

/// The word in metrics.
pub fn word(class: Class) -> &'static str {
    match class {
        Class::NotSent => "connect",
        Class::Throttled(_) => "throttled",
        Class::Trouble => "trouble",
        Class::Credentials => "credentials",
        Class::Final => "refused",
    }
}

/// Tells the breaker how a call ended at `now`; `None`: it was answered.
pub fn tell(breaker: &mut Breaker, error: Option<Class>, now: Duration) {
    match error {
        // Whatever the source says of the query, it is there.
        None | Some(Class::Final) => breaker.succeeded(now),
        Some(Class::NotSent | Class::Throttled(_) | Class::Trouble) => breaker.failed(now),
        Some(Class::Credentials) => breaker.trip(now),
    }
}

#[cfg(test)]
mod tests {
    use coordination::{BreakerSettings, Gate};

    use super::*;

    /// Whether the breaker is open after so many calls that ended so, one a second.
    fn opens(error: Option<Class>, calls: u64) -> bool {
        let mut breaker = Breaker::new(BreakerSettings::default());
        (1..=calls).for_each(|second| tell(&mut breaker, error, Duration::from_secs(second)));
        breaker.is_open()
    }

    #[test]
    fn trouble_opens_the_breaker_at_its_fifth_time_and_refused_credentials_at_once() {
        for class in [Class::NotSent, Class::Throttled(None), Class::Trouble] {
            assert_eq!((opens(Some(class), 4), opens(Some(class), 5)), (false, true), "{class:?}");
        }
        assert!(opens(Some(Class::Credentials), 1));
    }

    #[test]
    fn a_source_that_answers_is_there_even_if_it_refuses_the_query() {
        for answer in [None, Some(Class::Final)] {
            assert!(!opens(answer, 100));
            let mut breaker = Breaker::new(BreakerSettings::default());
            breaker.trip(Duration::ZERO);
            for second in [10, 20, 30] {
                assert_eq!(breaker.ask(Duration::from_secs(second)), Gate::Probe);
                tell(&mut breaker, answer, Duration::from_secs(second));
            }
            assert!(!breaker.is_open());
        }
    }

    #[test]
    fn what_passes_by_itself_is_tried_again_and_waits_as_long_as_the_source_asks() {
        let fault = Fault::new(Code::ErpUnreachable, "down").of_record("Query");
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (class, word, after) in [
            (Class::NotSent, "connect", None),
            (Class::Trouble, "trouble", None),
            (Class::Throttled(seconds(7)), "throttled", seconds(7)),
            (Class::Throttled(None), "throttled", seconds(60)),
            (Class::Credentials, "credentials", seconds(300)),
        ] {
            let error = SourceError::of(class, fault.clone());
            assert_eq!(error, SourceError::Retry { class: word, after, fault: fault.clone() });
            assert_eq!(error.fault(), &fault);
        }
    }

    #[test]
    fn a_query_that_names_what_is_not_there_stops_its_flow_and_any_other_refusal_fails_the_run() {
        assert_eq!(word(Class::Final), "refused");
        for code in [Code::SourceSchema, Code::UnknownForm, Code::QueryRefused, Code::TargetField] {
            let fault = Fault::new(code, "no such field").of_record("Query");
            assert_eq!(SourceError::of(Class::Final, fault.clone()), SourceError::Stop(fault));
        }
        let fault = Fault::new(Code::SourcePage, "no rows").of_record("Query");
        let error = SourceError::of(Class::Final, fault.clone());
        assert_eq!(error.fault(), &fault);
        assert_eq!(error, SourceError::Refused(fault));
    }
}
