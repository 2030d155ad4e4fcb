//! What a gRPC status means to people and scripts.

use document::Code as Catalogued;
use document::fault::Place;
use serde::Deserialize;
use tonic::{Code, Status};

use crate::exit;
use crate::output::Output;
use crate::output::failure::{Refusal, sentences};

/// The fault that the control plane sends beside a status, as JSON.
#[derive(Debug, Deserialize)]
struct Told {
    code: String,
    #[serde(default)]
    place: Place,
    #[serde(alias = "detail")]
    message: String,
    #[serde(default)]
    hint: Option<String>,
}

/// A status as it is told: the fault beside it where there is one, else the status itself.
pub(crate) fn refusal(status: &Status, output: &Output) -> Refusal {
    let id = |name: &str| status.metadata().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut refusal = Refusal {
        code: format!("{:?}", status.code()),
        message: words(status),
        hint: output.pick(english(status.code()), chinese(status.code())).map(str::to_owned),
        request_id: id("sb-request-id"),
        trace_id: id("sb-trace-id"),
        exit: exit_code(status),
        ..Refusal::default()
    };
    let bytes = status.metadata().get_bin("sb-fault-bin").and_then(|value| value.to_bytes().ok());
    if let Some(told) = bytes.and_then(|bytes| serde_json::from_slice::<Told>(&bytes).ok()) {
        let advice = told.code.parse::<Catalogued>().ok().map(|code| output.advice(code).1.to_owned());
        refusal.hint = match (told.hint, advice) {
            (Some(hint), Some(advice)) => Some(sentences(&hint, &advice)),
            (hint, advice) => hint.or(advice).or(refusal.hint),
        };
        if told.place != Place::default() {
            refusal.place = format!(" {} {}", output.pick("at", "位于"), told.place);
        }
        refusal.code = told.code;
        refusal.message = told.message;
    }
    refusal
}

/// Whether a status leaves open what became of the request: no answer came in time, or the connection broke under it.
pub(crate) fn is_lost(status: &Status) -> bool {
    // A status with a source was not sent by the control plane; it is what this side saw of the connection.
    let broke = std::error::Error::source(status).is_some();
    broke || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
}

/// What a status says; of a connection that broke, with everything that led to it.
pub(crate) fn words(status: &Status) -> String {
    match std::error::Error::source(status) {
        None => status.message().to_owned(),
        Some(cause) => super::endpoint::chain(cause),
    }
}

/// What a status means to scripts.
fn exit_code(status: &Status) -> u8 {
    if is_lost(status) {
        return exit::UNREACHABLE;
    }
    match status.code() {
        Code::Ok => exit::DONE,
        Code::NotFound => exit::NOT_FOUND,
        Code::Unauthenticated | Code::PermissionDenied => exit::DENIED,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => exit::CONFLICT,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => exit::UNREACHABLE,
        Code::ResourceExhausted => exit::LIMITED,
        Code::InvalidArgument | Code::OutOfRange => exit::INVALID,
        Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => exit::OTHER,
    }
}

fn english(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::NotFound => "Look at what there is with the list command of the same noun.",
        Code::Unauthenticated => "Sign in again with starctl auth login.",
        Code::PermissionDenied => "starctl auth whoami shows your roles; somebody who administers access can add one.",
        Code::AlreadyExists => "The idempotency key was used for another request; leave it out.",
        Code::FailedPrecondition | Code::Aborted => "Look at the present state first; somebody may have been quicker.",
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
            "Try again; starctl doctor names the step that fails."
        }
        Code::ResourceExhausted => "Wait a little, or ask for less at once.",
        Code::Unimplemented => "This control plane is older than this starctl; starctl doctor compares them.",
        Code::Unknown | Code::Internal | Code::DataLoss => "The logs of the control plane say more.",
        Code::Ok | Code::InvalidArgument | Code::OutOfRange => return None,
    })
}

fn chinese(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::NotFound => "用同一名词的 list 命令查看现有内容。",
        Code::Unauthenticated => "用 starctl auth login 重新登录。",
        Code::PermissionDenied => "starctl auth whoami 显示你的角色；请权限管理员添加。",
        Code::AlreadyExists => "该幂等键已用于其他请求，请去掉它。",
        Code::FailedPrecondition | Code::Aborted => "先查看当前状态，可能已被他人更改。",
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => "请重试；starctl doctor 会指出失败的步骤。",
        Code::ResourceExhausted => "稍后再试，或减少一次请求的数量。",
        Code::Unimplemented => "控制面版本低于 starctl，可用 starctl doctor 比较。",
        Code::Unknown | Code::Internal | Code::DataLoss => "详见控制面日志。",
        Code::Ok | Code::InvalidArgument | Code::OutOfRange => return None,
    })
}
