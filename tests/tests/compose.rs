//! The compose file and the services agree: files, ports, health checks, settings, secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::servers::{binaries, workspace};
use serde_json::Value;

/// What runs all the time: the stages and the control plane.
const SERVICES: [&str; 4] = ["extractor", "transformer", "loader", "control"];
/// The port of gRPC.
const GRPC: &str = "9443";
const SETTINGS: &str = "/etc/starbridge/settings.toml";

fn folder() -> PathBuf {
    workspace().join("deploy/compose")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The compose file with its merge keys resolved.
fn compose() -> Value {
    let text = read(&folder().join("compose.yaml"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("compose.yaml: {error}"))
}

fn service<'a>(compose: &'a Value, name: &str) -> &'a Value {
    &compose["services"][name]
}

fn texts(list: &Value) -> Vec<String> {
    let entries = list.as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().map(|entry| entry.as_str().unwrap_or_else(|| panic!("no text: {entry}")).to_owned()).collect()
}

/// Mounts of a service: target → source.
fn mounts(service: &Value) -> BTreeMap<String, String> {
    let split = |mount: String| {
        let mut parts = mount.split(':').map(str::to_owned);
        let (source, target) = (parts.next().expect("a source"), parts.next().expect("a target"));
        (target, source)
    };
    texts(&service["volumes"]).into_iter().map(split).collect()
}

fn settings(stage: &str) -> toml::Table {
    read(&folder().join(format!("{stage}.toml"))).parse().unwrap_or_else(|error| panic!("{stage}.toml: {error}"))
}

fn text<'a>(settings: &'a toml::Table, table: &str, key: &str) -> &'a str {
    settings[table][key].as_str().unwrap_or_else(|| panic!("{table}.{key} is no text"))
}

/// `--name=value` of a command.
fn option(command: &[String], name: &str) -> String {
    let prefix = format!("--{name}=");
    let found = command.iter().find_map(|argument| argument.strip_prefix(&prefix));
    found.unwrap_or_else(|| panic!("{command:?} has no {prefix}")).to_owned()
}

#[test]
fn every_file_and_volume_that_is_mounted_exists() {
    let compose = compose();
    let volumes = compose["volumes"].as_object().expect("volumes");
    for (name, service) in compose["services"].as_object().expect("services") {
        for source in mounts(service).into_values() {
            if source.starts_with('.') {
                let path = folder().join(&source);
                assert!(path.exists(), "{name} mounts {source}, which does not exist");
            } else {
                assert!(volumes.contains_key(&source), "{name} mounts volume {source}, which is not declared");
            }
        }
    }
    let build = &service(&compose, "loader")["build"];
    let context = folder().join(build["context"].as_str().expect("a context"));
    assert!(context.join(build["dockerfile"].as_str().expect("a file")).exists());
    assert!(context.join("Cargo.toml").exists());
}

#[test]
fn each_service_listens_is_published_and_is_asked_on_one_port() {
    let compose = compose();
    let mut ports = BTreeSet::new();
    for stage in SERVICES {
        let (service, settings) = (service(&compose, stage), settings(stage));
        let program = format!("/usr/local/bin/starbridge-{stage}");
        assert_eq!(texts(&service["command"]), [program.as_str(), "--config", SETTINGS]);
        assert_eq!(mounts(service)[SETTINGS], format!("./{stage}.toml"));
        let (host, port) = text(&settings, "health", "listen").rsplit_once(':').expect("host and port");
        assert_eq!(host, "0.0.0.0", "{stage} must be reachable from outside its container");
        let mut published = vec![format!("127.0.0.1:{port}:{port}")];
        if stage == "control" {
            published.push(format!("127.0.0.1:{GRPC}:{GRPC}"));
        }
        assert_eq!(texts(&service["ports"]), published);
        assert!(ports.insert(port.to_owned()), "port {port} is taken twice");
        let check = texts(&service["healthcheck"]["test"]);
        assert_eq!(check, ["CMD", program.as_str(), "--config", SETTINGS, "--probe", "/ready"]);
        assert_eq!(mounts(service)[text(&settings, "worker", "data_dir")], stage);
        assert_eq!(text(&settings, "kafka", "brokers"), "kafka:9092");
    }
    let advertised = service(&compose, "kafka")["environment"]["KAFKA_ADVERTISED_LISTENERS"].as_str();
    assert_eq!(advertised, Some("PLAINTEXT://kafka:9092"));
}

