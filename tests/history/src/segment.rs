//! One file of a partition as a broker has it on disk: record batches of format 2, uncompressed or lz4.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

/// Id and epoch of a producer.
pub type Producer = (i64, i16);

/// Records that were written together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Who wrote it, if idempotent.
    pub producer: Option<Producer>,
    /// Whether it is part of a transaction.
    pub transactional: bool,
    /// Whether it is a marker that ends one.
    pub control: bool,
    /// The records.
    pub records: Vec<Record>,
}

/// A record as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the partition.
    pub offset: i64,
    /// The producer's time, the coordinator's for markers; unix milliseconds.
    pub time: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and texts.
    pub headers: Vec<(String, String)>,
}

/// Offset and length, which the length does not count.
const FRAME: usize = 12;
/// What stands before the records of a batch, the frame included.
const HEADER: usize = 61;
/// From here on the checksum holds.
const CHECKED: usize = 21;

/// Reads every batch of `file`.
///
/// # Errors
/// The file cannot be read, or what stands in it is no batch of this format; names the file and the byte.
pub fn read(file: &Path) -> anyhow::Result<Vec<Batch>> {
    let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    batches(&bytes).with_context(|| format!("in {}", file.display()))
}

/// Reads every batch of `bytes`.
///
/// # Errors
/// What stands there is no batch of this format; names the byte.
pub fn batches(bytes: &[u8]) -> anyhow::Result<Vec<Batch>> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let (batch, length) = batch(rest).with_context(|| format!("the batch at byte {at}"))?;
        all.push(batch);
        at += length;
    }
    Ok(all)
}

/// The first batch, and how many bytes it takes.
fn batch(bytes: &[u8]) -> anyhow::Result<(Batch, usize)> {
    let mut header = Cursor(bytes);
    let base = i64::from_be_bytes(header.array()?);
    let length = usize::try_from(i32::from_be_bytes(header.array()?)).context("a negative length")?;
    let whole = length + FRAME;
    ensure!(whole >= HEADER, "{length} bytes are too few");
    let bytes = bytes.get(..whole).with_context(|| format!("the file ends within its {length} bytes"))?;
    let mut header = Cursor(bytes.get(FRAME..).unwrap_or_default());
    let _leader: [u8; 4] = header.array()?;
    let [magic] = header.array()?;
    ensure!(magic == 2, "format {magic} is not 2");
    let sum = u32::from_be_bytes(header.array()?);
    let found = checksum(bytes.get(CHECKED..).unwrap_or_default());
    ensure!(sum == found, "its checksum is {sum:08x} and not {found:08x}");
    let attributes = i16::from_be_bytes(header.array()?);
    let _last: [u8; 4] = header.array()?;
    let first = i64::from_be_bytes(header.array()?);
    let newest = i64::from_be_bytes(header.array()?);
    let producer = (i64::from_be_bytes(header.array()?), i16::from_be_bytes(header.array()?));
    let _sequence: [u8; 4] = header.array()?;
    let count = i32::from_be_bytes(header.array()?);
    let body = match attributes & 7 {
        0 => header.0.to_vec(),
        3 => {
            let mut plain = Vec::new();
            let mut frame = lz4_flex::frame::FrameDecoder::new(header.0);
            frame.read_to_end(&mut plain).context("its lz4 does not read")?;
            plain
        }
        other => bail!("compression {other} is neither none nor lz4"),
    };
    let appended = attributes & 8 != 0;
    let mut body = Cursor(&body);
    let mut records = Vec::new();
    for number in 0..count {
        let record = record(&mut body, base, if appended { newest } else { first }, appended);
        records.push(record.with_context(|| format!("its record {number}"))?);
    }
    ensure!(body.0.is_empty(), "{} bytes are left behind its records", body.0.len());
    let batch = Batch {
        producer: (producer.0 >= 0).then_some(producer),
        transactional: attributes & 16 != 0,
        control: attributes & 32 != 0,
        records,
    };
    Ok((batch, whole))
}

/// `time` is that of the batch; its records add to it unless it is `appended`, the broker's own.
fn record(body: &mut Cursor<'_>, base: i64, time: i64, appended: bool) -> anyhow::Result<Record> {
    let length = usize::try_from(body.number()?).context("a negative length")?;
    let mut inner = Cursor(body.take(length)?);
    let _attributes: [u8; 1] = inner.array()?;
    let later = inner.number()?;
    let offset = base + inner.number()?;
    let key = inner.bytes()?.map(<[u8]>::to_vec);
    let value = inner.bytes()?.map(<[u8]>::to_vec);
    let mut headers = Vec::new();
    for _ in 0..inner.number()? {
        let name = text(inner.bytes()?)?;
        headers.push((name, text(inner.bytes()?)?));
    }
    ensure!(inner.0.is_empty(), "{} bytes are left in it", inner.0.len());
    Ok(Record { offset, time: if appended { time } else { time + later }, key, value, headers })
}

