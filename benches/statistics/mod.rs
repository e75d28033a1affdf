//! Order and middle: runs are shuffled, so that what else the machine does falls on all alike, and medians are taken, so
//! that one disturbed run does not count.

/// Puts `items` into an order drawn from `seed`; another one for each seed, the same for the same.
pub fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for end in (1..items.len()).rev() {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        items.swap(end, (state >> 33) as usize % (end + 1));
    }
}

/// The middle value; of an even number, the upper of the two. Not a number where there is none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
