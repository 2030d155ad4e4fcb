//! A real Apache Kafka: one KRaft node that is broker and controller.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::process::{Process, Spec, pause};
use super::{cache, free_ports, variable, workspace};

/// A Kafka of our own, or one that runs already.
#[derive(Debug)]
pub struct Kafka {
    brokers: String,
    secure: Option<Secure>,
    home: Option<Home>,
    process: Option<Process>,
}

/// The TLS listener and the one user who may log in there.
#[derive(Debug, Clone)]
pub struct Secure {
    /// `host:port` of the SASL_SSL listener.
    pub brokers: String,
    /// PEM file with the broker's certificate.
    pub certificate: PathBuf,
    /// The user.
    pub username: String,
    /// File with the user's password.
    pub password_file: PathBuf,
}

/// Files and class path of a node.
#[derive(Debug)]
struct Home {
    scratch: PathBuf,
    settings: PathBuf,
    libraries: PathBuf,
}

const PASSWORD: &str = "scram-password-of-the-test";

impl Kafka {
    /// The Kafka that `STARBRIDGE_TEST_KAFKA` names, else one of our own with its data in `scratch`.
    ///
    /// # Errors
    /// Its jars are not set up, Java is missing, or it does not come up within a minute.
    pub fn shared(scratch: &Path) -> anyhow::Result<Self> {
        match variable("STARBRIDGE_TEST_KAFKA") {
            Some(brokers) => Ok(Self { brokers, secure: None, home: None, process: None }),
            None => Self::start(scratch),
        }
    }

    /// One of our own on free ports, in plain text.
    ///
    /// # Errors
    /// As [`Kafka::shared`].
    pub fn start(scratch: &Path) -> anyhow::Result<Self> {
        Self::launch(scratch, false, None)
    }

    /// One of our own behind a link: it also listens on the port `inner` and tells whoever comes there to come by
    /// `advertised`, where the link must listen. [`Kafka::brokers`] leads past the link.
    ///
    /// # Errors
    /// As [`Kafka::shared`].
    pub fn start_behind(scratch: &Path, inner: u16, advertised: u16) -> anyhow::Result<Self> {
        Self::launch(scratch, false, Some((inner, advertised)))
    }

    /// One of our own that also listens with TLS and SCRAM-SHA-512.
    ///
    /// # Errors
    /// As [`Kafka::shared`]; also when `keytool` is missing.
    pub fn start_secure(scratch: &Path) -> anyhow::Result<Self> {
        Self::launch(scratch, true, None)
    }

    fn launch(scratch: &Path, secure: bool, link: Option<(u16, u16)>) -> anyhow::Result<Self> {
        let scratch = scratch.join("kafka");
        std::fs::create_dir_all(&scratch).context("making the broker's folder")?;
        let libraries = libraries()?;
        let ports = free_ports(3)?;
        let settings = scratch.join("server.properties");
        let mut text = properties(&scratch, ports[0], ports[1]);
        let access = if secure { Some(secure_listener(&scratch, ports[2], &mut text)?) } else { None };
        if let Some((inner, advertised)) = link {
            let plain = format!("PLAINTEXT://127.0.0.1:{}", ports[0]);
            text = text.replacen("\nlisteners=", &format!("\nlisteners=LINK://127.0.0.1:{inner},"), 1);
            text = text.replacen("PLAINTEXT:PLAINTEXT,", "PLAINTEXT:PLAINTEXT,LINK:PLAINTEXT,", 1);
            writeln!(text, "advertised.listeners={plain},LINK://127.0.0.1:{advertised}")
                .context("writing to a text")?;
        }
        std::fs::write(&settings, text).context("writing the broker's settings")?;
        std::fs::write(scratch.join("log4j2.properties"), LOGGING).context("writing the broker's log settings")?;
        let home = Home { scratch, settings, libraries };
        home.format(secure)?;
        let mut kafka =
            Self { brokers: format!("127.0.0.1:{}", ports[0]), secure: access, home: Some(home), process: None };
        kafka.begin()?;
        Ok(kafka)
    }

    /// `host:port` of the plain listener.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The folder of its partitions, when it is ours.
    pub fn data(&self) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.scratch.join("data"))
    }

    /// The TLS listener, if it was started with one.
    pub fn secure(&self) -> Option<&Secure> {
        self.secure.as_ref()
    }

    /// The process, when it is ours and runs.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Kills it at once.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// It does not end within half a minute.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.stop(Duration::from_secs(30)).map(drop),
            None => Ok(()),
        }
    }

    /// Kills it and takes its disks away; what is started again is an empty one on its ports.
    ///
    /// # Errors
    /// It is not ours, or the new disks cannot be formatted.
    pub fn lose(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        let data = self.data().context("this Kafka was not started here")?;
        std::fs::remove_dir_all(&data).with_context(|| format!("removing {}", data.display()))?;
        let secure = self.secure.is_some();
        self.home.as_ref().map_or(Ok(()), |home| home.format(secure))
    }

    /// Starts it on its old data and ports, and waits until it answers.
    ///
    /// # Errors
    /// It is not ours, or does not come up within a minute.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        let home = self.home.as_ref().context("this Kafka was not started here")?;
        let mut spec = Spec::new("kafka", "java", &home.scratch).arguments([
            "-Xms256m",
            "-Xmx1g",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
        ]);
        let logging = format!("-Dlog4j2.configurationFile={}", home.scratch.join("log4j2.properties").display());
        // What it unpacks goes with its folder, also when it is killed.
        let unpacked = format!("-Djava.io.tmpdir={}", home.scratch.display());
        spec = spec.arguments([logging, unpacked, "-cp".to_owned(), home.class_path(), "kafka.Kafka".to_owned()]);
        spec = spec.arguments([home.settings.clone()]);
        let mut process = Process::spawn(spec)?;
        let begun = Instant::now();
        while !answers(&self.brokers) {
            if let Some(status) = process.ended()? {
                bail!("Kafka ended with {status}:\n{}", process.last_words());
            }
            if begun.elapsed() > Duration::from_secs(60) {
                bail!("Kafka does not answer after a minute:\n{}", process.last_words());
            }
            pause(Duration::from_millis(200));
        }
        self.process = Some(process);
        Ok(())
    }
}

