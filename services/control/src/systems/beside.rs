//! A document of ours beside the one of the same key in a system.

use document::Fault;
use serde_json::Value;

use super::System;
use super::look::{Calls, Head};
use super::side::{Question, Sides};

/// What a system has under a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Beside {
    /// Every document of the key.
    pub heads: Vec<Head>,
    /// Both sides, where there is exactly one.
    pub sides: Option<Sides>,
}

impl System {
    /// Looks for the documents whose field `field` of `form` is `key`, and compares the only one with `ours`. `now` in
    /// unix milliseconds. Takes three calls at most.
    ///
    /// # Errors
    /// The fault of a call: nothing is known then.
    pub async fn beside(
        &self,
        form: &str,
        (field, key): (&str, &str),
        ours: &Value,
        calls: &mut Calls,
        now: i64,
    ) -> Result<Beside, Fault> {
        let form = self.form(form, calls, now).await?;
        let heads = self.heads(&form, field, key, calls).await?;
        let sides = match heads.as_slice() {
            [only] => {
                let question = Question::about(ours, &form);
                let rows = self.lines(&form, &only.id, &question.columns, question.line_id.as_deref(), calls).await?;
                Some(question.sides(ours, &rows))
            }
            _ => None,
        };
        Ok(Beside { heads, sides })
    }
}
