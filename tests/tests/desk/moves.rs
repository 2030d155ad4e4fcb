//! A version that looks for documents under other keys waits until it is known what became of a save.

use std::path::Path;

use e2e::fleet::Starctl;
use e2e::road::{Road, RoadPlan};
use serde_json::json;

use super::{PATIENCE, until};

/// Publishes the flow in `folder` as an engineer does: exit code, and what was said.
async fn apply(desk: &Starctl, folder: &Path) -> (Option<i32>, String) {
    let (desk, folder) = (desk.clone(), folder.display().to_string());
    let applied = move || desk.run(&["flow", "apply", &folder, "--reason", "numbers of our own", "--yes"]);
    let output = tokio::task::spawn_blocking(applied).await.expect("no panic").expect("starctl runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Saves whose outcome the ledger does not know.
async fn open_saves(road: &Road) -> usize {
    road.unaccounted([].iter()).await.expect("the ledger").1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_moves_keys_waits_for_the_outcome_of_a_save() {
    let loader = "[save]\nsend_deadline = \"2s\"\nnet = \"500ms\"\nexec_max = \"2s\"\n\
                  [retry]\nwaits = [\"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\"]\n\
                  [breaker]\nwait = \"500ms\"\nwait_max = \"1s\"\n";
    let plan = RoadPlan { orders: 20, documents: Some(20), planted: false, loader, controls: 1, ..RoadPlan::default() };
    let mut road = Road::lay(plan).await.expect("laid");
    // The documents are saved, nobody hears of it, and whoever asks the target for them gets no answer.
    road.fault(json!({"kind": "cut_after", "call": "BatchSave", "count": 1})).await.expect("a known fault");
    let silence = json!({"kind": "status", "status": 503, "call": "ExecuteBillQuery", "count": 0});
    road.fault(silence).await.expect("a known fault");
    road.start_stages().await.expect("started");
    road.until("every order is saved", PATIENCE, |held, _| held == 20).await.expect("saved");
    let (files, folder) = (road.desk.clone(), road.folder().to_owned());
    let opened = tokio::task::spawn_blocking(move || Starctl::open(&files, folder, &["engineer"], PATIENCE));
    let desk = opened.await.expect("no panic").expect("let in");
    until("the save is on record as begun", async || match open_saves(&road).await {
        1 => Ok(()),
        count => Err(format!("{count} saves")),
    })
    .await;

    let moved = road.folder().join("moved");
    road.copy_flow(&moved, &[]).expect("copied");
    let target = std::fs::read_to_string(moved.join("target.json")).expect("the document");
    assert_eq!(target.matches("\"{FBillNo}\"").count(), 1);
    std::fs::write(moved.join("target.json"), target.replace("\"{FBillNo}\"", "\"N-{FBillNo}\"")).expect("written");
    let refused = until("the desk knows of the save", async || {
        let (code, said) = apply(&desk, &moved).await;
        assert_eq!(code, Some(5), "{said}");
        if said.contains("1 saves open") { Ok(said) } else { Err(said) }
    });
    let refused = refused.await;
    assert!(refused.contains("E_KEY_MOVES") && refused.contains("request FBillNo"), "{refused}");
    // What keeps keys where they are need not wait.
    let titled = road.folder().join("titled");
    road.copy_flow(&titled, &[("title", "\"入库\"".to_owned())]).expect("copied");
    let (code, said) = apply(&desk, &titled).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(open_saves(&road).await, 1);
    // Another number of partitions would spread the keys anew: no moment is right for it.
    let wider = road.folder().join("wider");
    road.copy_flow(&wider, &[("partitions", "7".to_owned())]).expect("copied");
    let (code, spread) = apply(&desk, &wider).await;
    assert!(code != Some(0) && spread.contains("E_PARTITIONS_DIFFER"), "{spread}");

    // The target answers again, the loader finds its documents, and nothing is under way.
    road.target.end_faults().await.expect("ended");
    road.settle(PATIENCE).await.expect("every save has its outcome");
    until("the version is taken", async || match apply(&desk, &moved).await {
        (Some(0), _) => Ok(()),
        (_, said) => {
            assert!(said.contains("E_KEY_MOVES"), "{said}");
            Err(said)
        }
    })
    .await;

    let (code, spread) = apply(&desk, &wider).await;
    assert!(code != Some(0) && spread.contains("E_PARTITIONS_DIFFER"), "{spread}");
    let ended = road.finish(PATIENCE).await.expect("drained");
    assert!(ended.report.is_clean(), "{:#?}", ended.report);
    assert_eq!(ended.target_calls("BatchSave"), 1);
}
