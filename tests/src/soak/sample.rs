//! What is looked at while the road is used: one sample of each stage.

use std::path::Path;

use anyhow::Context as _;

use super::slope::{Point, growth_per_hour, slope};
use crate::fleet::Stage;

/// What must not grow, in the order of [`Series::of`].
pub const MEASURES: [&str; 5] = ["memory", "open files", "threads", "tasks", "local disk"];

/// Bytes of the files below a folder; what vanishes meanwhile counts nothing.
pub fn disk(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => disk(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// The samples of one stage.
#[derive(Debug, Clone)]
pub struct Series {
    /// The stage.
    pub name: String,
    points: [Vec<Point>; MEASURES.len()],
}

/// One figure of a stage over the whole time.
#[derive(Debug, Clone)]
pub struct Line {
    /// What was measured.
    pub measure: &'static str,
    /// Its first and its last sample.
    pub ends: (f64, f64),
    /// Growth per hour in parts of the median.
    pub growth: f64,
    /// Whether that is within its bound.
    pub holds: bool,
}

impl Series {
    /// No samples yet.
    pub fn of(name: String) -> Self {
        Self { name, points: Default::default() }
    }

    /// Looks at the stage, `time` seconds after the beginning; `folder` is that of the whole road.
    ///
    /// # Errors
    /// The stage does not answer.
    pub async fn look(&mut self, stage: &Stage, folder: &Path, time: f64) -> anyhow::Result<()> {
        let metrics = stage.metrics().await.with_context(|| format!("asking {}", self.name))?;
        let names = ["process_resident_memory_bytes", "process_open_fds", "process_threads", "process_tasks"];
        for (points, name) in self.points.iter_mut().zip(names) {
            anyhow::ensure!(metrics.count(name) > 0, "{} has no {name}", self.name);
            points.push((time, metrics.sum(name, &[])));
        }
        let bytes = disk(&folder.join(format!("{}-data", self.name)));
        self.points[4].push((time, u32::try_from(bytes / 1_024).map_or(f64::MAX, f64::from)));
        Ok(())
    }

    /// What became of each figure from `warm` seconds on.
    ///
    /// Memory may grow by less than 1 % an hour. Descriptors, threads and tasks come and go with calls under way: less
    /// than one more of them an hour. The disk holds a table per partition, which grows with the documents that are
    /// remembered and is measured against them, per thousand documents, by `documents` (how many there were in the time).
    pub fn lines(&self, warm: f64, documents: f64) -> Vec<Line> {
        let line = |(at, points): (usize, &Vec<Point>)| {
            let late: Vec<Point> = points.iter().copied().filter(|(time, _)| *time >= warm).collect();
            let growth = growth_per_hour(&late);
            let ends = (late.first().map_or(0.0, |point| point.1), late.last().map_or(0.0, |point| point.1));
            let holds = match at {
                0 => growth < 0.01,
                4 => (ends.1 - ends.0) * 1_000.0 / documents.max(1.0) < DISK_KB_PER_THOUSAND,
                _ => slope(&late) * 3_600.0 < 1.0,
            };
            Line { measure: MEASURES[at], ends, growth, holds }
        };
        self.points.iter().enumerate().map(line).collect()
    }
}

/// A remembered document is a ledger entry, or what was seen of a bill: below a kilobyte, and its store is rewritten at
/// times.
const DISK_KB_PER_THOUSAND: f64 = 2_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_told_from_what_does_not() {
        let mut series = Series::of("loader-0".to_owned());
        for at in 0..60_u32 {
            let time = f64::from(at) * 60.0;
            let leak = if at < 10 { 100.0 } else { 100.0 + f64::from(at) };
            for (points, value) in series.points.iter_mut().zip([leak, 40.0, 7.0, 12.0 + f64::from(at % 3), 900.0]) {
                points.push((time, value));
            }
        }
        let holds: Vec<bool> = series.lines(600.0, 1_000.0).iter().map(|line| line.holds).collect();
        assert_eq!(holds, [false, true, true, true, true]);
    }

    #[test]
    fn the_disk_is_counted_below_a_folder() {
        let folder = tempfile::tempdir().expect("scratch");
        std::fs::create_dir(folder.path().join("inner")).expect("made");
        std::fs::write(folder.path().join("a"), [0; 10]).expect("written");
        std::fs::write(folder.path().join("inner/b"), [0; 32]).expect("written");
        assert_eq!((disk(folder.path()), disk(Path::new("/no/such/folder"))), (42, 0));
    }
}
