//! `starctl audit`.

use std::time::Duration;

use serde_json::{Map, Value};
use starbridge_proto::v1;

use super::page::{self, Part};
use super::{Session, view};
use crate::cli::access::AuditCommand;
use crate::exit;
use crate::message;
use crate::output::failure::Failure;

/// How long reading the whole trail may take, at least.
const WHOLE_TRAIL: Duration = Duration::from_mins(10);

pub(super) async fn run(command: &AuditCommand, session: &Session) -> Result<u8, Failure> {
    match command {
        AuditCommand::List { page, actor, object } => {
            let part = page::read(page, |page_size, page_token| {
                let request = v1::ListAuditEntriesRequest {
                    page_size,
                    page_token,
                    actor: actor.clone().unwrap_or_default(),
                    object_prefix: object.clone().unwrap_or_default(),
                };
                async move {
                    let answer = session.client.ask(request).await?;
                    Ok((answer.entries, answer.next_page_token))
                }
            })
            .await?;
            let mut items: Vec<Value> = part.items.iter().map(|entry| message::value("AuditEntry", entry)).collect();
            page::sort(&view::AUDIT, &mut items, page.sort_by.as_deref())?;
            page::show(&session.output, &view::AUDIT, &Part { items, next: part.next }, Map::new())?;
            Ok(exit::DONE)
        }
        AuditCommand::Verify => {
            let proof =
                session.client.ask_within(session.settings.timeout.max(WHOLE_TRAIL), v1::VerifyAuditRequest {}).await?;
            session.output.one(&view::AUDIT_PROOF, &message::value("VerifyAuditResponse", &proof))?;
            Ok(if proof.intact { exit::DONE } else { exit::INVALID })
        }
    }
}
