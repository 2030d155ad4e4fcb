//! Waiting at the start for what others have to bring first.

use document::Fault;

use crate::{Backoff, Shutdown, health::Readiness};

/// What is waited for, and who hears of it.
#[derive(Debug)]
pub struct Patience<'a> {
    /// The condition of readiness that does not hold meanwhile.
    pub condition: &'static str,
    /// Where that is said.
    pub readiness: &'a Readiness,
    /// Ends the wait.
    pub shutdown: &'a Shutdown,
    /// Spreads the waits.
    pub random: fn() -> u64,
}

impl Patience<'_> {
    /// Makes attempts, after the waits of the house, until one succeeds; `None` when asked to stop before. `passing`
    /// gives the fault of an error that waiting may make good.
    ///
    /// # Errors
    /// The first error that is none of these.
    pub async fn until<T, E>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, E>,
        passing: impl Fn(&E) -> Option<Fault>,
    ) -> Result<Option<T>, E> {
        let mut failures = 0;
        loop {
            let outcome = tokio::select! {
                () = self.shutdown.requested() => return Ok(None),
                outcome = attempt() => outcome,
            };
            let error = match outcome {
                Ok(done) => return Ok(Some(done)),
                Err(error) => error,
            };
            let Some(fault) = passing(&error) else { return Err(error) };
            failures += 1;
            tracing::warn!(code = %fault.code, place = %fault.place, failures, "waiting for {}", self.condition);
            self.readiness.not_ready(self.condition, fault.code.to_string());
            tokio::select! {
                () = self.shutdown.requested() => return Ok(None),
                () = tokio::time::sleep(Backoff::HOUSE.wait(failures, None, (self.random)())) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use document::Code;

    use super::*;

    fn passing(error: &&str) -> Option<Fault> {
        (*error == "away").then(|| Fault::new(Code::KafkaUnreachable, "away"))
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_go_on_until_one_succeeds_and_the_condition_says_why_not() {
        let (readiness, shutdown) = (Readiness::new(["flows"]), Shutdown::new());
        readiness.ready("flows");
        let patience =
            Patience { condition: "flows", readiness: &readiness, shutdown: &shutdown, random: || u64::MAX / 2 };
        let mut answers = vec![Ok(7), Err("away"), Err("away")];
        let begun = tokio::time::Instant::now();
        let outcome = patience.until(async || answers.pop().expect("an answer is left"), passing).await;
        assert_eq!(outcome, Ok(Some(7)));
        assert!(!readiness.is_ready());
        assert!((2.4..=3.6).contains(&begun.elapsed().as_secs_f64()), "one second and two, spread");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_is_an_error_at_once_and_the_wish_to_stop_ends_the_wait() {
        let (readiness, shutdown) = (Readiness::new(["flows"]), Shutdown::new());
        let patience =
            Patience { condition: "flows", readiness: &readiness, shutdown: &shutdown, random: || u64::MAX / 2 };
        assert_eq!(patience.until(async || Err::<(), _>("wrong"), passing).await, Err("wrong"));
        let stop = async {
            tokio::time::sleep(std::time::Duration::from_secs(60)).await;
            shutdown.request();
        };
        let (outcome, ()) = tokio::join!(patience.until(async || Err::<(), _>("away"), passing), stop);
        assert_eq!(outcome, Ok(None));
    }
}
