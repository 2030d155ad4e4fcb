use document::Code;

use super::*;

fn partition() -> TopicPartition {
    TopicPartition::new("starbridge.misc-inbound.ledger", 3)
}

fn mark(offset: i64) -> Mark {
    Mark { offset, timestamp: 1000 + offset, owned: true, followed: 5 }
}

fn put(key: &str, value: &str, timestamp: i64) -> Change {
    Change { key: key.as_bytes().to_vec(), value: Some(value.as_bytes().to_vec()), timestamp }
}

fn update(changes: Vec<Change>, offset: i64) -> Update {
    Update { partition: partition(), changes, mark: mark(offset) }
}

#[test]
fn entries_and_position_survive_together() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(folder.path(), "m").expect("opened");
    assert_eq!(store.mark(&partition()).expect("read"), None);
    assert_eq!(store.get(&partition(), b"a").expect("read"), None);
    let remove = Change { key: b"a".to_vec(), value: None, timestamp: 3 };
    store.apply(&[update(vec![put("a", "1", 1), put("b", "入库", 2), remove], 12)], true).expect("written");
    drop(store);
    let store = Store::open(folder.path(), "m").expect("opened again");
    assert_eq!(store.mark(&partition()).expect("read"), Some(mark(12)));
    assert_eq!(store.get(&partition(), b"a").expect("read"), None);
    assert_eq!(store.get(&partition(), b"b").expect("read"), Some("入库".as_bytes().to_vec()));
}

#[test]
fn pages_follow_each_other_within_the_prefix() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(folder.path(), "m").expect("opened");
    let changes = ["doc/1", "doc/2", "doc/3", "docs", "intent/1"].map(|key| put(key, key, 1)).to_vec();
    store.apply(&[update(changes, 1)], false).expect("written");
    let keys = |after: Option<&[u8]>, limit| -> Vec<String> {
        let page = store.page(&partition(), b"doc/", after, limit).expect("read");
        page.into_iter().map(|(key, _)| String::from_utf8(key).expect("text")).collect()
    };
    assert_eq!(keys(None, 2), ["doc/1", "doc/2"]);
    assert_eq!(keys(Some(b"doc/2"), 2), ["doc/3"]);
    assert_eq!(keys(None, usize::MAX), ["doc/1", "doc/2", "doc/3"]);
}

#[test]
fn old_entries_expire_and_a_forgotten_partition_is_empty() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(folder.path(), "m").expect("opened");
    store.apply(&[update(vec![put("old", "1", 10), put("new", "2", 20)], 1)], false).expect("written");
    assert_eq!(store.expire(&partition(), 20).expect("expired"), 1);
    assert_eq!(store.get(&partition(), b"old").expect("read"), None);
    assert_eq!(store.get(&partition(), b"new").expect("read"), Some(b"2".to_vec()));
    store.forget(&partition()).expect("forgotten");
    assert_eq!(store.mark(&partition()).expect("read"), None);
    assert_eq!(store.get(&partition(), b"new").expect("read"), None);
}

#[test]
fn a_damaged_file_is_made_anew() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("m.redb"), vec![7_u8; 9000]).expect("written");
    let store = Store::open(folder.path(), "m").expect("made anew");
    assert_eq!(store.mark(&partition()).expect("read"), None);
}

#[test]
fn a_folder_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("written");
    let error = Store::open(&file, "m").expect_err("a file is no folder");
    assert_eq!(error.code(), Code::StateStore);
    assert_eq!(error.place().file, Some(file.join("m.redb").display().to_string()));
    assert!(error.recycles());
}

#[test]
fn a_closed_store_gives_its_file_to_the_next_one() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(folder.path(), "m").expect("opened");
    store.close();
    let next = Store::open(folder.path(), "m").expect("opened while the first is still held");
    assert_eq!(next.get(&partition(), b"a").expect("read"), None);
    let error = store.get(&partition(), b"a").expect_err("closed");
    assert_eq!(error.code(), Code::SessionEnded);
    assert_eq!(error.place().record.as_deref(), Some("m"));
}
