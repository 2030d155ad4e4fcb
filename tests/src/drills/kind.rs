//! What befalls a road in a drill, how often, and how long it may take to work again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The extractor is killed.
    Extractor,
    /// The transformer is killed.
    Transformer,
    /// The loader is killed while no save is under way.
    Loader,
    /// The loader is killed within a save: its intent is open.
    OpenIntent,
    /// The control plane is killed.
    Control,
    /// Of two replicas of the control plane the one that writes is killed, and stays away until the other one does.
    Writer,
    /// The only broker is killed, or stopped in order, and started again.
    Broker,
    /// All services are killed, their folders and Redis are gone.
    AllGone,
    /// Kafka is gone with its disks; the services come back by the operator's guide.
    KafkaGone,
}

impl Kind {
    /// All of them, the longest first.
    pub const ALL: [Self; 9] = [
        Self::KafkaGone,
        Self::OpenIntent,
        Self::Loader,
        Self::Extractor,
        Self::Transformer,
        Self::Control,
        Self::Writer,
        Self::Broker,
        Self::AllGone,
    ];

    /// Its name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Extractor => "extractor",
            Self::Transformer => "transformer",
            Self::Loader => "loader",
            Self::OpenIntent => "open-intent",
            Self::Control => "control",
            Self::Writer => "writer",
            Self::Broker => "broker",
            Self::AllGone => "all-gone",
            Self::KafkaGone => "kafka-gone",
        }
    }

    /// How often, at least.
    pub fn times(self) -> usize {
        match self {
            Self::Extractor | Self::Transformer | Self::Loader | Self::OpenIntent | Self::Control | Self::Writer => 20,
            Self::Broker | Self::AllGone => 10,
            Self::KafkaGone => 3,
        }
    }

    /// How many of them one road bears, before it is drained and compared.
    pub fn on_one_road(self) -> usize {
        if self == Self::KafkaGone { 1 } else { 10 }
    }

    /// The 95th percentile of the time to the first new bill, at most, seconds; with the control plane away, until it works
    /// again, too.
    pub fn limit(self) -> f64 {
        match self {
            Self::Extractor | Self::Transformer | Self::Loader | Self::Control => 60.0,
            Self::Writer => 30.0,
            Self::OpenIntent => 180.0,
            Self::Broker => 90.0,
            Self::AllGone => 300.0,
            Self::KafkaGone => 1_800.0,
        }
    }

    /// The service that is killed, where it is one.
    pub fn service(self) -> Option<&'static str> {
        match self {
            Self::Extractor => Some("extractor"),
            Self::Transformer => Some("transformer"),
            Self::Loader | Self::OpenIntent => Some("loader"),
            Self::Control | Self::Writer => Some("control"),
            Self::Broker | Self::AllGone | Self::KafkaGone => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == text);
        known.ok_or_else(|| format!("one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_called_the_same_everywhere() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.name());
        }
        assert!("kafka".parse::<Kind>().expect_err("none").contains("kafka-gone"));
    }
}
