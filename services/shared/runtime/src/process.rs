//! What the system says of this process, from `/proc/self`: memory is watched, and leaks show in files and threads.

use std::path::Path;

use opentelemetry::metrics::Meter;

/// One look at the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Resident memory, bytes.
    pub resident_memory: u64,
    /// The most resident memory so far, bytes.
    pub resident_memory_peak: u64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_files: u64,
    /// Processor time used in user and system mode, in hundredths of a second.
    pub cpu_centiseconds: u64,
}

impl Figures {
    /// Looks at this process. What the system does not say is 0.
    pub fn of_self() -> Self {
        Self::read(Path::new("/proc/self"))
    }

    fn read(folder: &Path) -> Self {
        let status = std::fs::read_to_string(folder.join("status")).unwrap_or_default();
        let stat = std::fs::read_to_string(folder.join("stat")).unwrap_or_default();
        let open_files = std::fs::read_dir(folder.join("fd")).map_or(0, |entries| entries.count() as u64);
        Self { open_files, ..Self::parse(&status, &stat) }
    }

    fn parse(status: &str, stat: &str) -> Self {
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        // The name in parentheses may hold spaces and parentheses itself; the fields after it start with the state.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        Self {
            resident_memory: number("VmRSS") * 1_024,
            resident_memory_peak: number("VmHWM") * 1_024,
            threads: number("Threads"),
            open_files: 0,
            // Fields 14 and 15 of proc(5), in clock ticks; Linux has had 100 of them a second everywhere for years.
            cpu_centiseconds: ticks(11) + ticks(12),
        }
    }
}

/// Shows the figures of this process on the meter.
pub(crate) fn observe(meter: &Meter) {
    let gauge = |name: &'static str, unit: &'static str, description: &'static str, of: fn(&Figures) -> u64| {
        // The meter keeps the callback; the instrument itself is only a name for it.
        let _instrument = meter
            .u64_observable_gauge(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |observer| observer.observe(of(&Figures::of_self()), &[]))
            .build();
    };
    gauge("process.resident_memory", "By", "Resident memory of the process", |figures| figures.resident_memory);
    gauge("process.resident_memory_peak", "By", "Most resident memory of the process so far", |figures| {
        figures.resident_memory_peak
    });
    gauge("process.open_fds", "", "Open file descriptors of the process", |figures| figures.open_files);
    gauge("process.threads", "", "Threads of the process", |figures| figures.threads);
    // Only inside a runtime is there one to ask.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let _instrument = meter
            .u64_observable_gauge("process.tasks")
            .with_description("Tasks of the process that are alive")
            .with_callback(move |observer| observer.observe(runtime.metrics().num_alive_tasks() as u64, &[]))
            .build();
    }
    let _instrument = meter
        .f64_observable_counter("process.cpu")
        .with_unit("s")
        .with_description("Processor time the process has used")
        .with_callback(|observer| {
            // A float holds hundredths of a second exactly enough for centuries.
            let centiseconds = u32::try_from(Figures::of_self().cpu_centiseconds).unwrap_or(u32::MAX);
            observer.observe(f64::from(centiseconds) / 100.0, &[]);
        })
        .build();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_systems_text() {
        let status = "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nThreads:\t7\n";
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 7 0";
        assert_eq!(
            Figures::parse(status, stat),
            Figures {
                resident_memory: 1_048_576,
                resident_memory_peak: 2_097_152,
                threads: 7,
                open_files: 0,
                cpu_centiseconds: 175,
            }
        );
        assert_eq!(Figures::parse("", ""), Figures::default());
    }

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let figures = Figures::of_self();
        assert!(figures.resident_memory > 100_000, "{figures:?}");
        assert!(figures.resident_memory_peak >= figures.resident_memory, "{figures:?}");
        assert!(figures.threads >= 1 && figures.open_files >= 3, "{figures:?}");
    }
}