fn text(bytes: Option<&[u8]>) -> anyhow::Result<String> {
    String::from_utf8(bytes.unwrap_or_default().to_vec()).context("a header that is no text")
}

/// What is still to be read.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn take(&mut self, length: usize) -> anyhow::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).context("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    /// A text with its length before it in two bytes.
    pub(crate) fn short_text(&mut self) -> anyhow::Result<String> {
        let length = usize::try_from(i16::from_be_bytes(self.array()?)).context("a negative length")?;
        Ok(String::from_utf8(self.take(length)?.to_vec())?)
    }

    /// A whole number of variable length, zigzag.
    fn number(&mut self) -> anyhow::Result<i64> {
        let mut bits: u64 = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            bits |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let half = i64::try_from(bits >> 1)?;
                return Ok(if bits & 1 == 1 { -half - 1 } else { half });
            }
        }
        bail!("a number without an end")
    }

    /// Bytes with their length before them; −1 is none.
    fn bytes(&mut self) -> anyhow::Result<Option<&'a [u8]>> {
        match self.number()? {
            -1 => Ok(None),
            length => self.take(usize::try_from(length).context("a negative length")?).map(Some),
        }
    }
}

/// CRC-32C (Castagnoli).
fn checksum(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    let step = |sum: u32, byte: &u8| TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)] ^ (sum >> 8);
    !bytes.iter().fold(!0, step)
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        // Fits: the index ends at 256.
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger partition as a real broker left it: owner records, intents, entries, markers, lz4.
    const LEDGER: &[u8] = include_bytes!("../tests/data/ledger-0.log");

    #[test]
    fn the_checksum_is_the_one_everybody_agrees_on() {
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_real_file_reads_to_its_end() {
        let all = batches(LEDGER).expect("a real file");
        let records: Vec<&Record> =
            all.iter().filter(|batch| !batch.control).flat_map(|batch| &batch.records).collect();
        let offsets: Vec<i64> = all.iter().flat_map(|batch| &batch.records).map(|record| record.offset).collect();
        assert!(offsets.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{offsets:?}");
        assert_eq!(records.first().and_then(|record| record.key.as_deref()), Some(&b"@barrier"[..]));
        assert!(records.iter().any(|record| record.value.is_none()), "closed intents are tombstones");
        assert!(all.iter().all(|batch| batch.transactional && batch.producer.is_some()));
        assert!(all.iter().any(|batch| batch.control));
    }

    #[test]
    fn any_byte_that_is_wrong_is_noticed() {
        let (_, first) = batch(LEDGER).expect("a real batch");
        // The offset, and the leader's epoch, which is not read, are not under the checksum.
        for at in (8..12).chain(16..first) {
            let mut damaged = LEDGER.to_vec();
            damaged[at] ^= 0x10;
            assert!(batches(&damaged).is_err(), "{at}");
        }
    }

    #[test]
    fn what_does_not_read_is_named_by_its_byte() {
        let short = batches(&LEDGER[..LEDGER.len() - 1]).expect_err("cut");
        assert!(format!("{short:#}").contains("the file ends within"), "{short:#}");
        let mut old = LEDGER.to_vec();
        old[16] = 1;
        assert_eq!(format!("{:#}", batches(&old).expect_err("old")), "the batch at byte 0: format 1 is not 2");
    }

    #[test]
    fn another_compression_is_refused() {
        let (_, first) = batch(LEDGER).expect("a real batch");
        let mut zipped = LEDGER[..first].to_vec();
        zipped[CHECKED + 1] = zipped[CHECKED + 1] & !7 | 1;
        let sum = checksum(&zipped[CHECKED..]);
        zipped[CHECKED - 4..CHECKED].copy_from_slice(&sum.to_be_bytes());
        let error = format!("{:#}", batches(&zipped).expect_err("gzip"));
        assert_eq!(error, "the batch at byte 0: compression 1 is neither none nor lz4");
    }

    #[test]
    fn numbers_of_variable_length() {
        for (bytes, number) in [(&[0_u8][..], 0), (&[1], -1), (&[2], 1), (&[0xac, 0x02], 150), (&[0x7f], -64)] {
            assert_eq!(Cursor(bytes).number().expect("a number"), number);
        }
        assert!(Cursor(&[0x80]).number().is_err());
        assert!(Cursor(&[0xff; 11]).number().is_err());
    }
}
