//! What a control plane needs to be reached safely: an authority, a certificate for this machine, a key that signs
//! tokens, and the credential of the first administrator.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519};
use sha2::{Digest as _, Sha256};

use super::secret;

/// The files of an installation's control plane.
#[derive(Debug, Clone)]
pub struct DeskFiles {
    /// The authority's certificate, which clients trust.
    pub ca: PathBuf,
    /// The certificate of the port.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The key that signs tokens.
    pub signing_key: PathBuf,
    /// The credential of the first administrator.
    pub bootstrap: PathBuf,
    /// A client's certificate, and its key.
    pub client: (PathBuf, PathBuf),
}

/// The name in the client's certificate.
pub const CLIENT_NAME: &str = "robot";

impl DeskFiles {
    /// Makes all of them in `folder`, which must be there.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn make(folder: &Path) -> anyhow::Result<Self> {
        let mut authority = CertificateParams::new(Vec::new()).context("an authority")?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        authority.distinguished_name.push(DnType::CommonName, "starbridge test authority");
        let authority_key = KeyPair::generate().context("the authority's key")?;
        let ca = authority.self_signed(&authority_key).context("signing the authority")?.pem();
        let issuer = Issuer::new(authority, authority_key);
        let signed = |name: &str, hosts: &[&str]| -> anyhow::Result<(String, String)> {
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            let mut params = CertificateParams::new(hosts).context("a certificate")?;
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().context("a key")?;
            let certificate = params.signed_by(&key, &issuer).context("signing a certificate")?;
            Ok((certificate.pem(), key.serialize_pem()))
        };
        let (certificate, key) = signed("control", &["localhost", "127.0.0.1"])?;
        let client = signed(CLIENT_NAME, &[])?;
        let signing = KeyPair::generate_for(&PKCS_ED25519).context("a signing key")?.serialize_pem();
        let nonce = format!("{:?}{:?}", std::time::SystemTime::now(), std::thread::current().id());
        let bootstrap = format!("sbb1.{}", hex_of(&Sha256::digest(format!("{nonce}{key}"))));
        Ok(Self {
            ca: secret(folder, "desk-ca.pem", &ca)?,
            certificate: secret(folder, "desk.pem", &certificate)?,
            key: secret(folder, "desk-key.pem", &key)?,
            signing_key: secret(folder, "desk-signing-key.pem", &signing)?,
            bootstrap: secret(folder, "desk-bootstrap", &bootstrap)?,
            client: (secret(folder, "robot.pem", &client.0)?, secret(folder, "robot-key.pem", &client.1)?),
        })
    }

    /// The tables of a replica's settings, except those that every service has. The bound address is written to
    /// [`DeskFiles::address_file`].
    pub fn settings(&self, folder: &Path, ordinal: u32, replication: usize) -> String {
        let text = |path: &Path| path.display().to_string();
        format!(
            "[grpc]\nlisten = \"127.0.0.1:0\"\naddress_file = {:?}\ncertificate_file = {:?}\nkey_file = {:?}\n\
             client_ca_file = {:?}\n\n[access]\nsigning_key_file = {:?}\nbootstrap_file = {:?}\n\n\
             [topics]\nreplication = {replication}\n",
            text(&Self::address_file(folder, ordinal)),
            text(&self.certificate),
            text(&self.key),
            text(&self.ca),
            text(&self.signing_key),
            text(&self.bootstrap),
        )
    }

    /// Where a replica writes the address of its port.
    pub fn address_file(folder: &Path, ordinal: u32) -> PathBuf {
        folder.join(format!("control-{ordinal}.grpc"))
    }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
