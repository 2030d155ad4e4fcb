//! Own facts, committed and not yet read back.

use std::collections::BTreeMap;

/// What is newer than the store. Bounded by what one worker can commit before it reads it back.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    entries: BTreeMap<Vec<u8>, Fact>,
}

/// One own fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fact {
    /// `None` removes.
    pub(crate) value: Option<Vec<u8>>,
    /// Where it lies in the log.
    pub(crate) offset: i64,
}

impl Overlay {
    /// Adds a committed fact. Of two of one key the later in the log stays.
    pub(crate) fn put(&mut self, key: Vec<u8>, fact: Fact) {
        match self.entries.get(&key) {
            Some(present) if present.offset > fact.offset => {}
            _ => {
                self.entries.insert(key, fact);
            }
        }
    }

    /// The own fact about `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Fact> {
        self.entries.get(key)
    }

    /// Drops what the store holds by now: every fact up to `offset`.
    pub(crate) fn read_back(&mut self, offset: i64) {
        self.entries.retain(|_, fact| fact.offset > offset);
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Facts whose key begins with `prefix`, in the order of keys.
    pub(crate) fn of_prefix<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a Vec<u8>, &'a Fact)> {
        self.entries.range(prefix.to_vec()..).take_while(move |(key, _)| key.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(value: Option<&str>, offset: i64) -> Fact {
        Fact { value: value.map(|v| v.as_bytes().to_vec()), offset }
    }

    #[test]
    fn the_later_fact_stays_whatever_the_order_it_comes_in() {
        let mut overlay = Overlay::default();
        overlay.put(b"k".to_vec(), fact(Some("new"), 7));
        overlay.put(b"k".to_vec(), fact(Some("old"), 5));
        assert_eq!(overlay.get(b"k"), Some(&fact(Some("new"), 7)));
        overlay.put(b"k".to_vec(), fact(None, 9));
        assert_eq!(overlay.get(b"k"), Some(&fact(None, 9)));
    }

    #[test]
    fn facts_leave_once_they_are_read_back() {
        let mut overlay = Overlay::default();
        overlay.put(b"a".to_vec(), fact(Some("1"), 3));
        overlay.put(b"b".to_vec(), fact(None, 4));
        overlay.read_back(2);
        assert_eq!(overlay.len(), 2);
        overlay.read_back(3);
        assert_eq!((overlay.get(b"a"), overlay.len()), (None, 1));
        overlay.read_back(10);
        assert_eq!(overlay.len(), 0);
    }

    #[test]
    fn a_prefix_is_not_its_neighbour() {
        let mut overlay = Overlay::default();
        for key in ["doc/1", "doc/2", "docs", "do", "intent/1"] {
            overlay.put(key.as_bytes().to_vec(), fact(Some("x"), 1));
        }
        let keys: Vec<&[u8]> = overlay.of_prefix(b"doc/").map(|(key, _)| key.as_slice()).collect();
        assert_eq!(keys, [b"doc/1".as_slice(), b"doc/2"]);
    }
}
