//! Which records were in hand when the process died.
//!
//! A panic is caught, an overflown stack or the memory limit is not. So before a batch is mapped its place is written
//! to a small file, and taken out after. A start that finds a batch in hand maps that stretch record by record, which
//! names the culprit at the next death; a record that was in hand three times is set aside. Losing the file costs more
//! deaths, never a record. The count is kept here and not in the commit metadata of the group, because a
//! restart of a static member gets its partitions back and the queue's commits carry offsets only.

use std::io;
use std::path::{Path, PathBuf};

use document::Received;
use serde::{Deserialize, Serialize};

/// Deaths after which a record is set aside.
const DEATHS: u32 = 3;

/// A stretch of records of one partition, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stretch {
    topic: String,
    partition: i32,
    first: i64,
    last: i64,
    /// How often the process died with all of it in hand.
    #[serde(default)]
    deaths: u32,
}

impl Stretch {
    fn holds(&self, topic: &str, partition: i32, offset: i64) -> bool {
        self.topic == topic && self.partition == partition && (self.first..=self.last).contains(&offset)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Page {
    in_hand: Vec<Stretch>,
    suspects: Vec<Stretch>,
}

/// The notes of one replica.
#[derive(Debug)]
pub struct Notes {
    file: PathBuf,
    page: Page,
}

impl Notes {
    /// Opens the notes in `folder`, and takes what was in hand there as a death.
    ///
    /// # Errors
    /// The folder cannot be made or written to.
    pub fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let file = folder.join("in-hand.json");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        // Half a page is no page: what it would have said shows again at the next death.
        let mut page: Page = serde_json::from_str(&text).unwrap_or_default();
        for stretch in std::mem::take(&mut page.in_hand) {
            let deaths = page
                .suspects
                .iter()
                .filter(|suspect| suspect.holds(&stretch.topic, stretch.partition, stretch.first))
                .map(|suspect| suspect.deaths)
                .max()
                .unwrap_or(0);
            page.suspects.retain(|suspect| {
                (suspect.first, suspect.last) != (stretch.first, stretch.last)
                    || (&suspect.topic, suspect.partition) != (&stretch.topic, stretch.partition)
            });
            page.suspects.push(Stretch { deaths: deaths + 1, ..stretch });
        }
        killpoint::reached("notes.opened");
        let notes = Self { file, page };
        notes.write()?;
        Ok(notes)
    }

    /// The records that are to be set aside: topic, partition, offset.
    pub fn culprits(&self) -> Vec<(String, i32, i64)> {
        let alone = self.page.suspects.iter().filter(|s| s.first == s.last && s.deaths >= DEATHS);
        alone.map(|suspect| (suspect.topic.clone(), suspect.partition, suspect.first)).collect()
    }

    /// Cuts a batch so that every suspect stands alone.
    pub fn split(&self, batch: Vec<Received>) -> Vec<Vec<Received>> {
        let mut parts: Vec<Vec<Received>> = Vec::new();
        let mut whole = true;
        for received in batch {
            let suspected =
                self.page.suspects.iter().any(|s| s.holds(&received.topic, received.partition, received.offset));
            match parts.last_mut() {
                Some(part) if !suspected && whole => part.push(received),
                _ => parts.push(vec![received]),
            }
            whole = !suspected;
        }
        parts
    }

    /// Notes that these records are in hand.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(&mut self, batch: &[Received]) -> io::Result<()> {
        for received in batch {
            let here =
                self.page.in_hand.iter_mut().find(|s| s.topic == received.topic && s.partition == received.partition);
            match here {
                Some(stretch) => stretch.last = received.offset,
                None => self.page.in_hand.push(Stretch {
                    topic: received.topic.clone(),
                    partition: received.partition,
                    first: received.offset,
                    last: received.offset,
                    deaths: 0,
                }),
            }
        }
        self.write()
    }

    /// Notes that what was in hand did no harm.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end(&mut self) -> io::Result<()> {
        for done in std::mem::take(&mut self.page.in_hand) {
            for suspect in &mut self.page.suspects {
                if (&suspect.topic, suspect.partition) == (&done.topic, done.partition) && suspect.first <= done.last {
                    suspect.first = done.last + 1;
                }
            }
        }
        self.page.suspects.retain(|suspect| suspect.first <= suspect.last);
        self.write()
    }

    /// Writes beside the file and renames, so that a death in between leaves a whole page.
    fn write(&self) -> io::Result<()> {
        let beside = self.file.with_extension("part");
        let text = serde_json::to_vec(&self.page).map_err(io::Error::other)?;
        std::fs::write(&beside, text)?;
        std::fs::rename(&beside, &self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::Record;

    fn records(offsets: std::ops::RangeInclusive<i64>) -> Vec<Received> {
        let received = |offset| Received {
            topic: "t".to_owned(),
            partition: 3,
            offset,
            timestamp: None,
            record: Record::default(),
        };
        offsets.map(received).collect()
    }

    /// Works through offsets 10 to 19 and dies when `deadly` is in hand; whether it came to the end.
    fn live(folder: &Path, deadly: i64) -> bool {
        let mut notes = Notes::open(folder).expect("a folder");
        let culprits = notes.culprits();
        for part in notes.split(records(10..=19)) {
            notes.begin(&part).expect("written");
            let harmful = |r: &Received| r.offset == deadly && !culprits.contains(&(r.topic.clone(), 3, r.offset));
            if part.iter().any(harmful) {
                return false;
            }
            notes.end().expect("written");
        }
        true
    }

    #[test]
    fn a_record_that_kills_three_times_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        for _ in 0..3 {
            assert!(!live(folder.path(), 14));
        }
        assert_eq!(Notes::open(folder.path()).expect("a folder").culprits(), [("t".to_owned(), 3, 14)]);
        assert!(live(folder.path(), 14), "the fourth life gets past it");
        assert_eq!(Notes::open(folder.path()).expect("a folder").page, Page::default());
    }

    #[test]
    fn after_one_death_the_stretch_is_taken_one_by_one() {
        let folder = tempfile::tempdir().expect("folder");
        let mut notes = Notes::open(folder.path()).expect("a folder");
        notes.begin(&records(10..=12)).expect("written");
        let notes = Notes::open(folder.path()).expect("a folder");
        let parts = notes.split(records(9..=15));
        let offsets: Vec<Vec<i64>> = parts.iter().map(|part| part.iter().map(|r| r.offset).collect()).collect();
        assert_eq!(offsets, [vec![9], vec![10], vec![11], vec![12], vec![13, 14, 15]]);
        assert_eq!(notes.culprits(), []);
    }

    #[test]
    fn work_that_ends_leaves_no_notes() {
        let folder = tempfile::tempdir().expect("folder");
        assert!(live(folder.path(), 99));
        assert_eq!(Notes::open(folder.path()).expect("a folder").page, Page::default());
        std::fs::write(folder.path().join("in-hand.json"), "{\"in_h").expect("written");
        assert!(live(folder.path(), 99));
    }
}
