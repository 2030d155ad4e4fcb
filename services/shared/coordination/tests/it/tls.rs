//! Redis behind TLS, with an authority of its own and a certificate asked of whoever comes.

use std::path::{Path, PathBuf};

use coordination::{Lane, Limit, Limiter, RedisSettings};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::redis_server::{RedisServer, free_port};

/// An authority, and certificate and key of `localhost` signed by it, as files named after `name`.
fn authority(folder: &Path, name: &str) -> [PathBuf; 3] {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, format!("authority of the {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).expect("signed").pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    leaf.distinguished_name.push(DnType::CommonName, name);
    let leaf = leaf.signed_by(&key, &issuer).expect("signed").pem();
    let file = |kind: &str, text: &str| {
        let path = folder.join(format!("{name}-{kind}.pem"));
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("mode set");
        path
    };
    [file("ca", &own), file("certificate", &leaf), file("key", &key.serialize_pem())]
}

#[tokio::test]
async fn redis_is_reached_with_its_own_authority_and_our_certificate_and_not_without() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let [server_ca, certificate, key] = authority(folder.path(), "server");
    let [client_ca, client_certificate, client_key] = authority(folder.path(), "client");
    let port = free_port();
    let path = |path: &Path| path.display().to_string();
    let server = RedisServer::start_with(vec![
        "--tls-port".to_owned(),
        port.to_string(),
        "--tls-cert-file".to_owned(),
        path(&certificate),
        "--tls-key-file".to_owned(),
        path(&key),
        "--tls-ca-cert-file".to_owned(),
        path(&client_ca),
        "--tls-auth-clients".to_owned(),
        "yes".to_owned(),
    ])
    .await;
    let whole = RedisSettings {
        ca_file: Some(server_ca),
        certificate_file: Some(client_certificate),
        key_file: Some(client_key),
        ..RedisSettings::at(format!("rediss://localhost:{port}/0"))
    };
    let limit = Limit { per_minute: 3_000, max_replicas: 1, replica: 0 };
    let reaches = async |settings: &RedisSettings| {
        let limiter = Limiter::connect(Some(settings)).expect("good settings");
        limiter.permit("acct", &limit, Lane::Fresh).await;
        !limiter.is_degraded("acct")
    };
    // A machine that is busy may take longer than a permit may wait.
    let mut tries = 1;
    while !reaches(&whole).await {
        assert!(tries < 20, "it is not reached");
        tries += 1;
    }
    assert!(!reaches(&RedisSettings { certificate_file: None, key_file: None, ..whole.clone() }).await);
    assert!(!reaches(&RedisSettings { ca_file: None, ..whole.clone() }).await);
    assert!(!reaches(&RedisSettings { ca_file: Some(client_ca), ..whole }).await);
    drop(server);
}
