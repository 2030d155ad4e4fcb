//! `starctl audit`.

mod heads;

use std::path::Path;
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
        AuditCommand::Verify { key, kept } => verify(session, key.as_deref(), kept.as_deref()).await,
        AuditCommand::GetKey => {
            let answer = session.client.ask(v1::GetAuditKeysRequest {}).await?;
            let keys: Vec<Value> = answer.keys.iter().map(|key| message::value("AuditKey", key)).collect();
            session.output.list(&view::AUDIT_KEY, &keys, &Map::new()).map(|()| exit::DONE)
        }
    }
}

async fn verify(session: &Session, key: Option<&Path>, kept: Option<&Path>) -> Result<u8, Failure> {
    let keys = key.map(heads::keys).transpose()?;
    let mut known = kept.map(heads::kept).transpose()?.unwrap_or_default();
    let request = v1::VerifyAuditRequest { kept: known.clone() };
    let proof = session.client.ask_within(session.settings.timeout.max(WHOLE_TRAIL), request).await?;
    session.output.one(&view::AUDIT_PROOF, &message::value("VerifyAuditResponse", &proof))?;
    if !proof.intact {
        return Ok(exit::INVALID);
    }
    if let Some(keys) = keys {
        let output = &session.output;
        let signed = proof.signed_head.as_ref().ok_or_else(|| {
            heads::tampered(0, output.pick("no head of the trail was signed", "审计链尚无签名的链尾"))
        })?;
        if !heads::is_signed(signed, &keys) {
            let why = output.pick("its head is not signed by a key of the file", "链尾不是由文件中的密钥签名");
            return Err(heads::tampered(signed.seq, why));
        }
    }
    if let (Some(path), Some(signed)) = (kept, proof.signed_head)
        && !known.contains(&signed)
    {
        known.push(signed);
        heads::keep(path, &known)?;
    }
    Ok(exit::DONE)
}
