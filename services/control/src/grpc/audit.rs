//! `AuditService`.

use std::sync::Arc;

use document::{Code, Fault, topic};
use queue::Next;
use starbridge_proto::v1;
use starbridge_proto::v1::audit_service_server::AuditService;
use tonic::{Request, Response, Status};

use super::status::status;
use super::{Shared, page_size, show};
use crate::access::Scope;
use crate::audit::{Entry, Head, Verifier};

const SERVICE: &str = "starbridge.control.v1.AuditService";

/// The service.
#[derive(Debug, Clone)]
pub struct Audits(pub Arc<Shared>);

impl Audits {
    /// Every record of the topic, in order.
    async fn records(&self) -> Result<Vec<Vec<u8>>, Status> {
        let all = self.0.peek.stretch(Next::at(topic::AUDIT, 0, 0), usize::MAX, |_| true).await;
        let all = all.map_err(|error| status(&error.fault()))?;
        Ok(all.into_iter().map(|record| record.record.value.unwrap_or_default()).collect())
    }
}

#[tonic::async_trait]
impl AuditService for Audits {
    async fn list_audit_entries(
        &self,
        request: Request<v1::ListAuditEntriesRequest>,
    ) -> Result<Response<v1::ListAuditEntriesResponse>, Status> {
        let caller = self.0.caller(&format!("{SERVICE}/ListAuditEntries"), &request)?;
        self.0.permit(&caller, &[Scope::EVERYWHERE], false, "audit").await?;
        let request = request.into_inner();
        let size = page_size(request.page_size)?;
        let below = match request.page_token.as_str() {
            "" => u64::MAX,
            token => token
                .parse()
                .map_err(|_| status(&Fault::new(Code::PageToken, "is not one of this list").at_path("$.page_token")))?,
        };
        let mut entries: Vec<Entry> = self.records().await?.iter().filter_map(|bytes| Entry::decode(bytes)).collect();
        entries.retain(|entry| {
            entry.seq < below
                && (request.actor.is_empty() || entry.actor == request.actor)
                && entry.object.starts_with(&request.object_prefix)
        });
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.seq));
        let more = entries.len() > size;
        entries.truncate(size);
        let next = entries.last().filter(|_| more).map(|entry| entry.seq.to_string()).unwrap_or_default();
        Ok(Response::new(v1::ListAuditEntriesResponse {
            entries: entries.into_iter().map(shown).collect(),
            next_page_token: next,
        }))
    }

    async fn verify_audit(
        &self,
        request: Request<v1::VerifyAuditRequest>,
    ) -> Result<Response<v1::VerifyAuditResponse>, Status> {
        let caller = self.0.caller(&format!("{SERVICE}/VerifyAudit"), &request)?;
        self.0.permit(&caller, &[Scope::EVERYWHERE], false, "audit").await?;
        let records = self.records().await?;
        let mut response = v1::VerifyAuditResponse { intact: true, ..v1::VerifyAuditResponse::default() };
        // The oldest entries expire: the chain that is left is judged from its first entry on.
        let start = records.first().and_then(|bytes| Entry::decode(bytes)).filter(|entry| entry.seq > 1);
        let start = start.map_or(Head::GENESIS, |entry| Head { seq: entry.seq - 1, hash: entry.prev_hash });
        let mut verifier = Verifier::new(start, &[]).map_err(|tampering| status(&tampering.into()))?;
        let mut head = start;
        for bytes in &records {
            match verifier.check(bytes) {
                Ok(entry) => {
                    head = entry.head();
                    response.entries += 1;
                }
                Err(tampering) => {
                    response.intact = false;
                    response.broken_at = Some(tampering.seq);
                    response.detail = tampering.to_string();
                    break;
                }
            }
        }
        response.head = head.hash.to_string();
        Ok(Response::new(response))
    }
}

fn shown(entry: Entry) -> v1::AuditEntry {
    v1::AuditEntry {
        seq: entry.seq,
        at: Some(show::instant(entry.time)),
        actor: entry.actor,
        action: entry.action,
        object: entry.object,
        reason: entry.reason,
        result: entry.result.as_str().to_owned(),
        params_digest: entry.params_digest.to_string(),
        request_id: entry.request_id,
        hash: entry.hash.to_string(),
    }
}
