//! Child processes that die with us.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

/// What to start.
#[derive(Debug, Clone)]
pub struct Spec {
    /// What it is called in messages, and its log file.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables added to its environment.
    pub environment: Vec<(String, String)>,
    /// The folder that gets `NAME.log`, with everything it prints; standard output is ours when `piped`.
    pub logs: PathBuf,
    /// Whether standard output is read by us.
    pub piped: bool,
}

impl Spec {
    /// `program` with its log in `logs`.
    pub fn new(name: &str, program: impl Into<PathBuf>, logs: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            logs: logs.to_owned(),
            piped: false,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Standard output is read by us.
    #[must_use]
    pub fn piped(mut self) -> Self {
        self.piped = true;
        self
    }
}

/// The children that run now.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Kills every child that still runs, for the moment before this process ends.
pub fn kill_all() {
    let running = std::mem::take(&mut *RUNNING.lock().unwrap_or_else(PoisonError::into_inner));
    for id in running {
        if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
            // One that is gone already is what we want.
            kill_process(id, Signal::KILL).ok();
        }
    }
    pause(Duration::from_millis(200));
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

type Order = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Starts a command from a thread that lives as long as this process.
///
/// The kernel's parent-death signal follows the *thread* that started the child, so a child of a test's own thread
/// would die with the test.
fn spawn_from_lasting_thread(command: Command) -> std::io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                // Nobody waits for the answer any more: the child is dropped with it, running, and dies with us.
                drop(reply.send(command.spawn()));
            }
        });
        orders
    });
    let (reply, answer) = mpsc::channel();
    let gone = || std::io::Error::other("the spawning thread is gone");
    spawner.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

impl Process {
    /// Starts `spec`.
    ///
    /// # Errors
    /// The program does not exist or its log cannot be written.
    pub fn spawn(spec: Spec) -> anyhow::Result<Self> {
        let log = spec.logs.join(format!("{}.log", spec.name));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("opening {}", log.display()))?;
        // A file that may not grow is then an error of the write, as a full disk is, and no signal.
        let mut command = Command::new("env");
        command.args(["--ignore-signal=XFSZ", "setpriv", "--pdeathsig", "KILL", "--"]);
        command.arg(&spec.program).args(&spec.arguments);
        // Without a backtrace the last words of a process are its reason.
        command.env("RUST_BACKTRACE", "0").envs(spec.environment);
        command.stdin(Stdio::null()).stderr(file.try_clone().context("sharing the log")?);
        if spec.piped {
            command.stdout(Stdio::piped());
        } else {
            command.stdout(file);
        }
        let child =
            spawn_from_lasting_thread(command).with_context(|| format!("starting {} through setpriv", spec.name))?;
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(child.id());
        Ok(Self { name: spec.name, child, log })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A number of bytes that the kernel gives of its memory: `field` of `file` in its folder under `/proc`.
    ///
    /// # Errors
    /// It is gone, or there is no such field.
    pub fn memory(&self, file: &str, field: &str) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/{file}", self.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path} of {}", self.name))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(number.with_context(|| format!("no {field} in {path}"))? * 1024)
    }

    /// The file with everything it printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines it printed, for messages.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// The first line of its standard output; the rest is read and forgotten.
    ///
    /// # Errors
    /// It ended without a line, or its standard output is not piped.
    pub fn first_line(&mut self) -> anyhow::Result<String> {
        let output = self.child.stdout.take().context("standard output is not piped")?;
        let mut reader = BufReader::new(output);
        let mut line = String::new();
        let read = reader.read_line(&mut line).context("reading the first line")?;
        if read == 0 {
            bail!("{} ended without a word:\n{}", self.name, self.last_words());
        }
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        Ok(line)
    }

    /// Whether it still runs; its exit status when not.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("asking after {}", self.name))
    }

    /// Sends `signal`.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("a process id out of range")?;
        kill_process(id, signal).with_context(|| format!("signalling {}", self.name))
    }

    /// Whether it stands still, as under SIGSTOP.
    ///
    /// # Errors
    /// It is gone.
    pub fn is_stopped(&self) -> anyhow::Result<bool> {
        let path = format!("/proc/{}/stat", self.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path} of {}", self.name))?;
        // The name before it is in parentheses, and may hold some.
        let state = text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        Ok(state == Some('T'))
    }

    /// Freezes it.
    ///
    /// # Errors
    /// It is gone.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// It is gone.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Lets no file of it grow, as on a full disk, or all of them again.
    ///
    /// # Errors
    /// It is gone.
    pub fn limit_files(&self, full: bool) -> anyhow::Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("a process id out of range")?;
        let most = getrlimit(Resource::Fsize).maximum;
        let limit = Rlimit { current: if full { Some(0) } else { most }, maximum: most };
        prlimit(Some(id), Resource::Fsize, limit).with_context(|| format!("limiting {}", self.name)).map(drop)
    }

    /// Kills it at once and waits until it is gone.
    ///
    /// # Errors
    /// The kernel does not say that it is.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if self.ended()?.is_none() {
            self.child.kill().with_context(|| format!("killing {}", self.name))?;
            self.child.wait().with_context(|| format!("waiting for {}", self.name))?;
        }
        Ok(())
    }

    /// Asks it to end and waits for `patience`.
    ///
    /// # Errors
    /// It has not ended by then; it is killed.
    pub fn stop(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        self.signal(Signal::TERM)?;
        let begin = Instant::now();
        while begin.elapsed() < patience {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            pause(Duration::from_millis(20));
        }
        self.kill()?;
        bail!("{} did not end within {patience:?}:\n{}", self.name, self.last_words())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A child that is gone already is what we want.
        drop(self.kill());
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).retain(|id| *id != self.child.id());
    }
}

