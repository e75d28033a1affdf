//! Which members of a group come first: others of it get calls only where none of those before them can take any (RFC 2782).
//!
//! To leave later ones out of the pool until they are needed looked simpler. A backend that is not asked whether it lives cannot
//! be known to, and calls would find out.

use std::collections::HashMap;
use std::sync::Arc;

/// A member's place in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    /// The group: what one entry of a list has led to.
    pub group: Arc<str>,
    /// Lower ones come first.
    pub tier: u32,
}

/// Takes the weight from those members that come after one of their group that has any. Each is given with its rank; one without
/// is in no group.
pub(super) fn hold_back<'a>(members: impl Iterator<Item = (Option<&'a Rank>, &'a mut f64)>) {
    let mut members: Vec<_> = members.filter_map(|(rank, weight)| Some((rank?, weight))).collect();
    let mut first: HashMap<&str, u32> = HashMap::new();
    for (rank, weight) in &members {
        if **weight > 0.0 {
            let tier = first.entry(&rank.group).or_insert(rank.tier);
            *tier = rank.tier.min(*tier);
        }
    }
    for (rank, weight) in &mut members {
        if first.get(&*rank.group).is_some_and(|first| rank.tier > *first) {
            **weight = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held_back(members: &[(Option<(u8, u32)>, f64)]) -> Vec<f64> {
        let rank = |(group, tier): (u8, u32)| Rank { group: group.to_string().into(), tier };
        let ranks: Vec<_> = members.iter().map(|(place, _)| place.map(rank)).collect();
        let mut weights: Vec<f64> = members.iter().map(|(_, weight)| *weight).collect();
        hold_back(ranks.iter().map(Option::as_ref).zip(&mut weights));
        weights
    }

    #[test]
    fn only_the_first_tier_that_can_take_calls_gets_any_and_other_groups_are_not_concerned() {
        let members =
            [(Some((1, 10)), 0.0), (Some((1, 20)), 2.0), (Some((1, 30)), 3.0), (Some((2, 99)), 4.0), (None, 5.0)];
        assert_eq!(held_back(&members), [0.0, 2.0, 0.0, 4.0, 5.0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// A group of which anybody can take calls gets some, and nobody gets more than before.
        #[test]
        fn no_group_loses_all_of_its_calls(members in proptest::collection::vec((proptest::option::of((0..4u8, 0..4u32)), 0..3u8), 0..20)) {
            let members: Vec<_> = members.into_iter().map(|(place, weight)| (place, f64::from(weight))).collect();
            let after = held_back(&members);
            for group in 0..4u8 {
                let of_group = |weights: &[f64]| -> f64 {
                    let is_in = |place: Option<(u8, u32)>| place.is_some_and(|(of, _)| of == group);
                    members.iter().zip(weights).filter(|((place, _), _)| is_in(*place)).map(|(_, weight)| weight).sum()
                };
                let before: Vec<f64> = members.iter().map(|(_, weight)| *weight).collect();
                prop_assert_eq!(of_group(&before) > 0.0, of_group(&after) > 0.0);
            }
            prop_assert!(members.iter().zip(&after).all(|((_, before), after)| after <= before));
        }
    }
}
