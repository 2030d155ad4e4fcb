//! Letters as lines of a file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use document::{Code, DeadLetterId, Fault};
use serde::Serialize;
use serde_json::value::RawValue;
use starbridge_proto::v1;
use tokio::sync::mpsc::Sender;
use tonic::Status;

use super::super::status::status;
use super::super::{Shared, show};
use crate::index::{Index, Letter};
use crate::mask::Masker;

/// Bytes of the lines of one piece, about; a line alone may be more.
const PIECE: usize = 1 << 20;

/// A letter as its line has it.
#[derive(Debug, Serialize)]
struct Line<'a> {
    id: &'a str,
    revision: u32,
    masked: bool,
    tenant: &'a str,
    flow: &'a str,
    flow_version: &'a str,
    document_key: &'a str,
    version: u64,
    stage: &'a str,
    category: String,
    code: String,
    message: &'a str,
    state: &'a str,
    attempts: u32,
    /// Unix milliseconds.
    first_failed_at: i64,
    /// Unix milliseconds.
    last_failed_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

/// What the audit entry says of an export.
///
/// # Errors
/// `E_REQUEST` for a reason that is too long.
pub(super) fn reason(request: &v1::ExportDeadLettersRequest) -> Result<String, Fault> {
    let kind = if request.unmask { "payloads exported unmasked" } else { "payloads exported masked" };
    match request.reason.trim() {
        "" => Ok(kind.to_owned()),
        text if text.chars().count() <= 1000 => Ok(format!("{kind}: {text}")),
        _ => Err(Fault::new(Code::RequestInvalid, "is longer than 1,000 characters").at_path("$.reason")),
    }
}

/// The line of a letter, with the payload that a replay would publish; masked by `masker` where there is one. Line feeds
/// between the members of a payload go.
pub(super) fn line(found: &Letter, masker: Option<&Masker>) -> String {
    let edit = found.event.as_ref().and_then(|event| event.edit.as_ref());
    let bytes = edit.map_or(&found.letter.body, |edit| &edit.body);
    let shown = show::payload(bytes, masker);
    let text = std::str::from_utf8(&shown.data).ok().map(|text| text.replace(['\n', '\r'], " "));
    let json = text.and_then(|text| RawValue::from_string(text).ok());
    let row = &found.row;
    let line = Line {
        id: &row.id.0,
        revision: edit.map_or(0, |edit| edit.rev),
        masked: shown.masked,
        tenant: row.tenant.as_str(),
        flow: row.flow.as_str(),
        flow_version: row.flow_version.as_str(),
        document_key: row.document.as_str(),
        version: row.version.0,
        stage: row.stage.as_str(),
        category: row.category.to_string(),
        code: row.code.to_string(),
        message: if masker.is_some() { &row.message } else { &found.letter.message },
        state: row.state.map_or("unreadable", |state| state.as_str()),
        attempts: row.attempts,
        first_failed_at: row.first_failed,
        last_failed_at: row.last_failed,
        payload_base64: json.is_none().then(|| STANDARD.encode(&shown.data)),
        payload: json.as_deref(),
    };
    serde_json::to_string(&line).expect("texts, numbers and JSON")
}

/// Sends the letters, a piece at a time, and how many they are. Letters that expire meanwhile are left out.
pub(super) fn send(
    shared: &Shared,
    ids: &[DeadLetterId],
    masker: Option<&Masker>,
    to: &Sender<Result<v1::ExportDeadLettersResponse, Status>>,
) {
    let sent = pieces(&shared.index, ids, masker, |piece| to.blocking_send(Ok(piece)).is_ok());
    if let Err(fault) = sent {
        // Whoever does not listen any more need not hear of it.
        drop(to.blocking_send(Err(status(&fault))));
    }
}