/// Blocks this thread: the harness around servers is not async.
#[expect(clippy::disallowed_methods, reason = "waiting for processes happens outside any runtime")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_an_error_of_the_write_until_there_is_room() {
        let folder = tempfile::tempdir().expect("scratch");
        let file = folder.path().join("file");
        let script = format!("while true; do echo x >> {}; sleep 0.01; done", file.display());
        let mut child =
            Process::spawn(Spec::new("writes", "sh", folder.path()).arguments(["-c", &script])).expect("started");
        let size = || std::fs::metadata(&file).map_or(0, |file| file.len());
        let grows = || {
            let (before, begin) = (size(), Instant::now());
            while size() == before && begin.elapsed() < Duration::from_secs(10) {
                pause(Duration::from_millis(10));
            }
            assert!(size() > before);
        };
        grows();
        child.limit_files(true).expect("limited");
        // What it was writing then is written.
        pause(Duration::from_millis(100));
        let full = size();
        pause(Duration::from_millis(300));
        assert_eq!((size(), child.ended().expect("known")), (full, None));
        child.limit_files(false).expect("open again");
        grows();
    }

    #[test]
    fn a_child_ends_when_asked_and_when_dropped() {
        let folder = tempfile::tempdir().expect("scratch");
        let mut asked = Process::spawn(Spec::new("asked", "sleep", folder.path()).arguments(["60"])).expect("started");
        assert_eq!(asked.ended().expect("known"), None);
        assert!(!asked.stop(Duration::from_secs(5)).expect("ended").success());

        let dropped = Process::spawn(Spec::new("dropped", "sleep", folder.path()).arguments(["60"])).expect("started");
        let id = dropped.id();
        drop(dropped);
        assert!(!Path::new(&format!("/proc/{id}/cmdline")).exists());
    }

    #[test]
    fn a_missing_program_leaves_its_reason_in_the_log() {
        let folder = tempfile::tempdir().expect("scratch");
        let mut missing =
            Process::spawn(Spec::new("missing", "no-such-program", folder.path()).piped()).expect("setpriv");
        let error = missing.first_line().expect_err("no line");
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }
}
