//! `starctl secret`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::bed::Bed;

#[test]
fn a_master_key_is_replaced_in_order_and_in_no_other() {
    let bed = Bed::new();
    let path = |name: &str| bed.path(name).display().to_string();
    let (keys, file) = (path("keys"), path("app-secret"));
    assert_eq!(bed.starctl(&["secret", "key", &keys]).out, "master key 1 seals from now on\n");
    let seal = ["secret", "seal", "--keys", &keys, "--connection", "galaxy-b", &file];
    let first = bed.starctl_with(&seal, "hunter2\n");
    assert!(first.out.ends_with("version 1 for connection galaxy-b, master key 1\n"), "{}", first.seen());
    let text = fs::read_to_string(&file).expect("written");
    assert!(text.contains("galaxy-b") && !text.contains("hunter2"), "{text}");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    assert!(bed.starctl_with(&seal, "hunter3").out.contains("version 2 "));
    assert_eq!(bed.starctl_with(&seal, "\n").code, Some(2), "no secret");

    let retire = ["secret", "retire", "--keys", &keys, "1", &file];
    let seals = bed.starctl(&retire);
    assert!(seals.code == Some(9) && seals.err.contains("E_MASTER_KEY"), "{}", seals.seen());
    assert!(bed.starctl(&["secret", "key", &keys]).out.starts_with("master key 2 "));
    let wraps = bed.starctl(&retire);
    assert!(wraps.code == Some(9) && wraps.err.contains("rewrap it first"), "{}", wraps.seen());
    let rewrap = ["secret", "rewrap", "--keys", &keys, &file];
    assert!(bed.starctl(&rewrap).out.ends_with("app-secret: master key 1 -> 2\n"));
    assert!(bed.starctl(&rewrap).out.ends_with("app-secret: master key 2 as before\n"));
    assert_eq!(bed.starctl(&retire).out, "master key 1 is gone\n");
    assert_eq!(bed.starctl(&retire).code, Some(9), "there is none of this version");
    bed.write("plain", "hunter2", 0o600);
    let ran = bed.starctl(&["secret", "rewrap", "--keys", &keys, &path("plain")]);
    assert!(ran.code == Some(9) && ran.err.contains("E_SEALED_SECRET"), "{}", ran.seen());
}

#[test]
fn a_secret_follows_another_one_and_neither_is_shown() {
    let bed = Bed::new();
    let path = |name: &str| bed.path(name).display().to_string();
    let (keys, file) = (path("keys"), path("app-secret"));
    assert_eq!(bed.starctl(&["secret", "key", &keys]).code, Some(0));
    let rotate = ["connection", "rotate", "connection/galaxy-b", "--keys", &keys, "--file", &file];
    let none = bed.starctl_with(&rotate, "hunter3\n");
    assert!(none.code == Some(3) && none.err.contains("starctl secret seal"), "{}", none.seen());
    let seal = ["secret", "seal", "--keys", &keys, "--connection", "galaxy-b", &file];
    assert_eq!(bed.starctl_with(&seal, "hunter2\n").code, Some(0));
    let before = fs::read_to_string(&file).expect("written");

    assert_eq!(bed.starctl_with(&rotate, "hunter2\n").code, Some(5), "it is there already");
    assert_eq!(bed.starctl_with(&rotate, "\n").code, Some(2), "no secret");
    let other = ["connection", "rotate", "galaxy-a", "--keys", &keys, "--file", &file];
    let other = bed.starctl_with(&other, "hunter3\n");
    assert!(other.code == Some(9) && other.err.contains("E_SEALED_SECRET"), "{}", other.seen());
    bed.write("next", "hunter3\n", 0o644);
    let from = |name: &str| bed.starctl(&[&rotate[..], &["--from", &path(name)]].concat());
    assert_eq!((from("next").code, from("none").code), (Some(2), Some(3)), "others may read it, or it is not there");
    assert_eq!(fs::read_to_string(&file).expect("there"), before, "nothing was written yet");

    bed.write("next", "hunter3\n", 0o600);
    let ran = from("next");
    assert!(!ran.seen().contains("hunter"), "{}", ran.seen());
    insta::assert_snapshot!("connection_rotate", ran.seen());
    let chinese = [&rotate[..], &["--lang", "zh", "-o", "json"]].concat();
    let chinese = bed.starctl_with(&chinese, "hunter4");
    assert_eq!(chinese.json()["items"][0]["version"], 3);
    assert!(chinese.err.contains("作废旧密钥"), "{}", chinese.seen());
    let text = fs::read_to_string(&file).expect("written");
    assert!(text.contains("\"version\":3") && !text.contains("hunter"), "{text}");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    assert!(bed.desk().asked().is_empty());
    // The file opens as every other: the same secret is known again.
    assert_eq!(bed.starctl_with(&rotate, "hunter4").code, Some(5));
}