#[test]
fn the_services_themselves_accept_their_settings() {
    // Where the flow lies here and not in a container: the extractor reads its flows along with its settings.
    let flows = format!("[{:?}]", workspace().join("deploy/flows/misc-inbound").display().to_string());
    for stage in SERVICES {
        let program = binaries().expect("a folder").join(format!("starbridge-{stage}"));
        let output = Command::new(&program)
            .arg("--config")
            .arg(folder().join(format!("{stage}.toml")))
            .arg("--check-config")
            .env("EXTRACTOR__FLOWS__FOLDERS", &flows)
            .output()
            .unwrap_or_else(|error| panic!("{}: {error} (make build builds it)", program.display()));
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stage}.toml is refused: {words}");
        let shown: toml::Table = String::from_utf8_lossy(&output.stdout).parse().expect("TOML");
        assert_eq!(shown["health"]["listen"], settings(stage)["health"]["listen"]);
    }
}

#[test]
fn the_connections_lead_to_the_simulators() {
    let compose = compose();
    let pairs = [("extractor", "galaxy-a"), ("loader", "galaxy-b"), ("control", "galaxy-a"), ("control", "galaxy-b")];
    for (stage, galaxy) in pairs {
        let settings = settings(stage);
        let connection = &settings["connections"][galaxy];
        let said = |key: &str| connection[key].as_str().unwrap_or_else(|| panic!("{galaxy}.{key}")).to_owned();
        let simulator = service(&compose, galaxy);
        let command = texts(&simulator["command"]);
        assert_eq!(command[..2], ["/usr/local/bin/starbridge-simulator", "kingdee"]);
        let port = option(&command, "listen").replace("0.0.0.0:", "");
        assert_eq!(said("url"), format!("http://{galaxy}:{port}/K3Cloud/"));
        let hosts = settings["outbound"]["hosts"].as_array().expect("a list");
        assert_eq!(hosts.len(), settings["connections"].as_table().expect("connections").len(), "{stage}");
        assert!(
            hosts.iter().any(|host| host.as_str() == Some(format!("{galaxy}:{port}").as_str())),
            "{stage}: {hosts:?}"
        );
        assert_eq!(said("acct_id"), option(&command, "acct-id"));
        assert_eq!(said("app_id"), option(&command, "app-id"));
        assert_eq!(said("user"), option(&command, "user"));
        assert_eq!(connection["calls_per_minute"].to_string(), option(&command, "calls-per-minute"));
        let secret = option(&command, "app-secret-file");
        assert_eq!(said("app_secret_file"), secret);
        for user in [simulator, service(&compose, stage)] {
            let source = user["secrets"][0]["source"].as_str().expect("a secret");
            assert_eq!(secret, format!("/run/secrets/{source}"));
            let variable = compose["secrets"][source]["environment"].as_str().expect("a variable");
            assert!(read(&folder().join(".env")).lines().any(|line| line.starts_with(&format!("{variable}="))));
        }
        let redis = settings["redis"]["url"].as_str().expect("a URL");
        assert!(redis.starts_with("redis://redis:6379/"), "{redis}");
    }
}

#[test]
fn the_flow_names_connections_that_its_stages_have() {
    let extractor = service(&compose(), "extractor").clone();
    let flows = settings("extractor")["flows"]["folders"][0].as_str().expect("a folder").to_owned();
    let mut seen = 0;
    for (target, source) in mounts(&extractor).into_iter().filter(|(target, _)| target.starts_with(&flows)) {
        let flow: toml::Table = read(&folder().join(source).join("flow.toml")).parse().expect("a flow file");
        assert_eq!(target, format!("{flows}/{}", flow["flow"].as_str().expect("a name")));
        let connection = |side: &str| flow[side]["connection"].as_str().expect("a connection").to_owned();
        assert!(settings("extractor")["connections"].get(connection("source")).is_some());
        assert!(settings("loader")["connections"].get(connection("target")).is_some());
        seen += 1;
    }
    assert_eq!(seen, 1);
}

