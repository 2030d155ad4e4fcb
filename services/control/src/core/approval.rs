//! A plan that another person has to agree to before anything of it is published.

use document::{Code, DeadLetterId, Fault};
use serde::{Deserialize, Serialize};

use super::job::{Item, Job, Options, Replay, Status};

/// What a plan waits for, and what it got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The hash of the plan: its letters in order, the edits they had, and how it is done.
    pub digest: String,
    /// Until when it may be approved, unix milliseconds.
    pub until: i64,
    /// Who approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When, unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<i64>,
}

/// The hash of a plan: 64 hex digits.
pub fn digest(options: &Options, items: &[Item]) -> String {
    let letters: Vec<(&DeadLetterId, u32)> = items.iter().map(|item| (&item.id, item.edit)).collect();
    let plan = serde_json::to_vec(&(options, letters)).expect("plain structures of text and numbers");
    blake3::hash(&plan).to_hex().to_string()
}

impl Job {
    /// Whether it is a plan that nobody has approved in time.
    pub fn is_expired(&self, now: i64) -> bool {
        self.status == Status::AwaitsApproval && self.approval.as_ref().is_none_or(|approval| now >= approval.until)
    }
}

impl Replay {
    /// Lets a plan run that `by` has seen under `digest`. `edit` tells the revision of a letter's payload now.
    ///
    /// # Errors
    /// [`Code::ReplayState`] where no plan waits or its time is over, [`Code::ApprovalOwn`] where `by` made the plan,
    /// [`Code::PlanChanged`] where another plan was seen, or a letter was edited since; the faults of `edit`.
    pub fn approve(
        &mut self,
        by: &str,
        digest: &str,
        now: i64,
        edit: impl Fn(&DeadLetterId) -> Result<u32, Fault>,
    ) -> Result<(), Fault> {
        let id = self.job.id.clone();
        let refused = |code, detail: &str| Err(Fault::new(code, detail).of_record(id.clone()));
        let expired = self.job.is_expired(now);
        let Some(approval) = self.job.approval.as_mut().filter(|_| self.job.status == Status::AwaitsApproval) else {
            return refused(Code::ReplayState, "the replay waits for nobody's approval");
        };
        if expired {
            return refused(Code::ReplayState, "the plan was not approved in time; plan it again");
        }
        if by == self.job.by {
            return refused(Code::ApprovalOwn, "who made the plan cannot approve it");
        }
        if digest != approval.digest {
            let detail = format!("the plan is {}", approval.digest);
            return Err(Fault::new(Code::PlanChanged, detail).at_path("$.plan_digest").of_record(id));
        }
        for item in &self.items {
            if edit(&item.id)? != item.edit {
                let detail = "the letter was edited after the replay was planned";
                return Err(Fault::new(Code::PlanChanged, detail).of_record(item.id.0.clone()));
            }
        }
        approval.by = Some(by.to_owned());
        approval.at = Some(now);
        self.job.status = Status::Running;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{items, job};
    use super::*;

    fn planned() -> Replay {
        let mut job = job(20.0);
        let items = items(&["A", "B"]);
        job.status = Status::AwaitsApproval;
        job.approval = Some(Approval { digest: digest(&job.options, &items), until: 1_000, by: None, at: None });
        Replay::new(job, items)
    }

    fn place(fault: &Fault) -> (Code, Option<&str>, Option<&str>) {
        (fault.code, fault.place.path.as_deref(), fault.place.record.as_deref())
    }

    #[test]
    fn nothing_of_a_plan_is_published_before_somebody_else_approves_what_they_saw() {
        let mut replay = planned();
        let seen = replay.job.approval.clone().expect("a plan").digest;
        assert!(replay.due(0, 9).is_empty() && replay.due(60_000, 9).is_empty());
        let unedited = |_: &DeadLetterId| Ok(0);
        let own = replay.approve("li", &seen, 10, unedited).expect_err("their own");
        assert_eq!(place(&own), (Code::ApprovalOwn, None, Some("j")));
        let other = replay.approve("wang", "00", 10, unedited).expect_err("another plan");
        assert_eq!(place(&other), (Code::PlanChanged, Some("$.plan_digest"), Some("j")));
        let edited = replay.approve("wang", &seen, 10, |_| Ok(1)).expect_err("edited since");
        assert_eq!(place(&edited), (Code::PlanChanged, None, Some(replay.items[0].id.0.as_str())));
        let late = replay.approve("wang", &seen, 1_000, unedited).expect_err("late");
        assert_eq!((late.code, replay.job.is_expired(1_000)), (Code::ReplayState, true));
        assert_eq!(replay, {
            let mut same = planned();
            same.due(0, 9);
            same.due(60_000, 9);
            same
        });

        assert_eq!(replay.approve("wang", &seen, 999, unedited), Ok(()));
        let approval = replay.job.approval.clone().expect("a plan");
        assert_eq!(
            (replay.job.status, approval.by.as_deref(), approval.at),
            (Status::Running, Some("wang"), Some(999))
        );
        assert_eq!((replay.job.is_expired(2_000), replay.due(120_000, 9).len()), (false, 2));
        let twice = replay.approve("wang", &seen, 999, unedited).expect_err("it runs");
        assert_eq!(place(&twice), (Code::ReplayState, None, Some("j")));
    }

    #[test]
    fn another_letter_another_edit_and_another_manner_are_another_plan() {
        let (options, items_) = (job(20.0).options, items(&["A", "B"]));
        let plan = digest(&options, &items_);
        assert_eq!((plan.len(), digest(&options, &items_) == plan), (64, true));
        let mut edited = items_.clone();
        edited[1].edit = 1;
        let mut faster = options.clone();
        faster.rate = 21.0;
        for other in [digest(&options, &items_[..1]), digest(&options, &edited), digest(&faster, &items_)] {
            assert_ne!(other, plan);
        }
    }
}
