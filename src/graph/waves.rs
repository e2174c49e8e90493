//! Which selected worker is in which wave.

use std::ops::Range;

use super::Resolved;
use super::cover::{Coverage, choose};
use super::numbers::down_to_at_least_one;
use crate::bucket::{Fleet, WorkerIx};
use crate::plan::{Cover, Located, WaveSize, counted};

/// The selected workers cut into waves.
pub(super) struct Waves {
    /// Consecutive, not empty, and all of the workers.
    pub(super) ranges: Vec<Range<u32>>,
    /// The size of each, and how it came about.
    pub(super) numbers: Vec<Resolved>,
    /// What the waves of canaries cover, in their order.
    pub(super) coverage: Vec<Coverage>,
}

/// Cuts `chosen` into waves: percentages round down to at least 1, the last size repeats until no worker is left, `rest`
/// takes all that are left. No sizes: one wave. Coverage canaries are moved to the front of those that are left; the
/// order is the plan's otherwise.
pub(super) fn into_waves(sizes: &[Located<WaveSize>], fleet: &Fleet, chosen: &mut [WorkerIx]) -> Waves {
    let mut waves = Waves { ranges: Vec::new(), numbers: Vec::new(), coverage: Vec::new() };
    let count = chosen.len() as u32;
    let mut begin = 0;
    let mut at = 0;
    while begin < count {
        let left = count - begin;
        let mut wave = match sizes.get(at).or(sizes.last()).map(|size| &size.value) {
            None => Resolved { value: left, how: "one wave with all".to_owned() },
            Some(WaveSize::Of(amount)) => down_to_at_least_one(*amount, count),
            Some(WaveSize::Cover(cover)) if at < sizes.len() => {
                canaries(cover, fleet, chosen, begin, &mut waves)
            }
            // A plan that was read has no `cover` as the last size.
            Some(WaveSize::Rest | WaveSize::Cover(_)) => {
                Resolved { value: left, how: "all that are left".to_owned() }
            }
        };
        if at >= sizes.len() && !sizes.is_empty() {
            wave.how = format!("{}; the last size repeats", wave.how);
        }
        if wave.value > left {
            wave.how = format!("{}; only {left} left", wave.how);
            wave.value = left;
        }
        at += 1;
        if wave.value > 0 {
            waves.ranges.push(begin..begin + wave.value);
            begin += wave.value;
            waves.numbers.push(wave);
        }
    }
    waves
}

