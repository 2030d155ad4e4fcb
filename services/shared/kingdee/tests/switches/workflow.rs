//! From a save to an audited document, and back.

use document::Code;
use kingdee::{Client, OperationOutcome, OperationReply, Selection, filter};
use serde_json::json;

use crate::galaxy::{FORM, batch_save, bill, outcomes, query};
use crate::scenario::{Stage, codes, id_of, saved};

/// A save whose audit is refused is refused; what it leaves behind depends on the server, and so does the second try.
/// Gives how many saves it sent.
pub(crate) async fn refused_audit(stage: &Stage) -> u64 {
    let (keeps, unique) = (stage.setting.is("audit-failure", "keep"), stage.setting.is("unique-numbers", "on"));
    let client = &stage.client;
    stage.galaxy.fault(&json!({"kind": "refuse_audit", "numbers": ["F-1"]})).await;
    let ended = outcomes(batch_save(client, &[bill("F-1", "M1"), bill("F-2", "M1")], true).await);
    assert_eq!(codes(&ended[0]), [Code::StockShort]);
    saved(&ended[1], "F-2");
    assert_eq!(statuses(client, "F-1").await, if keeps { vec!["B"] } else { vec![] });
    assert_eq!(statuses(client, "F-2").await, ["C"]);

    stage.galaxy.heal().await;
    let ended = outcomes(batch_save(client, &[bill("F-1", "M1")], true).await).remove(0);
    match (keeps, unique) {
        (true, true) => {
            assert_eq!(codes(&ended), [Code::NumberTaken]);
            assert_eq!(statuses(client, "F-1").await, ["B"]);
        }
        (true, false) => {
            saved(&ended, "F-1");
            assert_eq!(statuses(client, "F-1").await, ["B", "C"]);
        }
        (false, _) => {
            saved(&ended, "F-1");
            assert_eq!(statuses(client, "F-1").await, ["C"]);
        }
    }
    2
}

/// Submit, audit, un-audit and delete, each also where it is not due. Gives how many saves it sent.
pub(crate) async fn status_by_status(stage: &Stage) -> u64 {
    let client = &stage.client;
    let ended = outcomes(batch_save(client, &[bill("W-1", "M1"), bill("W-2", "M1")], false).await);
    let ids = vec![saved(&ended[0], "W-1"), saved(&ended[1], "W-2")];
    let numbers = |numbers: &[&str]| Selection::Numbers(numbers.iter().map(|number| (*number).to_owned()).collect());

    // In another order than the server's, with a number that it passes over.
    let reply = client.submit(FORM, &numbers(&["W-2", "NONE", "W-1"])).await.expect("submitted");
    done(&reply, 0, "W-2");
    assert_eq!(reply.outcomes[1], OperationOutcome::Missing);
    done(&reply, 2, "W-1");
    let unknown = client.submit(FORM, &numbers(&["NONE"])).await.expect("a reply");
    assert_eq!(refused(&unknown, 0), [Code::ReferenceMissing]);
    let again = client.submit(FORM, &numbers(&["W-1"])).await.expect("a reply");
    assert_eq!(refused(&again, 0), [Code::AlreadySubmitted]);

    let reply = client.audit(FORM, &Selection::Ids(ids.clone())).await.expect("audited");
    done(&reply, 0, "W-1");
    done(&reply, 1, "W-2");
    assert_eq!(statuses(client, "W-1").await, ["C"]);
    let again = client.audit(FORM, &numbers(&["W-2", "W-1"])).await.expect("a reply");
    assert_eq!((refused(&again, 0), refused(&again, 1)), (vec![Code::AlreadyAudited], vec![Code::AlreadyAudited]));
    // Errors name numbers; whoever chose by id has to look at the status.
    let again = client.audit(FORM, &Selection::Ids(ids)).await.expect("a reply");
    assert_eq!(again.outcomes, [OperationOutcome::Missing, OperationOutcome::Missing]);
    assert!(again.unattributed.iter().all(|error| error.code == Code::AlreadyAudited), "{again:?}");
    assert_eq!(again.unattributed.len(), 2);

    let mut changed = bill("W-1", "M1");
    changed["FID"] = json!(id_of(stage, "W-1").await);
    assert_eq!(codes(&outcomes(batch_save(client, &[changed], false).await)[0]), [Code::TargetState]);
    let kept = client.delete(FORM, &numbers(&["W-1"])).await.expect("a reply");
    assert_eq!(refused(&kept, 0), [Code::TargetState]);

    done(&client.unaudit(FORM, &numbers(&["W-1"])).await.expect("taken back"), 0, "W-1");
    assert_eq!(statuses(client, "W-1").await, ["D"]);
    done(&client.delete(FORM, &numbers(&["W-1"])).await.expect("deleted"), 0, "W-1");
    assert_eq!((stage.galaxy.held("W-1").await, stage.galaxy.held("W-2").await), (0, 1));
    2
}

/// Checks that the selected document at `index` is done and carries `number`.
pub(crate) fn done(reply: &OperationReply, index: usize, number: &str) {
    match &reply.outcomes[index] {
        OperationOutcome::Done { number: given, .. } if given == number => {}
        _ => panic!("{number} is not done: {reply:?}"),
    }
    assert!(reply.unattributed.is_empty(), "{reply:?}");
}

fn refused(reply: &OperationReply, index: usize) -> Vec<Code> {
    match &reply.outcomes[index] {
        OperationOutcome::Refused(errors) => errors.iter().map(|error| error.code).collect(),
        _ => panic!("not refused: {reply:?}"),
    }
}

/// The statuses of the documents that carry a number, by id.
async fn statuses(client: &Client, number: &str) -> Vec<String> {
    let one = filter::equals("FBillNo", number);
    let page = client.execute_bill_query(&query(&["FDocumentStatus"], &one, 2)).await.expect("a page");
    page.rows.iter().map(|row| row[0].as_str().map(str::to_owned).unwrap_or_else(|| panic!("{row:?}"))).collect()
}
