//! Every command of the operator guide is typed as it stands there, in both languages, and ends as the guide says.
//!
//! A command is a line after `$ ` in a block that is fenced as `console`. It ends with 0, or with N where the fence says
//! `exit=N`. All commands of a guide are typed into one shell, so that what one keeps in a variable the next ones have.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use e2e::demo;
use e2e::road::{Road, RoadPlan};
use e2e::servers::{binaries, workspace};

use super::PATIENCE;

/// A command of a guide.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Typed {
    /// The line it stands on, from 1.
    line: usize,
    /// The command.
    command: String,
    /// How it must end.
    exit: i32,
}

const GUIDES: [&str; 2] = ["deploy/guide/operator.md", "deploy/guide/operator.zh-CN.md"];

fn text(guide: &str) -> String {
    std::fs::read_to_string(workspace().join(guide)).unwrap_or_else(|error| panic!("{guide}: {error}"))
}

/// The commands of a guide's text, in order.
fn commands(text: &str) -> Vec<Typed> {
    let (mut found, mut fenced, mut exit) = (Vec::new(), false, None);
    for (line, written) in (1..).zip(text.lines()) {
        if let Some(words) = written.strip_prefix("```") {
            fenced = !fenced;
            let mut words = words.split_whitespace();
            let console = fenced && words.next() == Some("console");
            exit = console.then(|| match words.next() {
                None => 0,
                Some(word) => {
                    let number = word.strip_prefix("exit=").and_then(|number| number.parse().ok());
                    number.unwrap_or_else(|| panic!("line {line}: {word} is no exit=N"))
                }
            });
        } else if let Some(exit) = exit {
            let command = written.strip_prefix("$ ").unwrap_or_else(|| panic!("line {line} is no command: {written}"));
            found.push(Typed { line, command: command.to_owned(), exit });
        }
    }
    found
}

/// All commands as one script that stops at the first that does not end as it must, and says so. Before the first look at
/// the letters it waits until the control plane knows all of them.
fn script(commands: &[Typed], letters: usize) -> String {
    let mut script = "exec 2>&1\n".to_owned();
    let first_look = commands.iter().position(|typed| typed.command.starts_with("starctl dlq "));
    for (number, Typed { line, command, exit }) in commands.iter().enumerate() {
        if first_look == Some(number) {
            script.push_str(&format!(
                "tries=0\nwhile [ \"$(starctl dlq list --limit 1000 -o name | wc -l)\" -ne {letters} ]; do\n\
                 tries=$((tries + 1)); [ $tries -le 300 ] || {{ echo '== not all letters are known'; exit 1; }}\n\
                 sleep 0.2\ndone\n"
            ));
        }
        let shown = command.replace('\'', r"'\''");
        script.push_str(&format!(
            "printf '%s\\n' '== line {line}: {shown}'\n{{ {command}\n}} </dev/null\ncode=$?\n\
             [ $code = {exit} ] || {{ echo \"== line {line} ended with $code instead of {exit}\"; exit 1; }}\n"
        ));
    }
    script
}

/// An operator's folder beside a road: what the guide says is there.
fn prepare(road: &Road) -> std::path::PathBuf {
    let folder = road.folder().join("operator");
    let flow = folder.join("misc-inbound");
    std::fs::create_dir_all(&flow).expect("a folder");
    std::fs::copy(&road.desk.ca, folder.join("ca.pem")).expect("the authority");
    std::fs::copy(&road.desk.bootstrap, folder.join("bootstrap")).expect("the credential");
    for entry in std::fs::read_dir(workspace().join("deploy/flows/misc-inbound")).expect("the flow") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), flow.join(entry.file_name())).expect("a file of the flow");
    }
    folder
}

/// What a shell in the operator's folder makes of a script.
async fn shell(script: String, folder: &Path, control: &str, language: &str) -> Output {
    let script = format!("PATH=\"$BINARIES:$PATH\"\n{script}");
    let mut command = Command::new("sh");
    command.env("BINARIES", binaries().expect("a folder"));
    command.arg("-c").arg(script).current_dir(folder).stdin(Stdio::null());
    command.env("HOME", folder).env("CONTROL", control);
    command.env("LANG", language).env("STARCTL_LANG", language);
    let run = tokio::task::spawn_blocking(move || command.output());
    run.await.expect("running does not panic").expect("a shell")
}

