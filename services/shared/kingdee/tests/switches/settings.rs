//! The settings of the simulator under which the client is tried, checked against the simulator's own list of options.

use std::fmt;

use clap::CommandFactory as _;
use kingdee::LoginMode;
use simulator::options::Command;

use super::LOGINS;

/// A way to log in, and switches that are set; all others are at their defaults.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) login: LoginMode,
    switches: Vec<(&'static str, &'static str)>,
}

/// The switches with every value they are tried with. A switch of a few words is tried with all of them, whichever it
/// has; these are the others.
const VALUES: [(&str, &[&str]); 8] = [
    ("url-prefix", &["K3Cloud", "galaxy/k3cloud", "", "云 K3"]),
    ("page-clamp", &["10000", "2"]),
    ("page-refuse", &["2"]),
    ("session-idle-s", &["1200", "5"]),
    ("zone", &["Asia/Shanghai", "UTC", "America/New_York"]),
    ("calls-per-minute", &["200"]),
    ("call-window-ms", &["60000", "600000"]),
    ("seed", &["1", "7"]),
];

/// Options that are no switches: where the server is, whom it knows and what it holds at the start, its log, and its
/// faults, which have a test of their own.
const NO_SWITCHES: [&str; 17] = [
    "listen",
    "admin",
    "acct-id",
    "app-id",
    "app-secret",
    "app-secret-file",
    "user",
    "password-file",
    "orders",
    "orders-prefix",
    "approved-at",
    "base-data-from",
    "unknown-products",
    "held-numbers",
    "schema",
    "request-log",
    "fail",
];

impl Setting {
    fn of(login: LoginMode, switches: &[(&'static str, &'static str)]) -> Self {
        Self { login, switches: switches.to_vec() }
    }

    /// The value of a switch, also where it is the default; `None` where it is not set and has none.
    pub(crate) fn value(&self, switch: &str) -> Option<String> {
        let set = self.switches.iter().find(|(name, _)| *name == switch).map(|(_, value)| (*value).to_owned());
        set.or_else(|| {
            let options = options();
            let option = options.iter().find(|option| option.name == switch).expect("a switch of the simulator");
            option.default.clone()
        })
    }

    /// Whether a switch has this value.
    pub(crate) fn is(&self, switch: &str, value: &str) -> bool {
        self.value(switch).as_deref() == Some(value)
    }

    /// As the simulator's command line has them.
    pub(crate) fn arguments(&self) -> Vec<String> {
        self.switches.iter().map(|(name, value)| format!("--{name}={value}")).collect()
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.login, self.arguments().join(" "))
    }
}

/// An option of `starbridge-simulator kingdee`.
struct SimulatorOption {
    name: String,
    default: Option<String>,
    /// The words it takes, where it takes only some.
    words: Vec<String>,
}

fn options() -> Vec<SimulatorOption> {
    let command = Command::command();
    let kingdee = command.find_subcommand("kingdee").expect("the simulated K3Cloud");
    kingdee
        .get_arguments()
        .map(|argument| SimulatorOption {
            name: argument.get_long().expect("options have long names").to_owned(),
            default: argument.get_default_values().first().map(|value| value.to_string_lossy().into_owned()),
            words: argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect(),
        })
        .collect()
}

/// What is to be tried of each switch.
fn wanted() -> Vec<(String, Vec<String>)> {
    options()
        .into_iter()
        .filter(|option| !NO_SWITCHES.contains(&option.name.as_str()))
        .map(|option| {
            let listed = VALUES.iter().find(|(name, _)| *name == option.name).map(|(_, values)| *values);
            let values = listed.map_or(option.words, |values| values.iter().map(|value| (*value).to_owned()).collect());
            (option.name, values)
        })
        .collect()
}

/// Values of switches that no setting has, switches without a value, and values of switches that are gone.
pub(crate) fn untried() -> Vec<String> {
    let (all, wanted) = (all(), wanted());
    let mut untried = Vec::new();
    for (switch, values) in &wanted {
        if values.is_empty() {
            untried.push(format!("--{switch}: give it values in VALUES, or say in NO_SWITCHES that it is none"));
        }
        for value in values.iter().filter(|value| !all.iter().any(|setting| setting.is(switch, value))) {
            untried.push(format!("--{switch}={value}"));
        }
    }
    let known = options();
    let named = VALUES.iter().map(|(name, _)| name).chain(&NO_SWITCHES);
    let gone = named.filter(|name| !known.iter().any(|option| option.name == **name));
    untried.extend(gone.map(|name| format!("--{name} is no option of the simulator any more")));
    untried
}

/// Each value of each switch by itself, in turn with each way to log in; then the pairs that touch.
pub(crate) fn all() -> Vec<Setting> {
    let mut all: Vec<Setting> = LOGINS.map(|login| Setting::of(login, &[])).to_vec();
    let mut logins = LOGINS.into_iter().cycle();
    let mut next = || logins.next().expect("a cycle does not end");
    let mut alone = |switch: &'static str, values: &[&'static str]| {
        all.extend(values.iter().map(|value| Setting::of(next(), &[(switch, value)])));
    };
    for (switch, values) in VALUES {
        if switch != "call-window-ms" {
            alone(switch, values);
        }
    }
    alone("signed-path", &["any", "raw"]);
    alone("login-words", &["vague", "exact"]);
    alone("empty-text", &["null", "empty", "blank"]);
    alone("unique-numbers", &["on", "off"]);
    alone("kept-numbers", &["on", "off"]);
    alone("required-fields", &["on", "off"]);
    alone("audit-failure", &["rollback", "keep"]);

    alone("selection", &["ids", "numbers", "both"]);
    alone("operation-spelling", &["both", "excute", "execute"]);

    let mut pair = |login, switches: &[(&'static str, &'static str)]| all.push(Setting::of(login, switches));
    // The path is signed, and a login's path is another one. A path that is encoded on its way is not tried on a server
    // that knows it only as it came: there the official SDK, which signs it as it was typed, is refused as well.
    for login in LOGINS {
        for prefix in ["galaxy/k3cloud", "", "云 K3"] {
            pair(login, &[("url-prefix", prefix)]);
        }
    }
    for prefix in ["K3Cloud", "galaxy/k3cloud", ""] {
        pair(LoginMode::Signed, &[("signed-path", "raw"), ("url-prefix", prefix)]);
    }
    // What a refused audit leaves behind may hold the number that is sent again.
    for unique in ["on", "off"] {
        for audit in ["rollback", "keep"] {
            pair(LoginMode::Signed, &[("unique-numbers", unique), ("audit-failure", audit)]);
            pair(
                LoginMode::AppSecret,
                &[("unique-numbers", unique), ("audit-failure", audit), ("required-fields", "off")],
            );
        }
    }
    // Short pages and a lost session between them; pages under another zone and with other empty texts.
    for login in LOGINS {
        pair(login, &[("page-clamp", "2"), ("session-idle-s", "5")]);
        pair(login, &[("page-refuse", "2"), ("empty-text", "blank"), ("zone", "UTC")]);
    }
    // A call beyond the limit is refused in two ways, and so is a login.
    for login in LOGINS {
        pair(login, &[("calls-per-minute", "200"), ("limit-reply", "msgcode"), ("call-window-ms", "60000")]);
        pair(login, &[("calls-per-minute", "200"), ("limit-reply", "http429"), ("call-window-ms", "600000")]);
    }
    all
}
