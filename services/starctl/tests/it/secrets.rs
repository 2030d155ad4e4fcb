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
