//! A set of rows of a catalogue, as bits: the unit in which requirements are compared.
//!
//! What a row stands for is known to [`super::catalog`]. Sets that are combined belong to the same catalogue and have the same size.

/// The bits of one machine word.
const WORD: usize = u64::BITS as usize;

/// How many bits the last word of a set of this size has too many.
const fn beyond(size: usize) -> usize {
    size.next_multiple_of(WORD) - size
}

/// A set of row numbers below a fixed size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowSet(Box<[u64]>);

impl RowSet {
    /// No row of `size`.
    pub(super) fn none(size: usize) -> Self {
        Self(vec![0; size.div_ceil(WORD)].into())
    }

    /// Every row of `size`.
    pub(super) fn all(size: usize) -> Self {
        let mut words = vec![u64::MAX; size.div_ceil(WORD)];
        if let Some(last) = words.last_mut() {
            *last >>= beyond(size);
        }
        Self(words.into())
    }

    pub(super) fn insert(&mut self, row: usize) {
        if let Some(word) = self.0.get_mut(row / WORD) {
            *word |= 1 << (row % WORD);
        }
    }

    pub(super) fn remove(&mut self, row: usize) {
        if let Some(word) = self.0.get_mut(row / WORD) {
            *word &= !(1 << (row % WORD));
        }
    }

    pub(super) fn contains(&self, row: usize) -> bool {
        self.0.get(row / WORD).is_some_and(|word| word & (1 << (row % WORD)) != 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Adds the rows of `other`.
    pub(super) fn include(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    /// Drops the rows that `other` does not have.
    pub(super) fn retain(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    /// The rows of both sets.
    pub(super) fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.retain(other);
        both
    }

    /// The rows in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(i, word)| {
            let rest = std::iter::successors(Some(*word), |word| Some(word & word.wrapping_sub(1)));
            rest.take_while(|word| *word != 0).map(move |word| i * WORD + word.trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(rows: &BTreeSet<usize>) -> RowSet {
        let mut set = RowSet::none(200);
        for row in rows {
            set.insert(*row);
        }
        set
    }

    #[test]
    fn the_set_of_all_rows_has_no_row_beyond_its_size() {
        for size in [0, 1, 63, 64, 65, 200] {
            assert_eq!(RowSet::all(size).iter().collect::<Vec<_>>(), (0..size).collect::<Vec<_>>());
            assert_eq!(RowSet::all(size).is_empty(), size == 0);
            assert!(RowSet::none(size).is_empty());
        }
    }

    proptest! {
        #[test]
        fn bits_behave_like_a_set_of_numbers(
            a in prop::collection::btree_set(0_usize..200, 0..50),
            b in prop::collection::btree_set(0_usize..200, 0..50),
        ) {
            prop_assert_eq!(set(&a).iter().collect::<BTreeSet<_>>(), a.clone());
            prop_assert_eq!(set(&a).and(&set(&b)), set(&(&a & &b)));
            let mut union = set(&a);
            union.include(&set(&b));
            prop_assert_eq!(union, set(&(&a | &b)));
            prop_assert!((0..200).all(|row| set(&a).contains(row) == a.contains(&row)));
        }
    }
}
