//! A real Apache Kafka: one KRaft node that is broker and controller, or several.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::process::{Process, Spec, pause};
use super::{cache, free_ports, variable, workspace};

/// A Kafka of our own, or one that runs already.
#[derive(Debug)]
pub struct Kafka {
    brokers: String,
    secure: Option<Secure>,
    /// Those of our own, each of which is broker and controller.
    nodes: Vec<Node>,
}

/// One node.
#[derive(Debug)]
struct Node {
    name: String,
    /// `host:port` of its plain listener.
    address: String,
    home: Home,
    process: Option<Process>,
}

/// Where a node behind a link listens, and where the link does.
#[derive(Debug, Clone, Copy)]
pub struct Behind {
    /// The node's port for what comes through the link.
    pub inner: u16,
    /// The port of the link, by which the node tells clients to come.
    pub advertised: u16,
}

/// The TLS listeners: one for the one user who may log in, one for the one client that is trusted.
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
    /// `host:port` of the SSL listener, which lets in whoever shows the client's certificate.
    pub mutual: String,
    /// PEM files of the client's certificate and of its key.
    pub client: (PathBuf, PathBuf),
}

/// Files and class path of a node.
#[derive(Debug)]
struct Home {
    scratch: PathBuf,
    settings: PathBuf,
    libraries: PathBuf,
    /// Whether there is no other node.
    alone: bool,
}

const PASSWORD: &str = "scram-password-of-the-test";

/// A node that does not answer by then never does.
const PATIENCE: Duration = Duration::from_secs(60);

impl Kafka {
    /// The Kafka that `STARBRIDGE_TEST_KAFKA` names, else one of our own with its data in `scratch`.
    ///
    /// # Errors
    /// Its jars are not set up, Java is missing, or it does not come up within a minute.
    pub fn shared(scratch: &Path) -> anyhow::Result<Self> {
        match variable("STARBRIDGE_TEST_KAFKA") {
            Some(brokers) => Ok(Self { brokers, secure: None, nodes: Vec::new() }),
            None => Self::start(scratch),
        }
    }

    /// One of our own on free ports, in plain text.
    ///
    /// # Errors
    /// As [`Kafka::shared`].
    pub fn start(scratch: &Path) -> anyhow::Result<Self> {
        Self::launch(scratch, false, &[None])
    }

    /// One of our own, of as many nodes as there are links: each listens for its own, too. [`Kafka::brokers`] leads past
    /// them.
    ///
    /// # Errors
    /// As [`Kafka::shared`].
    pub fn start_behind(scratch: &Path, links: &[Behind]) -> anyhow::Result<Self> {
        let links: Vec<Option<Behind>> = links.iter().copied().map(Some).collect();
        Self::launch(scratch, false, &links)
    }

    /// One of our own that also listens with TLS and SCRAM-SHA-512.
    ///
    /// # Errors
    /// As [`Kafka::shared`]; also when `keytool` is missing.
    pub fn start_secure(scratch: &Path) -> anyhow::Result<Self> {
        Self::launch(scratch, true, &[None])
    }

    fn launch(scratch: &Path, secure: bool, links: &[Option<Behind>]) -> anyhow::Result<Self> {
        let libraries = libraries()?;
        let ports = free_ports(2 * links.len() + 2)?;
        let (plain, rest) = ports.split_at(links.len());
        let (controllers, spare) = rest.split_at(links.len());
        let mut kafka = Self { brokers: String::new(), secure: None, nodes: Vec::new() };
        for (at, link) in links.iter().enumerate() {
            let name = if at == 0 { "kafka".to_owned() } else { format!("kafka-{}", at + 1) };
            let scratch = scratch.join(&name);
            std::fs::create_dir_all(&scratch).context("making the broker's folder")?;
            let settings = scratch.join("server.properties");
            let mut text = properties(&scratch, at, plain[at], controllers);
            if secure {
                kafka.secure = Some(secure_listeners(&scratch, [spare[0], spare[1]], &mut text)?);
            }
            if let Some(Behind { inner, advertised }) = link {
                let plain = format!("PLAINTEXT://127.0.0.1:{}", plain[at]);
                text = text.replacen("\nlisteners=", &format!("\nlisteners=LINK://127.0.0.1:{inner},"), 1);
                text = text.replacen("PLAINTEXT:PLAINTEXT,", "PLAINTEXT:PLAINTEXT,LINK:PLAINTEXT,", 1);
                writeln!(text, "advertised.listeners={plain},LINK://127.0.0.1:{advertised}")
                    .context("writing to a text")?;
            }
            std::fs::write(&settings, text).context("writing the broker's settings")?;
            std::fs::write(scratch.join("log4j2.properties"), LOGGING).context("writing the broker's log settings")?;
            let home = Home { scratch, settings, libraries: libraries.clone(), alone: links.len() == 1 };
            home.format(secure)?;
            kafka.nodes.push(Node { name, address: format!("127.0.0.1:{}", plain[at]), home, process: None });
        }
        let addresses: Vec<&str> = kafka.nodes.iter().map(|node| node.address.as_str()).collect();
        kafka.brokers = addresses.join(",");
        kafka.begin()?;
        Ok(kafka)
    }

