use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}

fn cipher_of(file: &tempfile::NamedTempFile) -> Result<Aes256Gcm, Error> {
    cipher(file.path(), &RedisSettings::at("redis://127.0.0.1:6379/0"))
}

fn key_file(content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a scratch file");
    file.write_all(content).expect("written");
    file
}

#[test]
fn sealed_sessions_open_for_their_identity_and_generation_only() {
    let cipher = cipher_of(&key_file(&[7; 32])).expect("a key");
    let held = Held { generation: 3, session: secret("session-id") };
    let text = seal(&cipher, "a/user", &held).expect("sealed");
    let again = seal(&cipher, "a/user", &held).expect("sealed");
    assert_ne!(text, again, "a fresh nonce each time");
    assert!(!text.contains("session-id"));

    let opened = open(&cipher, "a/user", &text).expect("opens");
    assert_eq!((opened.generation, opened.session.expose_secret()), (3, "session-id"));
    assert!(open(&cipher, "another/user", &text).is_none());
    assert!(open(&cipher, "a/user", &text.replacen('3', "4", 1)).is_none());
    for broken in ["", "3", "3:", "3:AAAA", "x:AAAA", "3:***"] {
        assert!(open(&cipher, "a/user", broken).is_none(), "{broken:?}");
    }
}

#[test]
fn a_key_is_32_bytes_or_64_hexadecimal_digits() {
    assert!(cipher_of(&key_file(&[0xff; 32])).is_ok());
    assert!(cipher_of(&key_file(format!("{}\n", "0a".repeat(32)).as_bytes())).is_ok());
    for bad in [&b"short"[..], &[0; 33], b"zz"] {
        let file = key_file(bad);
        let error = cipher_of(&file).expect_err("refused");
        assert_eq!(error.code(), Code::RedisSecret);
        assert_eq!(error.fault().place.file, Some(file.path().display().to_string()));
    }
}

#[test]
fn a_key_that_everybody_may_read_is_refused() {
    let file = key_file(&[7; 32]);
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).expect("mode set");
    let error = cipher_of(&file).expect_err("refused");
    assert_eq!(error.code(), Code::SettingsSecretFile);
    assert_eq!(error.fault().place.path.as_deref(), Some("$.redis.session_key_file"));
}

#[tokio::test(start_paused = true)]
async fn the_memory_twin_counts_generations_and_spaces_logins() {
    let store = SessionStore::connect(None).expect("no settings, no trouble");
    assert!(store.get("i").await.is_none());
    assert_eq!(store.put("i", 0, &secret("first")).await.generation, 1);
    let held = store.put("i", 0, &secret("slower")).await;
    assert_eq!((held.generation, held.session.expose_secret()), (1, "first"));
    assert_eq!(store.put("i", 1, &secret("second")).await.generation, 2);
    assert_eq!(store.get("i").await.map(|held| held.generation), Some(2));

    let every = Duration::from_secs(5);
    assert_eq!(store.login_turn("i", every).await, Turn::Now);
    assert_eq!(store.login_turn("i", every).await, Turn::After(every));
    tokio::time::advance(every).await;
    assert_eq!(store.login_turn("i", every).await, Turn::Now);

    store.refuse("i", "f").await;
    assert!(store.refused("i", "f").await);
    assert!(!store.refused("i", "g").await);
}
