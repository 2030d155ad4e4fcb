//! Every fault of the simulator, met by a save and by a read: the class it is told by, and what is then on the server.

use std::time::Duration;

use document::Code;
use kingdee::{Class, DocumentOutcome, LoginMode, SaveReply, UnknownReason};
use serde_json::{Value, json};
use simulator::fault::Kind;

use crate::galaxy::{Galaxy, batch_save, bill, outcomes, query};
use crate::scenario::codes;

/// What a save of two documents ends with.
#[derive(Debug, Clone)]
enum Save {
    /// The reply speaks of each.
    Done([Document; 2]),
    /// Refused for now, with the wait it named.
    Throttled(Option<Duration>),
    /// The server answered and is not at work any more.
    Closed(UnknownReason),
    /// The server may be at work.
    Open(UnknownReason),
    /// The call as a whole was refused, with this code.
    Refused(Code),
}

/// What is said of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Document {
    Saved,
    Refused(Code),
    Unknown,
}

/// What a read ends with.
type Read = Result<(), (Code, Class)>;

/// A fault and what must come of it.
struct Case {
    fault: Value,
    save: Save,
    /// How many of the two documents the server holds afterwards.
    held: usize,
    read: Read,
}

use Document::{Refused, Saved, Unknown};

const BOTH: Save = Save::Done([Saved, Saved]);
const TROUBLE: Class = Class::Trouble;

fn case(fault: Value, save: Save, held: usize, read: Read) -> Case {
    Case { fault, save, held, read }
}

/// The cases of a kind. Without a wildcard, so that a new kind does not compile before it has one.
fn cases(kind: Kind) -> Vec<Case> {
    let interrupted = || Save::Open(UnknownReason::Interrupted);
    let broken = Err((Code::ErpInterrupted, TROUBLE));
    let status = Err((Code::ErpStatus, TROUBLE));
    let second = |fault: Value, document| case(fault, Save::Done([Saved, document]), 1, Ok(()));
    match kind {
        Kind::Latency => vec![
            case(json!({"ms": 50}), BOTH, 2, Ok(())),
            case(json!({"ms": 50, "at": "after"}), BOTH, 2, Ok(())),
            case(json!({"ms": 4_000}), Save::Open(UnknownReason::TimedOut), 2, Err((Code::ErpTimeout, TROUBLE))),
        ],
        Kind::Status => vec![
            case(json!({"status": 500, "body": "json"}), Save::Closed(UnknownReason::Status(500)), 0, status),
            case(json!({"status": 500}), Save::Open(UnknownReason::Gateway(500)), 0, status),
            case(json!({"status": 502}), Save::Open(UnknownReason::Gateway(502)), 0, status),
            case(json!({"status": 504, "at": "after"}), Save::Open(UnknownReason::Gateway(504)), 2, status),
        ],
        Kind::CutBefore => vec![
            case(json!({"how": "rst"}), interrupted(), 0, broken),
            case(json!({"how": "eof"}), interrupted(), 0, broken),
        ],
        Kind::CutAfter => vec![
            case(json!({"how": "rst"}), interrupted(), 2, broken),
            case(json!({"how": "eof"}), interrupted(), 2, broken),
        ],
        Kind::Late => vec![
            case(json!({"ms": 300, "how": "rst"}), interrupted(), 2, broken),
            case(
                json!({"ms": 3_500, "how": "hang"}),
                Save::Open(UnknownReason::TimedOut),
                2,
                Err((Code::ErpTimeout, TROUBLE)),
            ),
        ],
        Kind::Html => vec![
            case(json!({}), Save::Open(UnknownReason::Html), 0, Err((Code::ReplyHtml, TROUBLE))),
            case(json!({"at": "after"}), Save::Open(UnknownReason::Html), 2, Err((Code::ReplyHtml, TROUBLE))),
        ],
        Kind::Empty => vec![
            case(json!({}), Save::Closed(UnknownReason::EmptyResult), 0, Err((Code::ReplyShape, Class::Final))),
            case(
                json!({"how": "eof", "at": "after"}),
                Save::Open(UnknownReason::Unparsable),
                2,
                Err((Code::ReplyUnparsable, TROUBLE)),
            ),
        ],
        Kind::Truncated | Kind::BrokenChunk => vec![case(json!({}), interrupted(), 2, broken)],
        Kind::SessionLoss => {
            vec![case(json!({"force": true}), Save::Closed(UnknownReason::SessionLost), 0, Ok(()))]
        }
        Kind::Throttle => {
            let told = Some(Duration::from_secs(7));
            let throttled = |after| Err((Code::ErpThrottled, Class::Throttled(after)));
            vec![
                case(json!({}), Save::Throttled(None), 0, throttled(None)),
                case(json!({"http": true, "ms": 7_000}), Save::Throttled(told), 0, throttled(told)),
            ]
        }
        Kind::RefuseSave => vec![second(json!({"indexes": [1], "count": 1}), Refused(Code::TargetValidation))],
        Kind::RefuseAudit => vec![second(json!({"indexes": [1], "count": 1}), Refused(Code::StockShort))],
        Kind::Lock => vec![
            second(json!({"indexes": [1]}), Refused(Code::TargetLocked)),
            // The lock of the call is told at the first document and holds for the second, of which nothing is said.
            case(json!({}), Save::Done([Refused(Code::TargetLocked), Unknown]), 0, Err((Code::TargetLocked, TROUBLE))),
        ],
        Kind::OddDindex => {
            let odd = |how: &str, save| case(json!({"indexes": [1], "how": how}), save, 2, Ok(()));
            vec![
                odd("missing", Save::Done([Saved, Unknown])),
                odd("repeated", Save::Closed(UnknownReason::Uncovered)),
                odd("out_of_range", Save::Done([Saved, Unknown])),
                odd("text", BOTH),
            ]
        }
        Kind::Confirm => {
            let words = "请求参数存在可疑数据，是否继续？".to_owned();
            let filtered = Err((Code::RequestFiltered, Class::Final));
            vec![case(json!({}), Save::Closed(UnknownReason::Filtered(words)), 0, filtered)]
        }
        Kind::Messages => vec![case(json!({"count": 1}), BOTH, 2, Ok(()))],
        // Whoever sees an older state cannot know.
        Kind::Stale => vec![case(json!({}), BOTH, 2, Ok(()))],
        // Nor can who is shown less than there is.
        Kind::Clamp => vec![case(json!({"rows": 1}), BOTH, 2, Ok(())), case(json!({}), BOTH, 2, Ok(()))],
        Kind::Error => vec![
            case(json!({"code": 4}), Save::Refused(Code::TargetRefused), 0, Err((Code::TargetRefused, TROUBLE))),
            case(json!({"code": 7}), Save::Refused(Code::TargetLicence), 0, Err((Code::TargetLicence, Class::Final))),
        ],
    }
}