    /// `host:port` of the plain listeners, comma separated.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// How many nodes are ours.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The folder of the first node's partitions, when it is ours. Every node has them all.
    pub fn data(&self) -> Option<PathBuf> {
        self.nodes.first().map(|node| node.home.data())
    }

    /// The TLS listener, if it was started with one.
    pub fn secure(&self) -> Option<&Secure> {
        self.secure.as_ref()
    }

    /// The process of a node, while it runs.
    pub fn process(&self, node: usize) -> Option<&Process> {
        self.nodes.get(node).and_then(|node| node.process.as_ref())
    }

    /// Kills every node at once.
    ///
    /// # Errors
    /// One cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        (0..self.nodes.len()).try_for_each(|node| self.kill_node(node))
    }

    /// Kills one node.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill_node(&mut self, node: usize) -> anyhow::Result<()> {
        match self.nodes.get_mut(node).and_then(|node| node.process.take()) {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// A node does not end within half a minute.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            if let Some(mut process) = node.process.take() {
                process.stop(Duration::from_secs(30))?;
            }
        }
        Ok(())
    }

    /// Kills it and takes its disks away; what is started again is an empty one on its ports.
    ///
    /// # Errors
    /// It is not ours, or the new disks cannot be formatted.
    pub fn lose(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        for node in &self.nodes {
            let data = node.home.data();
            std::fs::remove_dir_all(&data).with_context(|| format!("removing {}", data.display()))?;
            node.home.format(self.secure.is_some())?;
        }
        Ok(())
    }

    /// Starts what does not run on its old data and ports, and waits until it answers.
    ///
    /// # Errors
    /// It is not ours, or does not come up within a minute.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        ensure!(!self.nodes.is_empty(), "this Kafka was not started here");
        // All of them, then the waiting: one alone is no quorum.
        let mut begun = Vec::new();
        for (at, node) in self.nodes.iter_mut().enumerate() {
            if node.process.is_none() {
                node.process = Some(Process::spawn(node.home.spec(&node.name))?);
                begun.push(at);
            }
        }
        begun.into_iter().try_for_each(|node| self.nodes[node].wait())
    }

    /// Whether every replica of every partition has what its leader has.
    pub fn is_in_sync(&self) -> bool {
        let consumer: Result<BaseConsumer, _> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).set("log_level", "0").create();
        let metadata = consumer.and_then(|consumer| consumer.fetch_metadata(None, Duration::from_secs(5)));
        metadata.is_ok_and(|metadata| {
            let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
            partitions
                .all(|partition| partition.error().is_none() && partition.isr().len() == partition.replicas().len())
        })
    }
}

impl Node {
    /// Waits until it answers.
    fn wait(&mut self) -> anyhow::Result<()> {
        let Self { name, address, process, .. } = self;
        let process = process.as_mut().with_context(|| format!("{name} does not run"))?;
        let begun = Instant::now();
        while !answers(address) {
            if let Some(status) = process.ended()? {
                bail!("{name} ended with {status}:\n{}", process.last_words());
            }
            if begun.elapsed() > PATIENCE {
                bail!("{name} does not answer after {PATIENCE:?}:\n{}", process.last_words());
            }
            pause(Duration::from_millis(200));
        }
        Ok(())
    }
}

impl Home {
    fn data(&self) -> PathBuf {
        self.scratch.join("data")
    }