#[test]
fn our_containers_run_without_privileges_on_one_image() {
    let compose = compose();
    let dockerfile = read(&workspace().join("deploy/Dockerfile"));
    assert!(dockerfile.contains("\nUSER 10001:10001\n"), "the image must not run as root");
    for name in SERVICES.into_iter().chain(["galaxy-a", "galaxy-b", "starctl"]) {
        let service = service(&compose, name);
        assert_eq!(service["user"], "10001:10001", "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(texts(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        let started = service.get("entrypoint").unwrap_or(&service["command"]);
        let program = texts(started)[0].replace("/usr/local/bin/", "");
        assert!(dockerfile.contains(&format!("target/release/{program}")), "{program} is not in the image");
    }
}

/// A file that the settings of the control plane name, as it is called in the volume of the desk.
fn desk_file(settings: &toml::Table, table: &str, key: &str) -> String {
    let path = text(settings, table, key);
    path.strip_prefix("/desk/").unwrap_or_else(|| panic!("{table}.{key} = {path} lies elsewhere")).to_owned()
}

fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "openssl {arguments:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_files_of_the_control_plane_are_made_once_and_hold_for_its_name() {
    let compose = compose();
    let maker = service(&compose, "control-files");
    let entry = texts(&maker["entrypoint"]);
    assert_eq!(entry, ["/bin/sh", "/control-files.sh", "/desk"]);
    assert_eq!(mounts(maker)["/control-files.sh"], "./control-files.sh");
    for name in ["control-files", "control", "starctl"] {
        assert_eq!(mounts(service(&compose, name))["/desk"], "desk", "{name}");
    }
    let made = &service(&compose, "control")["depends_on"]["control-files"]["condition"];
    assert_eq!(made, "service_completed_successfully");

    let scratch = tempfile::tempdir().expect("a folder");
    let make = || {
        let mut command = Command::new("/bin/sh");
        let output = command.arg(folder().join("control-files.sh")).arg(scratch.path()).output().expect("sh runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    make();
    let settings = settings("control");
    let [certificate, key] = ["certificate_file", "key_file"].map(|name| desk_file(&settings, "grpc", name));
    let [signing, bootstrap] = ["signing_key_file", "bootstrap_file"].map(|name| desk_file(&settings, "access", name));
    let before = read(&scratch.path().join(&bootstrap));
    assert!(before.trim().strip_prefix("sbb1.").is_some_and(|secret| secret.len() == 64), "{before}");
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(scratch.path()).expect("the folder") {
        let entry = entry.expect("an entry");
        let mode = std::os::unix::fs::PermissionsExt::mode(&entry.metadata().expect("its mode").permissions());
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
        names.insert(entry.file_name().into_string().expect("text"));
    }
    let expected = [&bootstrap, &certificate, &key, &signing].map(String::as_str).into_iter().chain(["ca.pem"]);
    assert_eq!(names, expected.map(str::to_owned).collect());

    let host = text(&settings, "grpc", "advertise").strip_suffix(&format!(":{GRPC}")).expect("host and port");
    assert_eq!(text(&settings, "grpc", "listen"), format!("0.0.0.0:{GRPC}"));
    let trusted = ["verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose", "sslserver", "-verify_hostname"];
    for name in [host, "localhost"] {
        openssl(scratch.path(), &[&trusted[..], &[name, &certificate]].concat());
    }
    let of_key = openssl(scratch.path(), &["pkey", "-in", &key, "-pubout"]);
    assert_eq!(of_key, openssl(scratch.path(), &["x509", "-in", &certificate, "-noout", "-pubkey"]));
    assert!(openssl(scratch.path(), &["pkey", "-in", &signing, "-noout", "-text"]).starts_with("ED25519"));
    // A second start leaves them alone.
    make();
    assert_eq!(read(&scratch.path().join(&bootstrap)), before);
    // What the file says to type leads to this control plane.
    let words = read(&folder().join("compose.yaml"));
    assert!(words.contains(&format!("--endpoint https://{host}:{GRPC} --ca-cert /desk/ca.pem\n")));
    assert!(words.contains(&format!("--credential-file /desk/{bootstrap}\n")));
}

#[test]
fn kafka_is_the_version_the_tests_run_on() {
    let pom = read(&workspace().join("deploy/kafka/pom.xml"));
    let version = pom.split_once("<kafka.version>").and_then(|(_, rest)| rest.split_once('<')).expect("a version").0;
    assert_eq!(service(&compose(), "kafka")["image"], format!("apache/kafka:{version}"));
}
