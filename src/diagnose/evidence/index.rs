//! Which rows of a table belong to which group: all row numbers in one array, group after group.

/// Rows by group.
#[derive(Debug, Default)]
pub struct Index {
    rows: Vec<u32>,
    /// Where each group's rows start, and where the last one's end.
    starts: Vec<u32>,
}

impl Index {
    /// `groups` names each row's group, a number below `count`.
    pub fn new(count: usize, groups: impl ExactSizeIterator<Item = u32> + Clone) -> Self {
        let mut starts = vec![0_u32; count + 1];
        for group in groups.clone() {
            starts[group as usize + 1] += 1;
        }
        for group in 0..count {
            starts[group + 1] += starts[group];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; groups.len()];
        for (row, group) in groups.enumerate() {
            let place = &mut next[group as usize];
            rows[*place as usize] = row as u32;
            *place += 1;
        }
        Self { rows, starts }
    }

    /// The rows of a group, in their order.
    pub fn of(&self, group: u32) -> &[u32] {
        let group = group as usize;
        &self.rows[self.starts[group] as usize..self.starts[group + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_group_and_keep_their_order() {
        let index = Index::new(4, [2, 0, 2, 3].into_iter());
        let groups: Vec<&[u32]> = (0..4).map(|group| index.of(group)).collect();
        assert_eq!(groups, [&[1][..], &[], &[0, 2], &[3]]);
    }
}