/// Moves the canaries of the next wave to `begin`; none where earlier waves have all values.
fn canaries(
    cover: &Cover,
    fleet: &Fleet,
    chosen: &mut [WorkerIx],
    begin: u32,
    waves: &mut Waves,
) -> Resolved {
    let tags: Vec<&str> = cover.tags.iter().map(|tag| tag.value.as_str()).collect();
    let limit = cover.at_most.map(|amount| down_to_at_least_one(amount, chosen.len() as u32));
    let most = limit.as_ref().map_or(usize::MAX, |limit| limit.value as usize);
    let (canaries, mut coverage) = choose(fleet, &tags, chosen, begin as usize, most);
    let value = canaries.len() as u32;
    let (covered, all) = coverage.counts();
    let names = tags.join(", ");
    let how = match limit {
        Some(limit) if covered < all && value == limit.value => {
            let plain = limit.how == limit.value.to_string();
            let how = if plain { String::new() } else { format!(" ({})", limit.how) };
            format!("at most {value}{how}: {covered} of {} of {names}", counted(all, "value"))
        }
        _ if covered < all => format!("{covered} of {} of {names}", counted(all, "value")),
        _ => format!("every value of {names}: {all}"),
    };
    let begin = begin as usize;
    let others = (begin..chosen.len()).filter(|at| canaries.binary_search(at).is_err());
    let reordered: Vec<WorkerIx> = canaries.iter().copied().chain(others).map(|at| chosen[at]).collect();
    chosen[begin..].copy_from_slice(&reordered);
    coverage.wave = (value > 0).then_some(waves.ranges.len() as u32);
    waves.coverage.push(coverage);
    Resolved { value, how }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::NotCovered;
    use crate::graph::testing::{fleet, located, names, worker};
    use crate::plan::Amount;

    fn of(count: u64) -> Located<WaveSize> {
        located(WaveSize::Of(Amount::Count(count)))
    }

    fn percent(percent: u8) -> Located<WaveSize> {
        located(WaveSize::Of(Amount::Percent(percent)))
    }

    fn rest() -> Located<WaveSize> {
        located(WaveSize::Rest)
    }

    fn cover(tags: &[&str], at_most: Option<u64>) -> Located<WaveSize> {
        located(WaveSize::Cover(Cover { tags: names(tags), at_most: at_most.map(Amount::Count) }))
    }

    fn everybody(fleet: &Fleet) -> Vec<WorkerIx> {
        (0..fleet.workers.len() as u32).map(WorkerIx).collect()
    }

    fn waves(sizes: &[Located<WaveSize>], count: u32) -> Vec<Resolved> {
        let fleet = fleet(Vec::new(), &[]);
        into_waves(sizes, &fleet, &mut (0..count).map(WorkerIx).collect::<Vec<_>>()).numbers
    }

    fn sizes(sizes: &[Located<WaveSize>], count: u32) -> Vec<u32> {
        waves(sizes, count).into_iter().map(|wave| wave.value).collect()
    }

    /// The indices of the workers of each wave, and what is covered.
    fn taken(sizes: &[Located<WaveSize>], fleet: &Fleet) -> (Vec<Vec<u32>>, Vec<Coverage>) {
        let mut chosen = everybody(fleet);
        let waves = into_waves(sizes, fleet, &mut chosen);
        let of_wave =
            |range: &Range<u32>| chosen[range.start as usize..range.end as usize].iter().map(|ix| ix.0);
        (waves.ranges.iter().map(|range| of_wave(range).collect()).collect(), waves.coverage)
    }

    fn tagged(tags: &[&[&str]]) -> Fleet {
        let one = |(at, tags): (usize, &&[&str])| worker(&format!("w{at}"), &[], tags);
        fleet(tags.iter().enumerate().map(one).collect(), &[])
    }

    #[test]
    fn waves_round_down_repeat_and_end() {
        assert_eq!(sizes(&[], 7), [7]);
        assert_eq!(sizes(&[of(1), percent(10), rest()], 25), [1, 2, 22]);
        assert_eq!(sizes(&[of(1), of(3)], 9), [1, 3, 3, 2]);
        assert_eq!(sizes(&[percent(10)], 3), [1, 1, 1]);
        assert_eq!(sizes(&[of(10), rest()], 4), [4]);
        assert_eq!(sizes(&[of(0)], 2), [1, 1], "a wave is never empty");
        assert_eq!(waves(&[percent(15)], 10)[0].how, "15% of 10 is 1.5, rounded down to 1");
        assert_eq!(waves(&[percent(1)], 10)[0].how, "1% of 10 is 0.1, rounded down to 0, but at least 1");
        assert_eq!(waves(&[percent(10)], 10)[0].how, "10% of 10 is 1");
    }

    #[test]
    fn canaries_have_every_value_and_the_others_keep_their_order() {
        let fleet = tagged(&[
            &["zone=a", "model=x"],
            &["zone=a", "model=x"],
            &["zone=b", "model=x"],
            &["zone=c", "model=y"],
        ]);
        let (waves, coverage) = taken(&[cover(&["model", "zone"], None), rest()], &fleet);
        assert_eq!(waves, [vec![0, 2, 3], vec![1]]);
        assert_eq!(coverage[0].wave, Some(0));
        assert_eq!(coverage[0].counts(), (5, 5));
        let (waves, _) = taken(&[cover(&["model"], None), of(1)], &fleet);
        assert_eq!(waves, [vec![0, 3], vec![1], vec![2]], "what follows repeats, and not the canaries");
    }

    #[test]
    fn one_that_later_choices_have_made_superfluous_is_no_canary() {
        // The first is chosen for its three new values; the two others have them all, and need each other.
        let fleet = tagged(&[
            &["a=1", "b=1", "c=1", "d=1"],
            &["a=1", "b=2", "c=1", "d=2"],
            &["a=2", "b=1", "c=2", "d=1"],
        ]);
        let (waves, _) = taken(&[cover(&["a", "b", "c", "d"], None), rest()], &fleet);
        assert_eq!(waves, [vec![1, 2], vec![0]]);
    }

    #[test]
    fn what_a_limit_leaves_out_is_named_with_the_reason() {
        let mut fleet = tagged(&[&["zone=a"], &["zone=b"], &["zone=c"], &["zone=c"], &[]]);
        fleet.disabled.workers.insert("w0".to_owned());
        let (waves, coverage) = taken(&[cover(&["zone"], Some(2)), rest()], &fleet);
        assert_eq!(waves, [vec![1, 2], vec![0, 3, 4]]);
        let tag = &coverage[0].tags[0];
        assert_eq!(tag.covered, [Some("b".to_owned()), Some("c".to_owned())]);
        let uncovered: Vec<_> =
            tag.uncovered.iter().map(|of| (of.value.as_deref(), of.workers, of.why)).collect();
        assert_eq!(uncovered, [(None, 1, NotCovered::AtMost), (Some("a"), 1, NotCovered::AlreadyDisabled)]);
    }

    #[test]
    fn values_of_earlier_waves_are_not_covered_again_unless_a_run_leaves_them_alone() {
        let mut fleet = tagged(&[&["zone=a"], &["zone=a"], &["zone=b"]]);
        let plan = [of(1), cover(&["zone"], None), rest()];
        assert_eq!(taken(&plan, &fleet).0, [vec![0], vec![2], vec![1]]);
        fleet.disabled.workers.insert("w0".to_owned());
        assert_eq!(taken(&plan, &fleet).0, [vec![0], vec![1, 2]]);
        let (waves, coverage) = taken(&[of(2), cover(&["zone"], None), rest()], &tagged(&[&[], &[], &[]]));
        assert_eq!(waves, [vec![0, 1], vec![2]], "no wave without workers");
        assert_eq!((coverage[0].wave, coverage[0].counts()), (None, (1, 1)));
    }

    /// The size of a smallest set that has every value, by trying all.
    fn smallest(values: &[Vec<u8>], tags: usize) -> u32 {
        let all = |set: u32| {
            let has = |tag: usize, value: u8| {
                values.iter().enumerate().any(|(at, of)| set & (1 << at) != 0 && of[tag] == value)
            };
            values.iter().all(|of| (0..tags).all(|tag| has(tag, of[tag])))
        };
        (0..1_u32 << values.len()).filter(|set| all(*set)).map(u32::count_ones).min().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn waves_cover_everybody_once(
            given in prop::collection::vec((0_u8..3, 0_u64..40, 0_u8..=100), 0..6),
            with_rest in any::<bool>(),
            zones in prop::collection::vec(0_u8..5, 0..200),
        ) {
            let tags: Vec<String> = zones.iter().map(|zone| format!("zone={zone}")).collect();
            let workers = tags.iter().enumerate().map(|(at, tag)| worker(&format!("w{at}"), &[], &[tag]));
            let fleet = fleet(workers.collect(), &[]);
            let mut sizes: Vec<_> = given
                .into_iter()
                .map(|(kind, number, share)| match kind {
                    0 => of(number),
                    1 => percent(share),
                    _ => cover(&["zone"], (share % 2 == 0).then_some(number)),
                })
                .collect();
            if with_rest {
                sizes.push(rest());
            }
            let (waves, _) = taken(&sizes, &fleet);
            prop_assert!(waves.iter().all(|wave| !wave.is_empty()));
            let mut all: Vec<u32> = waves.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..zones.len() as u32).collect::<Vec<_>>());
        }

        #[test]
        fn canaries_have_all_values_and_are_few(
            values in prop::collection::vec(prop::collection::vec(0_u8..4, 3), 1..9),
        ) {
            let tag = |(at, value): (usize, &u8)| format!("t{at}={value}");
            let one = |(at, of): (usize, &Vec<u8>)| {
                let tags: Vec<String> = of.iter().enumerate().map(tag).collect();
                worker(&format!("w{at}"), &[], &tags.iter().map(String::as_str).collect::<Vec<_>>())
            };
            let fleet = fleet(values.iter().enumerate().map(one).collect(), &[]);
            let (waves, coverage) = taken(&[cover(&["t0", "t1", "t2"], None), rest()], &fleet);
            let canaries = &waves[0];
            for (at, of) in values.iter().enumerate() {
                for (tag, value) in of.iter().enumerate() {
                    let has = canaries.iter().any(|canary| values[*canary as usize][tag] == *value);
                    prop_assert!(has, "no canary has t{} of w{}", tag, at);
                }
            }
            let (covered, all) = coverage[0].counts();
            prop_assert_eq!(covered, all);
            // Sets of three values: within H(3) of the smallest.
            let bound = f64::from(smallest(&values, 3)) * (1.0 + 0.5 + 1.0 / 3.0);
            prop_assert!(canaries.len() as f64 <= bound + 1e-9);
            for left_out in canaries {
                let others = |tag: usize, value: u8| {
                    canaries.iter().any(|at| at != left_out && values[*at as usize][tag] == value)
                };
                let own = &values[*left_out as usize];
                prop_assert!((0..3).any(|tag| !others(tag, own[tag])), "w{} is superfluous", left_out);
            }
        }
    }
}