/// Types a whole guide against a world of its own; what was said on the way.
async fn type_through(guide: &str, language: &str) -> String {
    // The flow as it is shipped: the guide compares it with the operator's own copy.
    let plan = RoadPlan { orders: 100, copies: 2, controls: 1, cron: None, ..RoadPlan::default() };
    let mut road = Road::open(plan).await.expect("laid");
    let orders = road.expectation.source.len();
    road.until("every order ends", PATIENCE, |applied, letters| applied + letters >= orders).await.expect("ended");
    let (folder, control) = (prepare(&road), road.desk_address(0).expect("bound"));
    let typed = script(&commands(&text(guide)), road.expectation.parked.len());
    let typed = shell(typed, &folder, &control, language).await;
    let told = String::from_utf8(typed.stdout).expect("text");
    assert!(typed.status.success(), "{guide} in {language}:\n{told}");

    // What the demonstration says at its end works, too, once the target was mended as the demonstration does it.
    road.mend_target().await.expect("mended");
    let config = folder.join(".config/starctl/config.toml");
    let find = "starctl dlq list -l 'state = open and category = duplicate' -o name | cut -d / -f 2".to_owned();
    let letter = shell(find, &folder, &control, language).await.stdout;
    let letter = String::from_utf8(letter).expect("text").trim().to_owned();
    let starctl = binaries().expect("a folder").join("starctl");
    for (number, command) in demo::commands(&starctl, &config, &letter).into_iter().enumerate() {
        let ran = shell(format!("exec 2>&1; {command}"), &folder, &control, language).await;
        let said = String::from_utf8(ran.stdout).expect("text");
        let told = number == 2 || said.contains(&letter);
        assert!(ran.status.success() && told, "{command}: {said}");
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_does_what_it_says_in_both_languages() {
    let (english, chinese) = tokio::join!(type_through(GUIDES[0], "en"), type_through(GUIDES[1], "zh"));
    for (word, other) in
        [("DOCUMENT", "单据"), ("way out", "处理办法"), ("dry run: nothing was changed", "试运行：未做任何变更")]
    {
        assert!(english.contains(word) && !english.contains(&format!("\n{other}")), "{word}: {english}");
        assert!(chinese.contains(other) && !chinese.contains(&format!("\n{word}")), "{other}: {chinese}");
    }
}

#[test]
fn both_guides_have_the_same_commands_and_headings() {
    let [english, chinese] = GUIDES.map(text);
    let of = |text: &str| commands(text).into_iter().map(|typed| (typed.command, typed.exit)).collect::<Vec<_>>();
    assert_eq!(of(&english), of(&chinese));
    assert!(of(&english).len() > 80);
    let levels = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
    assert_eq!(levels(&english), levels(&chinese));
}

#[test]
fn a_command_ends_as_its_fence_says() {
    let text = "words\n```console\n$ a 'b'\n$ c\n```\n```sh\n$ no\n```\n```console exit=6\n$ d\n```\n";
    let typed = |line, command: &str, exit| Typed { line, command: command.to_owned(), exit };
    let found = commands(text);
    assert_eq!(found, [typed(3, "a 'b'", 0), typed(4, "c", 0), typed(10, "d", 6)]);
    let run = |text: &str| {
        let output = Command::new("sh").arg("-c").arg(script(&commands(text), 0)).output().expect("a shell");
        (output.status.success(), String::from_utf8(output.stdout).expect("text"))
    };
    let (good, told) = run("```console\n$ X=$(echo '7')\n$ echo $X\n```\n```console exit=3\n$ (exit 3)\n```\n");
    assert!(good && told.contains("\n7\n"), "{told}");
    let (good, told) = run("```console\n$ true\n$ false\n$ echo never\n```\n");
    assert!(!good && told.ends_with("== line 3 ended with 1 instead of 0\n"), "{told}");
}