impl Home {
    fn class_path(&self) -> String {
        self.libraries.join("*").display().to_string()
    }

    fn format(&self, secure: bool) -> anyhow::Result<()> {
        let mut command = Command::new("java");
        command.args(["-XX:TieredStopAtLevel=1", "-cp", &self.class_path(), "kafka.tools.StorageTool", "format"]);
        // Any 16 bytes in URL-safe base64 without padding are a cluster id.
        command.args(["--cluster-id", "c3RhcmJyaWRnZS10ZXN0cw", "--standalone", "--ignore-formatted", "--config"]);
        command.arg(&self.settings);
        if secure {
            command.arg("--add-scram").arg(format!("SCRAM-SHA-512=[name=starbridge,password={PASSWORD}]"));
        }
        let output = command.output().context("running java (apt-get install openjdk-17-jre-headless)")?;
        if !output.status.success() {
            bail!("formatting the broker's storage failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

/// The jars that `deploy/kafka/setup.sh` keeps.
fn libraries() -> anyhow::Result<PathBuf> {
    let pom = std::fs::read_to_string(workspace().join("deploy/kafka/pom.xml")).context("reading Kafka's pom.xml")?;
    let version = pom
        .split_once("<kafka.version>")
        .and_then(|(_, rest)| rest.split_once("</kafka.version>"))
        .context("no <kafka.version> in Kafka's pom.xml")?
        .0;
    let folder = cache().join("kafka").join(version).join("libs");
    if !folder.is_dir() {
        bail!("Kafka {version} is not set up in {}: run `make setup`", folder.display());
    }
    Ok(folder)
}

const LOGGING: &str = "status=error\nappender.console.type=Console\nappender.console.name=console\n\
appender.console.layout.type=PatternLayout\nappender.console.layout.pattern=%d %p %c %m%n\n\
rootLogger.level=warn\nrootLogger.appenderRef.console.ref=console\n";

fn properties(scratch: &Path, port: u16, controller: u16) -> String {
    let data = scratch.join("data");
    format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\ncontroller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         inter.broker.listener.name=PLAINTEXT\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL\n\
         log.dirs={data}\nauto.create.topics.enable=false\ndelete.topic.enable=true\n\
         offsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n\
         transaction.partition.verification.enable=true\n\
         group.initial.rebalance.delay.ms=0\ngroup.min.session.timeout.ms=1000\n\
         transaction.abort.timed.out.transaction.cleanup.interval.ms=1000\n\
         log.retention.check.interval.ms=1000\nlog.cleaner.backoff.ms=500\n\
         log.segment.delete.delay.ms=1000\nlog.initial.task.delay.ms=1000\n\
         message.max.bytes=16777216\nreplica.fetch.max.bytes=16777216\n\
         log.index.size.max.bytes=1048576\nnum.network.threads=2\nnum.io.threads=4\n",
        data = data.display(),
    )
}

/// Adds a SASL_SSL listener to the settings in `text`, with a certificate made for it.
fn secure_listener(scratch: &Path, port: u16, text: &mut String) -> anyhow::Result<Secure> {
    let store = scratch.join("keystore.p12");
    let certificate = scratch.join("broker.pem");
    let password_file = scratch.join("scram-password");
    std::fs::write(&password_file, PASSWORD).context("writing the password")?;
    restrict(&password_file)?;
    let store_text = store.display().to_string();
    keytool(&[
        "-genkeypair",
        "-alias",
        "broker",
        "-keyalg",
        "EC",
        "-dname",
        "CN=localhost",
        "-ext",
        "SAN=ip:127.0.0.1,dns:localhost",
        "-validity",
        "30",
        "-storetype",
        "PKCS12",
        "-keystore",
        &store_text,
        "-storepass",
        PASSWORD,
    ])?;
    let certificate_text = certificate.display().to_string();
    keytool(&[
        "-exportcert",
        "-rfc",
        "-alias",
        "broker",
        "-keystore",
        &store_text,
        "-storepass",
        PASSWORD,
        "-file",
        &certificate_text,
    ])?;
    *text = text.replacen("listeners=", &format!("listeners=SASL_SSL://127.0.0.1:{port},"), 1);
    write!(
        text,
        "sasl.enabled.mechanisms=SCRAM-SHA-512\nssl.keystore.type=PKCS12\nssl.keystore.location={store_text}\n\
         ssl.keystore.password={PASSWORD}\nssl.key.password={PASSWORD}\n\
         listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n"
    )
    .context("writing to a text")?;
    Ok(Secure { brokers: format!("127.0.0.1:{port}"), certificate, username: "starbridge".to_owned(), password_file })
}

fn keytool(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("keytool").args(arguments).output().context("running keytool (comes with Java)")?;
    if !output.status.success() {
        bail!("keytool failed:\n{}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

/// Takes every right to `file` from group and others.
fn restrict(file: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).context("restricting a file")
}

fn answers(brokers: &str) -> bool {
    let consumer: Result<BaseConsumer, _> =
        ClientConfig::new().set("bootstrap.servers", brokers).set("log_level", "0").create();
    consumer.is_ok_and(|consumer| {
        consumer.fetch_metadata(None, Duration::from_secs(2)).is_ok_and(|metadata| !metadata.brokers().is_empty())
    })
}
