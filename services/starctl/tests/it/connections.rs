//! `starctl connection`.

use crate::bed::Bed;

#[test]
fn connections_are_listed_and_shown_without_secrets() {
    let bed = Bed::new();
    insta::assert_snapshot!("connection_list", bed.starctl(&["connection", "list"]).seen());
    let sorted = |by| bed.starctl(&["connection", "list", "--sort-by", by, "-o", "name"]);
    assert_eq!((sorted("-name").code, sorted("colour").code), (Some(0), Some(2)));
    let one = bed.starctl(&["connection", "get", "connection/galaxy-b", "-o", "json"]).json();
    assert_eq!(one["items"][0]["written_by"][0], "misc-inbound");
    assert!(bed.desk().requests("get_connection")[0].contains("connection: \"galaxy-b\""));
}

#[test]
fn a_test_tells_its_steps_and_ends_with_9_where_one_fails() {
    let bed = Bed::new();
    let ran = bed.starctl(&["connection", "test", "galaxy-b", "--form", "BD_STOCK", "--idempotency-key", "k"]);
    assert_eq!(ran.code, Some(9));
    insta::assert_snapshot!("connection_test", ran.seen());
    let chinese = bed.starctl(&["connection", "test", "galaxy-b", "--lang", "zh"]);
    insta::assert_snapshot!("connection_test_zh", chinese.seen());
    let good = bed.starctl(&["connection", "test", "galaxy-a", "--save", "--reason", "new secret", "-o", "json"]);
    assert_eq!((good.code, good.json()["items"][0]["passed"].clone()), (Some(0), true.into()));
    let asked = bed.desk().requests("test_connection");
    assert!(asked[0].contains("form: \"BD_STOCK\", save: false") && asked[2].contains("save: true"), "{asked:?}");
}
