//! What a batch of an extractor may hold: bytes, and letters about bills that left the source.

use document::{Code, DeadLetter};
use extractor::core::run::Batch;

use crate::world::World;

/// A row takes no more than this, as JSON of its members or as the cells it was read with, bytes.
const ROW: usize = 120;

impl World {
    /// I17: a batch and its records keep to their limits, and what is called too large may be. Of what is missing no more is
    /// concluded than the flow allows.
    pub(crate) fn check_limits(&mut self, batch: &Batch) {
        let plan = self.setting.plan(self.now);
        let (record, whole) = (plan.rules.max_record_bytes, plan.max_batch_bytes);
        let bill = usize::try_from(plan.max_bill_bytes).unwrap_or(usize::MAX);
        let data = batch.data.iter().map(|data| (data.document_key.as_str(), data.value.len()));
        let letters = batch.letters.iter().map(|letter| (letter.document_key.as_str(), letter.body.len()));
        let sizes: Vec<(&str, usize)> = data.chain(letters).collect();
        let mut wrong = sizes
            .iter()
            .find(|(_, bytes)| *bytes > record)
            .map(|(name, bytes)| format!("I17: {name} goes with {bytes} bytes, {record} are allowed"));
        // The bill that fills the batch is the last one of it.
        let (sum, most) =
            sizes.iter().fold((0, 0), |(sum, most), (_, bytes)| (sum + bytes, bytes.max(&most).to_owned()));
        if sum > most && sum - most >= whole {
            wrong = Some(format!("I17: a batch has {sum} bytes and went on behind {whole}"));
        }
        for letter in batch.letters.iter().filter(|letter| letter.code == Code::TooLarge) {
            let name = letter.document_key.as_str();
            let known = self.source.bills.values().find(|bill| self.names_of(bill).iter().any(|known| known == name));
            let number = known.map_or(name, |bill| bill.number.as_str());
            let contents = self.source.history.get(number).into_iter().flatten();
            let rows = contents.map(Vec::len).max();
            if rows.is_some_and(|rows| rows * ROW + 2 <= record.min(bill)) {
                wrong = Some(format!("{name} is called too large, and never had more than {rows:?} rows"));
            }
        }
        if let Some(words) = wrong.or_else(|| self.wrongly_retracted(&batch.letters)) {
            self.violate(words);
        }
    }

    /// Whether letters say that bills left the source which did not, or which nothing may be concluded about.
    fn wrongly_retracted(&self, letters: &[DeadLetter]) -> Option<String> {
        let retracted = letters.iter().filter(|letter| letter.code == Code::SourceRetracted);
        let names: Vec<&str> = retracted.map(|letter| letter.document_key.as_str()).collect();
        let first = names.first()?;
        let variety = &self.setting.variety;
        if !variety.conclusive {
            return Some(format!("{first} is said to have left a source of which nothing may be concluded"));
        }
        // No lookback expects more bills than there ever were, nor misses fewer than it tells of.
        #[expect(clippy::cast_precision_loss, reason = "a handful of bills")]
        let share = names.len() as f64 / self.source.history.len() as f64;
        if names.len() > 1 && share > variety.shrunk_ratio {
            return Some(format!("{names:?} are said to have left the source although too much is missing at once"));
        }
        let mut bills = self.source.bills.values().filter(|bill| !self.source.left.contains(&bill.id));
        let stayed = bills.find(|bill| self.names_of(bill).iter().any(|name| names.contains(&name.as_str())));
        stayed.map(|bill| format!("{} is said to have left the source, and never did", bill.number))
    }
}
