//! `AuditService`.

use std::sync::Arc;

use chrono::DateTime;
use document::{Code, Fault, topic};
use queue::Next;
use starbridge_proto::v1;
use starbridge_proto::v1::audit_service_server::AuditService;
use tonic::{Request, Response, Status};

use super::status::status;
use super::{Shared, page_size, show};
use crate::access::Scope;
use crate::audit::head::SIGNED;
use crate::audit::{Entry, SignedHead, prove};

const SERVICE: &str = "starbridge.control.v1.AuditService";

/// The service.
#[derive(Debug, Clone)]
pub struct Audits(pub Arc<Shared>);

impl Audits {
    /// Every record of the topic, in order, and whether earlier ones have expired.
    async fn records(&self) -> Result<(Vec<Vec<u8>>, bool), Status> {
        let all = self.0.peek.stretch(Next::at(topic::AUDIT, 0, 0), usize::MAX, |_| true).await;
        let all = all.map_err(|error| status(&error.fault()))?;
        let expired = all.first().is_some_and(|first| first.offset > 0);
        Ok((all.into_iter().map(|record| record.record.value.unwrap_or_default()).collect(), expired))
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
        let (records, _) = self.records().await?;
        let mut entries: Vec<Entry> = records.iter().filter_map(|bytes| Entry::decode(bytes)).collect();
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
        let mut signed = Vec::new();
        for kept in request.into_inner().kept {
            signed.push(read(kept).map_err(|fault| status(&fault))?);
        }
        // Asked for before the topic is read: what it names is then there.
        let latest = self.0.mirror.get::<SignedHead>(SIGNED);
        signed.extend(latest.clone());
        let (records, expired) = self.records().await?;
        let proof = prove(&records, expired, &signed, &self.0.gate.keys, self.0.now());
        Ok(Response::new(v1::VerifyAuditResponse {
            intact: proof.broken.is_none(),
            entries: proof.entries,
            broken_at: proof.broken.as_ref().map(|tampering| tampering.seq),
            detail: proof.broken.map(|tampering| tampering.to_string()).unwrap_or_default(),
            head: proof.head.to_string(),
            signed_head: latest.map(written),
        }))
    }

    async fn get_audit_keys(
        &self,
        request: Request<v1::GetAuditKeysRequest>,
    ) -> Result<Response<v1::GetAuditKeysResponse>, Status> {
        let caller = self.0.caller(&format!("{SERVICE}/GetAuditKeys"), &request)?;
        self.0.permit(&caller, &[Scope::EVERYWHERE], false, "audit").await?;
        let keys = self.0.gate.keys.publics(self.0.now()).into_iter();
        let keys = keys.map(|(key, signs)| v1::AuditKey { id: key.kid(), public_key: hex::encode(key.0), signs });
        Ok(Response::new(v1::GetAuditKeysResponse { keys: keys.collect() }))
    }
}

/// A signed head as the interface has it.
fn written(head: SignedHead) -> v1::SignedHead {
    v1::SignedHead {
        seq: head.seq,
        hash: head.hash.to_string(),
        signed_at: Some(show::instant(head.time)),
        key_id: head.kid,
        signature: head.signature,
    }
}

/// A head that somebody kept.
///
/// # Errors
/// `E_REQUEST` for one that no signature can fit.
fn read(head: v1::SignedHead) -> Result<SignedHead, Fault> {
    let wrong = |detail: &str| Fault::new(Code::RequestInvalid, detail).at_path("$.kept");
    let at = head.signed_at.ok_or_else(|| wrong("a head has no time"))?;
    let time = DateTime::from_timestamp(at.seconds, u32::try_from(at.nanos).unwrap_or(u32::MAX));
    Ok(SignedHead {
        v: 1,
        seq: head.seq,
        hash: head.hash.parse().map_err(|_| wrong("a hash is not 64 hex digits"))?,
        time: time.ok_or_else(|| wrong("a head has a time that is none"))?,
        kid: head.key_id,
        signature: head.signature,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_head_comes_back_and_one_without_hash_or_time_is_refused() {
        let head = SignedHead {
            v: 1,
            seq: 7,
            hash: crate::audit::Hash::of(b"x"),
            time: DateTime::from_timestamp_millis(1_767_225_600_123).expect("a time"),
            kid: "k".to_owned(),
            signature: "ab".to_owned(),
        };
        assert_eq!(read(written(head.clone())), Ok(head.clone()));
        for broken in [
            v1::SignedHead { hash: "x".to_owned(), ..written(head.clone()) },
            v1::SignedHead { signed_at: None, ..written(head) },
        ] {
            let fault = read(broken).expect_err("refused");
            assert_eq!((fault.code, fault.place.path.as_deref()), (Code::RequestInvalid, Some("$.kept")));
        }
    }
}
