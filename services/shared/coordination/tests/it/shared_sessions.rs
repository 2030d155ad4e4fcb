use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use coordination::sessions::Turn;
use coordination::{RedisSettings, SessionStore};
use secrecy::{ExposeSecret, SecretString};

use super::redis_server::RedisServer;

fn key_file(server: &RedisServer, name: &str, key: [u8; 32]) -> PathBuf {
    let file = server.folder().join(name);
    std::fs::write(&file, key).expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("mode set");
    file
}

fn settings(server: &RedisServer) -> RedisSettings {
    let file = key_file(server, "session.key", [42; 32]);
    RedisSettings { session_key_file: Some(file), ..RedisSettings::at(server.url()) }
}

fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}

const EVERY: Duration = Duration::from_millis(400);

#[tokio::test]
async fn processes_share_a_session_that_redis_cannot_read() {
    let server = RedisServer::start().await;
    let settings = settings(&server);
    let store = || SessionStore::connect(Some(&settings)).expect("good settings");
    let (first, second) = (store(), store());
    assert!(first.get("a/u").await.is_none());
    assert_eq!(first.put("a/u", 0, &secret("open sesame")).await.generation, 1);
    let held = second.get("a/u").await.expect("shared");
    assert_eq!((held.generation, held.session.expose_secret()), (1, "open sesame"));

    let slower = second.put("a/u", 0, &secret("too late")).await;
    assert_eq!((slower.generation, slower.session.expose_secret()), (1, "open sesame"));
    assert_eq!(second.put("a/u", 1, &secret("next")).await.generation, 2);
    assert_eq!(first.get("a/u").await.map(|held| held.generation), Some(2));

    let mut get = redis::cmd("GET");
    get.arg("starbridge:session:a/u");
    let raw: String = server.ask(get).await.expect("a value");
    assert!(raw.starts_with("2:") && !raw.contains("next"), "{raw}");
    let mut left = redis::cmd("PTTL");
    left.arg("starbridge:session:a/u");
    assert!(server.ask::<i64>(left).await.expect("a time") > 0, "it expires");
}

#[tokio::test]
async fn logins_take_turns_across_processes_and_refusals_are_known_to_all() {
    let server = RedisServer::start().await;
    let settings = settings(&server);
    let store = || SessionStore::connect(Some(&settings)).expect("good settings");
    let (first, second) = (store(), store());
    assert_eq!(first.login_turn("a/u", EVERY).await, Turn::Now);
    let Turn::After(wait) = second.login_turn("a/u", EVERY).await else { panic!("not our turn") };
    assert!(wait <= EVERY);
    tokio::time::sleep(wait + Duration::from_millis(20)).await;
    assert_eq!(second.login_turn("a/u", EVERY).await, Turn::Now);

    assert!(!second.refused("a/u", "print").await);
    first.refuse("a/u", "print").await;
    assert!(second.refused("a/u", "print").await);
    assert!(!second.refused("a/u", "another").await);
    let mut get = redis::cmd("GET");
    get.arg("starbridge:refused:a/u");
    assert!(!server.ask::<String>(get).await.expect("a value").contains("print"));
}

#[tokio::test]
async fn without_redis_each_process_keeps_its_own() {
    let mut server = RedisServer::start().await;
    let store = SessionStore::connect(Some(&settings(&server))).expect("good settings");
    store.put("a/u", 0, &secret("shared")).await;
    server.kill();
    assert_eq!(store.get("a/u").await.map(|held| held.generation), Some(1));
    assert_eq!(store.login_turn("a/u", EVERY).await, Turn::Now);
    assert!(matches!(store.login_turn("a/u", EVERY).await, Turn::After(_)));
    assert_eq!(store.put("a/u", 1, &secret("own")).await.generation, 2);
    server.restart().await;
    assert!(store.get("a/u").await.is_none(), "redis came back without it");
    assert_eq!(store.put("a/u", 2, &secret("again")).await.generation, 3);
    assert_eq!(store.get("a/u").await.expect("shared").session.expose_secret(), "again");
}

#[tokio::test]
async fn foreign_values_and_other_keys_are_nothing() {
    let server = RedisServer::start().await;
    let store = SessionStore::connect(Some(&settings(&server))).expect("good settings");
    let mut push = redis::cmd("LPUSH");
    push.arg("starbridge:session:a/u").arg("x");
    server.ask::<i64>(push).await.expect("a list");
    let mut words = redis::cmd("SET");
    words.arg("starbridge:turn:a/u").arg("for ever");
    server.ask::<()>(words).await.expect("words");
    assert!(store.get("a/u").await.is_none());
    assert_eq!(store.login_turn("a/u", EVERY).await, Turn::Now, "a turn that never ends is nobody's");
    assert_eq!(store.put("a/u", 0, &secret("mine")).await.generation, 1);
    assert_eq!(store.get("a/u").await.expect("replaced").session.expose_secret(), "mine");

    let mut other = settings(&server);
    other.session_key_file = Some(key_file(&server, "other.key", [1; 32]));
    let stranger = SessionStore::connect(Some(&other)).expect("good settings");
    assert!(stranger.get("a/u").await.is_none(), "another key reads nothing");
}

#[tokio::test]
async fn without_a_key_sessions_stay_in_the_process() {
    let server = RedisServer::start().await;
    let plain = RedisSettings::at(server.url());
    let store = || SessionStore::connect(Some(&plain)).expect("good settings");
    let (first, second) = (store(), store());
    first.put("a/u", 0, &secret("own")).await;
    assert!(second.get("a/u").await.is_none());
    assert_eq!(first.get("a/u").await.map(|held| held.generation), Some(1));
    assert_eq!(server.ask::<i64>(redis::cmd("DBSIZE")).await.expect("a size"), 0);
}
