//! Faults as gRPC tells them: the one mapping from codes of the catalogue to statuses.

use document::{Code, Fault};
use tonic::metadata::{BinaryMetadataValue, MetadataValue};
use tonic::{Code as Grpc, Status};

/// Metadata: the fault as JSON, with code, place, detail and hint.
pub const FAULT_METADATA: &str = "sb-fault-bin";
/// Metadata: where the replica that writes is reached, `host:port`.
pub const ACTIVE_METADATA: &str = "sb-active";

/// The status of a fault. Clients read the fault itself in its metadata.
pub fn status(fault: &Fault) -> Status {
    let mut status = Status::new(grpc_code(fault.code), fault.to_string());
    let value = serde_json::json!({
        "code": fault.code,
        "place": fault.place,
        "message": fault.detail,
        "hint": fault.hint,
    });
    let bytes: BinaryMetadataValue = MetadataValue::from_bytes(value.to_string().as_bytes());
    status.metadata_mut().insert_bin(FAULT_METADATA, bytes);
    status
}

/// The status of a replica that does not write, with where the one is that does.
pub fn not_active(active: Option<&str>) -> Status {
    let mut status = status(&Fault::new(Code::NotActive, "this replica does not write"));
    if let Some(Ok(address)) = active.map(str::parse) {
        status.metadata_mut().insert(ACTIVE_METADATA, address);
    }
    status
}

fn grpc_code(code: Code) -> Grpc {
    match code {
        Code::LetterUnknown
        | Code::ReplayUnknown
        | Code::ReconciliationUnknown
        | Code::BackfillUnknown
        | Code::FlowUnknown
        | Code::ConnectionUnknown => Grpc::NotFound,
        Code::LetterState
        | Code::LetterInDoubt
        | Code::ReplayImpossible
        | Code::ReplayState
        | Code::BackfillState
        | Code::CanaryState
        | Code::EditRevision
        | Code::PlanChanged
        | Code::FlowBusy
        | Code::KeyMoves
        | Code::Bootstrap => Grpc::FailedPrecondition,
        Code::IdempotencyReused => Grpc::AlreadyExists,
        Code::SelectionTooLarge => Grpc::OutOfRange,
        Code::TokenMissing | Code::TokenInvalid | Code::TokenExpired | Code::TokenRevoked => Grpc::Unauthenticated,
        Code::AccessDenied => Grpc::PermissionDenied,
        Code::LockedOut => Grpc::ResourceExhausted,
        Code::NotActive | Code::AuditUnavailable | Code::RevocationsStale | Code::Index => Grpc::Unavailable,
        Code::KafkaUnreachable | Code::SessionEnded => Grpc::Unavailable,
        other if other.category() == document::Category::Transport => Grpc::Unavailable,
        other if other.category() == document::Category::Permission => Grpc::PermissionDenied,
        _ => Grpc::InvalidArgument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_carries_its_fault() {
        let fault = Fault::new(Code::LetterUnknown, "无此死信").of_record("ab".to_owned()).hint("list them");
        let status = status(&fault);
        assert_eq!(status.code(), Grpc::NotFound);
        let bytes = status.metadata().get_bin(FAULT_METADATA).expect("metadata").to_bytes().expect("bytes");
        let value: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!((&value["code"], &value["place"]["record"]), (&"E_LETTER_UNKNOWN".into(), &"ab".into()));
        assert_eq!((&value["message"], &value["hint"]), (&"无此死信".into(), &"list them".into()));
    }

    #[test]
    fn statuses_tell_what_to_do_next() {
        for (code, wanted) in [
            (Code::IdempotencyReused, Grpc::AlreadyExists),
            (Code::NotActive, Grpc::Unavailable),
            (Code::AuditUnavailable, Grpc::Unavailable),
            (Code::TokenExpired, Grpc::Unauthenticated),
            (Code::AccessDenied, Grpc::PermissionDenied),
            (Code::SelectorField, Grpc::InvalidArgument),
            (Code::SelectionTooLarge, Grpc::OutOfRange),
        ] {
            assert_eq!(status(&Fault::new(code, "x")).code(), wanted, "{code}");
        }
        let elsewhere = not_active(Some("control-1:9443"));
        assert_eq!(elsewhere.metadata().get(ACTIVE_METADATA).and_then(|v| v.to_str().ok()), Some("control-1:9443"));
    }
}
