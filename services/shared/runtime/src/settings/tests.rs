use super::*;
use std::time::Duration;

use serde::Deserialize;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Sample {
    name: String,
    batch: Batch,
    connections: BTreeMap<String, Connection>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Batch {
    documents: u32,
    #[serde(with = "duration")]
    max_age: Duration,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Connection {
    url: String,
    password_file: Option<PathBuf>,
}

impl Settings for Sample {
    fn check(&self, refusals: &mut Refusals<'_>) {
        if self.batch.documents == 0 {
            refusals.value("batch.documents", "must be 1 to 500");
        }
    }
}

const DEFAULTS: &str = "# How it is called.\nname = \"a\"\n[batch]\ndocuments = 50\nmax_age = \"1s\"\n[connections]\n";

struct Given {
    folder: tempfile::TempDir,
    invocation: Invocation,
}

impl Given {
    fn file(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("sample.toml");
        std::fs::write(&path, text).expect("written");
        Self { folder, invocation: Invocation { config: Some(path), ..Invocation::default() } }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.invocation.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn load(&self) -> Result<Loaded<Sample>, Faults> {
        load("sample", DEFAULTS, &self.invocation)
    }

    fn faults(&self) -> Vec<Fault> {
        self.load().expect_err("the settings are wrong").0
    }

    fn path(&self) -> Option<String> {
        Some(self.folder.path().join("sample.toml").display().to_string())
    }
}

#[test]
fn later_layers_win() {
    let given = Given::file("[batch]\ndocuments = 20\n[connections.galaxy-a]\nurl = \"http://a\"\n")
        .variable("SAMPLE__BATCH__MAX_AGE", "5s")
        .variable("SAMPLE__CONNECTIONS__GALAXY_A__URL", "https://b")
        .variable("SAMPLE__NAME", "0")
        .variable("SAMPLE_SERVICE_HOST", "10.0.0.1")
        .variable("OTHER__NAME", "not ours");
    let settings = given.load().expect("good settings").settings;
    assert_eq!(settings.name, "0");
    assert_eq!(settings.batch, Batch { documents: 20, max_age: Duration::from_secs(5) });
    assert_eq!(settings.connections["galaxy-a"].url, "https://b");
}

#[test]
fn an_unknown_key_is_refused_with_its_place() {
    let given = Given::file("\"名\" = 1\n[batch]\n  document = 20\n").variable("SAMPLE__BATCH__AGE", "5s");
    let faults = given.faults();
    let codes: Vec<Code> = faults.iter().map(|fault| fault.code).collect();
    assert_eq!(codes, [Code::SettingsUnknownKey; 3]);
    let find = |path: &str| {
        faults.iter().find(|fault| fault.place.path.as_deref() == Some(path)).unwrap_or_else(|| panic!("{path}"))
    };
    let document = find("$.batch.document");
    assert_eq!((&document.place.file, document.place.line), (&given.path(), Some(3)));
    assert_eq!(document.place.column.as_deref(), Some("3"));
    assert_eq!(document.hint.as_deref(), Some("known here: documents, max_age"));
    assert_eq!(find("$.batch.age").place.file.as_deref(), Some("environment variable SAMPLE__BATCH__AGE"));
    assert_eq!(find("$.名").place.line, Some(1));
}

#[test]
fn a_wrong_value_is_refused_with_its_place() {
    let given = Given::file("[batch]\ndocuments = \"many\"\n").variable("SAMPLE__BATCH__MAX_AGE", "soon");
    let faults = given.faults();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert_eq!((faults[0].code, faults[1].code), (Code::SettingsValue, Code::SettingsValue));
    assert_eq!(faults[0].place.path.as_deref(), Some("$.batch.documents"));
    assert_eq!((&faults[0].place.file, faults[0].place.line), (&given.path(), Some(2)));
    assert_eq!(faults[0].detail, "batch.documents must be u32, not string \"many\"");
    assert_eq!(faults[1].place.path.as_deref(), Some("$.batch.max_age"));
    assert_eq!(faults[1].place.file.as_deref(), Some("environment variable SAMPLE__BATCH__MAX_AGE"));
    assert!(faults[1].detail.contains("\"soon\" is not a span of time"), "{}", faults[1].detail);
}

#[test]
fn what_the_service_refuses_is_placed_where_it_was_set() {
    let given = Given::file("[batch]\ndocuments = 0\n");
    let faults = given.faults();
    assert_eq!((faults.len(), faults[0].code), (1, Code::SettingsValue));
    assert_eq!(faults[0].place.path.as_deref(), Some("$.batch.documents"));
    assert_eq!((&faults[0].place.file, faults[0].place.line), (&given.path(), Some(2)));
}

#[test]
fn a_missing_value_is_named_with_its_variable() {
    let given = Given::file("[connections.galaxy-a]\n");
    let faults = given.faults();
    assert_eq!((faults.len(), faults[0].code), (1, Code::SettingsMissing));
    assert_eq!(faults[0].place.path.as_deref(), Some("$.connections.galaxy-a.url"));
    assert_eq!((&faults[0].place.file, faults[0].place.line), (&given.path(), Some(1)));
    assert!(faults[0].hint.as_deref().is_some_and(|hint| hint.ends_with("SAMPLE__CONNECTIONS__GALAXY_A__URL")));
}

#[test]
fn a_file_that_does_not_read_is_refused_with_line_and_column() {
    let given = Given::file("[batch]\n名字 = = 2\n");
    let faults = given.faults();
    assert_eq!((faults.len(), faults[0].code), (1, Code::SettingsFile));
    assert_eq!((&faults[0].place.file, faults[0].place.line), (&given.path(), Some(2)));

    let missing = Invocation { config: Some("no/such/file.toml".into()), ..Invocation::default() };
    let faults = load::<Sample>("sample", DEFAULTS, &missing).expect_err("no file").0;
    assert_eq!((faults.len(), faults[0].code), (1, Code::SettingsFile));
    assert_eq!(faults[0].place.file.as_deref(), Some("no/such/file.toml"));
}

#[test]
fn the_effective_settings_show_references_and_no_secrets() {
    let given =
        Given::file("[connections.a]\nurl = \"redis://me:hunter2@host:1\"\npassword_file = \"/run/secrets/a\"\n");
    let effective = given.load().expect("good settings").effective;
    assert!(effective.contains("redis://[redacted]@host:1"), "{effective}");
    assert!(effective.contains("password_file = \"/run/secrets/a\""), "{effective}");
    assert!(effective.contains("documents = 50"), "{effective}");
    assert!(!effective.contains("hunter2"), "{effective}");
}

#[test]
fn a_misplaced_secret_is_not_repeated_in_the_fault() {
    let given = Given::file("password = \"hunter2\"\n[batch]\ndocuments = 1\n");
    let faults = given.faults();
    assert_eq!(faults[0].code, Code::SettingsUnknownKey);
    assert!(!Faults(faults).to_string().contains("hunter2"));
    assert_eq!(
        in_words(&Kind::InvalidType(Actual::Str("hunter2".to_owned()), "u8".to_owned()), true),
        "must be u8, not something else"
    );
}

#[test]
fn the_command_line_is_read() {
    let matches = command("loader")
        .try_get_matches_from(["starbridge-loader", "--config", "a.toml", "--check-config"])
        .expect("good arguments");
    let variables = [(OsString::from("LOADER__X"), OsString::from("1"))];
    let invocation = Invocation::from_matches(&matches, variables.into_iter());
    assert_eq!(invocation.config, Some(PathBuf::from("a.toml")));
    assert!(invocation.check_config);
    assert_eq!(invocation.environment["LOADER__X"], "1");
    assert!(command("loader").try_get_matches_from(["starbridge-loader", "--password", "x"]).is_err());
    let probe = |path| command("loader").try_get_matches_from(["starbridge-loader", "--probe", path]);
    let matches = probe("/ready").expect("good arguments");
    assert_eq!(Invocation::from_matches(&matches, std::iter::empty()).probe.as_deref(), Some("/ready"));
    assert!(probe("/other").is_err());
}