/// The kinds that the simulator says it knows.
fn kinds() -> Vec<(String, Kind)> {
    let words = serde_json::from_value::<Kind>(json!("?")).expect_err("no kind").to_string();
    words.split('`').filter_map(|word| Some((word.to_owned(), serde_json::from_value(json!(word)).ok()?))).collect()
}

/// Kinds without a case.
pub(crate) fn unmet() -> Vec<String> {
    let kinds = kinds();
    assert!(kinds.len() >= 18, "{kinds:?}");
    kinds.into_iter().filter(|(_, kind)| cases(*kind).is_empty()).map(|(word, _)| word).collect()
}

/// Meets every fault with a save and with a read. A server that is away comes last.
pub(crate) async fn run(login: LoginMode) {
    let galaxy = Galaxy::start(&[]).await;
    let client = galaxy.client(login, chrono_tz::Asia::Shanghai, Duration::from_secs(3));
    let mut number = 0;
    for (word, kind) in kinds() {
        for case in cases(kind) {
            let mut fault = case.fault.clone();
            fault["kind"] = json!(word);
            let numbers = [format!("X-{number}"), format!("Y-{number}")];
            number += 1;
            fault["call"] = json!("BatchSave");
            galaxy.fault(&fault).await;
            let bills = [bill(&numbers[0], "M1"), bill(&numbers[1], "M1")];
            check_save(batch_save(&client, &bills, true).await, &case.save, &format!("{login:?} {fault}"));
            held(&galaxy, &numbers, case.held, &format!("{login:?} {fault}")).await;

            // A session again where the fault took it: without one, a lost session is a refused signature.
            client.execute_bill_query(&query(&["FID"], "", 1)).await.expect("a page");
            fault["call"] = json!("ExecuteBillQuery");
            galaxy.fault(&fault).await;
            let read = client.execute_bill_query(&query(&["FID"], "", 1)).await;
            let read = read.map(|_| ()).map_err(|error| (error.code(), error.class()));
            assert_eq!(read, case.read, "{login:?} {fault}");
            galaxy.heal().await;
        }
    }
    let left = outcomes(batch_save(&client, &[bill("Z", "M1")], false).await);
    assert!(matches!(&left[..], [DocumentOutcome::Saved { .. }]), "no fault leaves anything behind: {left:?}");
    // A client without an open connection: of a server that is away it knows that nothing was sent.
    let fresh = galaxy.client(login, chrono_tz::Asia::Shanghai, Duration::from_secs(3));
    galaxy.stop().await;
    let reply = batch_save(&fresh, &[bill("Z-1", "M1")], false).await;
    let SaveReply::NotSent(error) = reply else { panic!("{login:?}: {reply:?}") };
    assert_eq!((error.code(), error.class()), (Code::ErpUnreachable, Class::NotSent));
}

fn check_save(reply: SaveReply, expected: &Save, what: &str) {
    let good = match (&reply, expected) {
        (SaveReply::Done(outcomes), Save::Done(documents)) => {
            outcomes.iter().map(document).collect::<Vec<_>>() == documents
        }
        (SaveReply::Throttled { after }, Save::Throttled(told)) => after == told,
        (SaveReply::UnknownClosed(UnknownReason::Refused(error)), Save::Refused(code)) => error.code == *code,
        (SaveReply::UnknownClosed(reason), Save::Closed(expected))
        | (SaveReply::UnknownOpen(reason), Save::Open(expected)) => reason == expected,
        _ => false,
    };
    assert!(good, "{what}: {reply:?} where {expected:?} was due");
}

fn document(outcome: &DocumentOutcome) -> Document {
    match outcome {
        DocumentOutcome::Saved { .. } => Saved,
        DocumentOutcome::Rejected(_) => Refused(codes(outcome)[0]),
        DocumentOutcome::Unknown => Unknown,
    }
}

/// Waits until the server holds as many of the numbers as it must: a late one comes when it comes.
async fn held(galaxy: &Galaxy, numbers: &[String; 2], expected: usize, what: &str) {
    let mut found = usize::MAX;
    for _ in 0..500 {
        found = galaxy.held(&numbers[0]).await + galaxy.held(&numbers[1]).await;
        if found == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: {found} of the two documents where {expected} were due");
}