/// Gives the pieces one after the other, until there is no more or `give` has enough.
fn pieces(
    index: &Index,
    ids: &[DeadLetterId],
    masker: Option<&Masker>,
    mut give: impl FnMut(v1::ExportDeadLettersResponse) -> bool,
) -> Result<(), Fault> {
    let (mut lines, mut bytes, mut count) = (Vec::new(), 0, 0);
    for id in ids {
        let Some(found) = index.get(id)? else { continue };
        let line = line(&found, masker);
        bytes += line.len();
        count += 1;
        lines.push(line);
        if bytes >= PIECE {
            bytes = 0;
            if !give(v1::ExportDeadLettersResponse { lines: std::mem::take(&mut lines), count: None }) {
                return Ok(());
            }
        }
    }
    give(v1::ExportDeadLettersResponse { lines, count: Some(count) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use document::{DeadLetter, DeadLetterId, Received, topic};
    use serde_json::Value;

    use super::*;
    use crate::index::{List, Order, Reach, ScanLimits};
    use crate::letter::{Edit, LetterEvent, State};
    use crate::mask::DEFAULT_RULES;
    use crate::selector::Selector;

    fn letter(number: u64, body: &[u8]) -> DeadLetter {
        DeadLetter {
            tenant: document::Tenant::default(),
            flow: document::FlowName::new("misc").expect("valid"),
            flow_version: "v1".into(),
            document_key: format!("单据-{number:04}").as_str().into(),
            version: document::Version(number),
            stage: document::Stage::Load,
            category: document::Category::Validation,
            code: Code::ReferenceMissing,
            message: "仓库\n不存在，请拨13800138000".to_owned(),
            field: None,
            origin: None,
            origin_timestamp: None,
            attempts: 1 + u32::try_from(number % 3).expect("small"),
            first_failed_at: 5,
            last_failed_at: 6,
            retry_at: None,
            replay: None,
            trace: None,
            headers: document::Headers::new(),
            claim_check: false,
            body: body.to_vec(),
        }
    }

    fn filled(letters: Vec<DeadLetter>, events: &[(DeadLetterId, LetterEvent)]) -> (tempfile::TempDir, Index) {
        let folder = tempfile::TempDir::new().expect("a scratch folder");
        let index = Index::open(&folder.path().join("index")).expect("opened");
        let at = |topic: &str, offset, record| Received {
            topic: topic.to_owned(),
            partition: 0,
            offset,
            timestamp: None,
            record,
        };
        let letters = (0..).zip(letters).map(|(n, letter)| at(topic::DEAD_LETTERS, n, letter.into_record()));
        let events = (0..).zip(events).map(|(n, (id, event))| at(topic::DEAD_LETTER_EVENTS, n, event.record(id)));
        index.apply(&letters.chain(events).collect::<Vec<_>>()).expect("taken in");
        (folder, index)
    }

    fn lines(index: &Index, ids: &[DeadLetterId], masker: Option<&Masker>) -> (Vec<String>, Option<i64>) {
        let (mut all, mut count) = (Vec::new(), None);
        let give = |piece: v1::ExportDeadLettersResponse| {
            all.extend(piece.lines);
            count = piece.count;
            true
        };
        pieces(index, ids, masker, give).expect("read");
        (all, count)
    }

    #[test]
    fn a_line_has_what_a_replay_would_publish_as_it_is_or_masked() {
        let body = b"{\n  \"FQty\": 273.0700000000,\r\n  \"FMobile\": \"13800138000\"\n}";
        let letters = vec![letter(1, body), letter(2, &[0xff, 0x00]), letter(3, b"{}")];
        let ids: Vec<DeadLetterId> = letters.iter().map(DeadLetter::id).collect();
        let mut edited = LetterEvent::new(State::Parked, 1, "li", 9);
        let own = Edit { rev: 4, body: b"{\"FQty\":1.50}".to_vec(), by: "li".into(), at: 9, reason: String::new() };
        edited.edit = Some(own);
        let (_folder, index) = filled(letters, &[(ids[2].clone(), edited)]);
        let (plain, count) = lines(&index, &ids, None);
        assert_eq!(count, Some(3));
        assert!(plain.iter().all(|line| !line.contains('\n')) && plain[0].contains("273.0700000000"), "{plain:?}");
        let read = |line: &String| serde_json::from_str::<Value>(line).expect("JSON");
        let values: Vec<Value> = plain.iter().map(read).collect();
        assert_eq!((&values[0]["payload"]["FMobile"], &values[0]["masked"]), (&"13800138000".into(), &false.into()));
        assert_eq!(
            (&values[0]["message"], &values[0]["state"]),
            (&"仓库\n不存在，请拨13800138000".into(), &"open".into())
        );
        assert_eq!((&values[1]["payload_base64"], values[1].get("payload")), (&"/wA=".into(), None));
        assert_eq!((&values[2]["revision"], &values[2]["state"]), (&4.into(), &"parked".into()));
        assert_eq!(values[2]["payload"]["FQty"].to_string(), "1.50");
        let masker = Masker::new(DEFAULT_RULES).expect("rules");
        let (masked, _) = lines(&index, &ids, Some(&masker));
        assert!(!masked[0].contains("13800138000") && read(&masked[0])["masked"] == true, "{masked:?}");
        assert_eq!(read(&masked[2])["masked"], false);
        assert!(masked.iter().all(|line| read(line)["message"] == "仓库\n不存在，请拨***"), "{masked:?}");
    }

    #[test]
    fn the_same_selector_gives_the_same_letters_by_list_stream_and_export() {
        let bodies = |number: u64| match number % 4 {
            0 => format!(r#"{{"FQty":{number}}}"#).into_bytes(),
            1 => format!(r#"[{{"FQty":{number}.50}}]"#).into_bytes(),
            2 => b"no json".to_vec(),
            _ => vec![b'x'; 40_000],
        };
        let letters: Vec<DeadLetter> = (0..240).map(|number| letter(number, &bodies(number))).collect();
        let ids: Vec<DeadLetterId> = letters.iter().map(DeadLetter::id).collect();
        let event = |number: usize| {
            let mut event = LetterEvent::new(State::ALL[number % 6], 1, "li", 9);
            event.claimed_by = number.is_multiple_of(4).then(|| "wang".to_owned());
            (ids[number].clone(), event)
        };
        let events: Vec<_> = (0..240).step_by(2).map(event).collect();
        let (folder, index) = filled(letters, &events);
        let hasty = Index::open(&folder.path().join("index")).expect("opened again");
        let hasty = hasty.with_limits(ScanLimits { rows: 13, bytes: 1 << 20 });
        let mut cuts = 0;
        for text in [
            "",
            "state = open",
            "state in (parked, discarded) and attempts < 3",
            "claimed_by = wang",
            "not exists(claimed_by) and payload.FQty > 100",
            "document ~ \"-00[1-3]\" or state = resolved",
            "payload.FQty = 1",
        ] {
            let selector = Selector::parse(text).expect(text);
            let mut listed: Vec<String> = Vec::new();
            let mut token: Option<String> = None;
            loop {
                let page_token = token.as_deref();
                let list = List {
                    selector: &selector,
                    order: Order::Document,
                    descending: false,
                    page_token,
                    limit: 7,
                    now: 10,
                };
                let page = index.list(&list).expect("a list");
                listed.extend(page.items.into_iter().map(|row| row.id.0));
                token = page.next;
                if token.is_none() {
                    break;
                }
            }
            listed.sort();
            let of_stream = ids.iter().filter_map(|id| index.wanted(id, None, &selector, 10).expect("judged"));
            let mut streamed: Vec<String> = of_stream.map(|row| row.id.0).collect();
            streamed.sort();
            assert_eq!(streamed, listed, "{text}");
            let whole = index.choose(&selector, Reach::OneScan, 1_000, 10).expect("chosen");
            // Scans that end soon, one after the other, choose the same.
            let chosen = hasty.choose(&selector, Reach::End, 1_000, 10).expect("chosen");
            assert_eq!((&chosen.ids, &chosen.flows), (&whole.ids, &whole.flows), "{text}");
            assert!(!chosen.scan.is_some_and(|scan| scan.limit_reached), "{text}");
            let one = hasty.choose(&selector, Reach::OneScan, 1_000, 10).expect("chosen");
            let cut = one.scan.is_some_and(|scan| scan.limit_reached);
            let scanned = whole.scan.map_or(0, |scan| scan.rows);
            cuts += usize::from(cut);
            assert_eq!((cut, one.ids.len() <= whole.ids.len()), (scanned > 13, true), "{text}");
            let (lines, count) = lines(&index, &chosen.ids, None);
            let id =
                |line: &String| serde_json::from_str::<Value>(line).expect("JSON")["id"].as_str().map(str::to_owned);
            let mut exported: Vec<String> = lines.iter().filter_map(id).collect();
            exported.sort();
            assert_eq!(exported, listed, "{text}");
            assert_eq!(count, i64::try_from(listed.len()).ok(), "{text}");
        }
        assert!(cuts >= 2, "payloads and regular expressions are looked for by scans");
    }

    #[test]
    fn the_reason_is_bounded() {
        let asked = |reason: &str| v1::ExportDeadLettersRequest { reason: reason.to_owned(), ..Default::default() };
        assert_eq!(reason(&asked(" for the auditor ")).as_deref(), Ok("payloads exported masked: for the auditor"));
        let fault = reason(&asked(&"x".repeat(1_001))).expect_err("too long");
        assert_eq!((fault.code, fault.place.path.as_deref()), (Code::RequestInvalid, Some("$.reason")));
    }
}
