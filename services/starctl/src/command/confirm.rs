//! Asking before a change that cannot simply be taken back.

use std::io::{self, BufRead, Write};

use document::{Code, Fault};

use super::{Session, rerun};
use crate::cli::change::ChangeArgs;
use crate::exit;
use crate::output::failure::Failure;

impl Session {
    /// Whether the user has to be asked. Where that is needed but nobody is there to answer, the command ends with the
    /// line that would do it.
    pub(crate) fn must_ask(&self, change: &ChangeArgs) -> Result<bool, Failure> {
        if change.yes || change.dry_run {
            return Ok(false);
        }
        if self.output.can_ask() {
            return Ok(true);
        }
        let detail = self.output.pick("there is nobody to ask here", "此处无法询问确认");
        let hint = format!("{} {}", self.output.pick("run:", "运行："), rerun(&["--yes"]));
        Err(Failure::of(Fault::new(Code::CliConfirm, detail).hint(hint), exit::USAGE))
    }

    /// The same for what is asked about in production only.
    pub(crate) fn must_ask_in_production(&self, change: &ChangeArgs) -> Result<bool, Failure> {
        if self.settings.context.production { self.must_ask(change) } else { Ok(false) }
    }

    /// Asks about one thing, in production only.
    pub(crate) fn confirm_in_production(&self, change: &ChangeArgs, what: &str, name: &str) -> Result<(), Failure> {
        if self.must_ask_in_production(change)? {
            self.confirm(what, &[name.to_owned()])?;
        }
        Ok(())
    }

    /// Asks; in production for the names of the flows concerned, or of what else is changed; elsewhere for a yes.
    pub(crate) fn confirm(&self, what: &str, names: &[String]) -> Result<(), Failure> {
        let output = &self.output;
        let wanted = names.join(",");
        let typed = self.settings.context.production && !names.is_empty();
        let question = match typed {
            true => output.pick(
                format!("{what} This is production. Type {wanted} to go on: "),
                format!("{what}这是生产环境。输入 {wanted} 以继续："),
            ),
            false => output.pick(format!("{what} Go on? [y/N] "), format!("{what}继续吗？[y/N] ")),
        };
        let mut answer = String::new();
        write!(io::stderr(), "{question}")?;
        io::stdin().lock().read_line(&mut answer)?;
        let answer = answer.trim();
        let agreed =
            if typed { answer == wanted } else { matches!(answer.to_lowercase().as_str(), "y" | "yes" | "是") };
        if agreed {
            return Ok(());
        }
        let detail = output.pick("the answer was no", "未确认");
        Err(Failure::of(Fault::new(Code::CliConfirm, detail), exit::USAGE))
    }
}