    fn spec(&self, name: &str) -> Spec {
        let memory = if self.alone { "-Xmx1g" } else { "-Xmx640m" };
        let logging = format!("-Dlog4j2.configurationFile={}", self.scratch.join("log4j2.properties").display());
        // What it unpacks goes with its folder, also when it is killed.
        let unpacked = format!("-Djava.io.tmpdir={}", self.scratch.display());
        Spec::new(name, "java", &self.scratch)
            .arguments(["-Xms256m", memory, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arguments([logging, unpacked, "-cp".to_owned(), self.class_path(), "kafka.Kafka".to_owned()])
            .arguments([self.settings.clone()])
    }

    fn class_path(&self) -> String {
        self.libraries.join("*").display().to_string()
    }

    fn format(&self, secure: bool) -> anyhow::Result<()> {
        let mut command = Command::new("java");
        command.args(["-XX:TieredStopAtLevel=1", "-cp", &self.class_path(), "kafka.tools.StorageTool", "format"]);
        // Any 16 bytes in URL-safe base64 without padding are a cluster id.
        command.args(["--cluster-id", "c3RhcmJyaWRnZS10ZXN0cw", "--ignore-formatted", "--config"]).arg(&self.settings);
        if self.alone {
            command.arg("--standalone");
        }
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

/// The settings of the node `at`, one of as many as there are `controllers`.
fn properties(scratch: &Path, at: usize, port: u16, controllers: &[u16]) -> String {
    let data = scratch.join("data");
    let controller = controllers[at];
    let quorum = match controllers {
        [alone] => format!("controller.quorum.bootstrap.servers=127.0.0.1:{alone}"),
        all => {
            let voters: Vec<String> =
                all.iter().enumerate().map(|(at, port)| format!("{}@127.0.0.1:{port}", at + 1)).collect();
            format!("controller.quorum.voters={}", voters.join(","))
        }
    };
    let replicas = controllers.len().min(3);
    let least = replicas.div_ceil(2);
    format!(
        "process.roles=broker,controller\nnode.id={node}\n{quorum}\ncontroller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         inter.broker.listener.name=PLAINTEXT\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL\n\
         log.dirs={data}\nauto.create.topics.enable=false\ndelete.topic.enable=true\n\
         offsets.topic.replication.factor={replicas}\noffsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor={replicas}\ntransaction.state.log.min.isr={least}\n\
         transaction.state.log.num.partitions=4\n\
         share.coordinator.state.topic.replication.factor={replicas}\nshare.coordinator.state.topic.min.isr={least}\n\
         transaction.partition.verification.enable=true\n\
         group.initial.rebalance.delay.ms=0\ngroup.min.session.timeout.ms=1000\n\
         transaction.abort.timed.out.transaction.cleanup.interval.ms=1000\n\
         log.retention.check.interval.ms=1000\nlog.cleaner.backoff.ms=500\n\
         log.segment.delete.delay.ms=1000\nlog.initial.task.delay.ms=1000\n\
         message.max.bytes=16777216\nreplica.fetch.max.bytes=16777216\n\
         log.index.size.max.bytes=1048576\nnum.network.threads=2\nnum.io.threads=4\n",
        node = at + 1,
        data = data.display(),
    )
}

/// Adds a SASL_SSL listener to the settings in `text`, with a certificate made for it.
fn secure_listeners(scratch: &Path, [port, mutual]: [u16; 2], text: &mut String) -> anyhow::Result<Secure> {
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
    let key = rcgen::KeyPair::generate().context("the client's key")?;
    let mut own = rcgen::CertificateParams::new(Vec::new()).context("the client's certificate")?;
    own.distinguished_name.push(rcgen::DnType::CommonName, "starbridge client");
    let client = (scratch.join("client.pem"), scratch.join("client-key.pem"));
    std::fs::write(&client.0, own.self_signed(&key).context("signing the client")?.pem()).context("the client")?;
    std::fs::write(&client.1, key.serialize_pem()).context("the client's key")?;
    restrict(&client.1)?;
    let listeners = format!("listeners=SASL_SSL://127.0.0.1:{port},SSL://127.0.0.1:{mutual},");
    *text = text.replacen("listeners=", &listeners, 1);
    write!(
        text,
        "sasl.enabled.mechanisms=SCRAM-SHA-512\nssl.keystore.type=PKCS12\nssl.keystore.location={store_text}\n\
         ssl.keystore.password={PASSWORD}\nssl.key.password={PASSWORD}\n\
         listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         listener.name.ssl.ssl.client.auth=required\nlistener.name.ssl.ssl.truststore.type=PEM\n\
         listener.name.ssl.ssl.truststore.location={}\n",
        client.0.display(),
    )
    .context("writing to a text")?;
    Ok(Secure {
        brokers: format!("127.0.0.1:{port}"),
        certificate,
        username: "starbridge".to_owned(),
        password_file,
        mutual: format!("127.0.0.1:{mutual}"),
        client,
    })
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
