use proptest::prelude::*;

use super::*;

/// Reads `10%`, `2 Empty Drifted`, `0 @ 0 9 * * *`.
fn budget(text: &str) -> Budget {
    let (text, schedule) = match text.split_once(" @ ") {
        Some((text, schedule)) => (text, Some(schedule)),
        None => (text, None),
    };
    let mut words = text.split(' ');
    Budget {
        nodes: words.next().unwrap().to_owned(),
        reasons: words.map(DisruptionReason::from).collect(),
        schedule: schedule.map(str::to_owned),
        duration: schedule.map(|_| "8h".to_owned()),
    }
}

#[test]
fn the_strictest_budget_that_applies_counts() {
    let cases: [(&[&str], usize, usize, Option<usize>); 18] = [
        (&[], 10, usize::MAX, None),
        (&["10%"], 0, 0, Some(0)),
        (&["10%"], 1, 1, Some(0)),
        (&["10%"], 10, 1, Some(0)),
        (&["10%"], 11, 2, Some(0)),
        (&["5%"], 10, 1, Some(0)),
        (&["100%"], 7, 7, Some(0)),
        (&["0%"], 10, 0, Some(0)),
        (&["2"], 10, 2, Some(0)),
        (&["20"], 10, 20, Some(0)),
        (&["50%", "2"], 10, 2, Some(1)),
        (&["50%", "0 Drifted"], 10, 5, Some(0)),
        (&["50%", "1 Drifted Empty"], 10, 1, Some(1)),
        (&["0 Drifted"], 10, usize::MAX, None),
        // What cannot be read allows nothing, even where it is for another reason.
        (&["50%", "ten Drifted"], 10, 0, Some(1)),
        (&["50%", "101%"], 10, 0, Some(1)),
        (&["50%", "0 @ 0 9 * * *"], 10, 0, Some(1)),
        (&["50%", "1 Novelty"], 10, 1, Some(1)),
    ];
    for (budgets, size, nodes, budget) in cases {
        let read: Vec<_> = budgets.iter().map(|text| self::budget(text)).collect();
        let expected = Allowance { nodes, budget };
        assert_eq!(allowance(&read, &DisruptionReason::Empty, size), expected, "{budgets:?} of {size}");
    }
}

fn some_budget() -> impl Strategy<Value = Budget> {
    let nodes = prop_oneof!["[0-9]{1,2}", "[0-9]{1,3}%", "[a-z%]{0,3}", Just("99999999999".to_owned())];
    let reason = prop_oneof![
        Just(DisruptionReason::Empty),
        Just(DisruptionReason::Drifted),
        Just(DisruptionReason::Underutilized),
    ];
    (nodes, proptest::collection::vec(reason, 0..3), any::<bool>()).prop_map(
        |(nodes, reasons, is_scheduled)| {
            let text = |text: &str| is_scheduled.then(|| text.to_owned());
            Budget { nodes, reasons, schedule: text("@daily"), duration: text("1h") }
        },
    )
}

proptest! {
    #[test]
    fn one_more_budget_never_allows_more(
        budgets in proptest::collection::vec(some_budget(), 0..4),
        another in some_budget(),
        size in 0_usize..500,
    ) {
        let before = allowance(&budgets, &DisruptionReason::Empty, size).nodes;
        let more: Vec<_> = budgets.into_iter().chain([another]).collect();
        prop_assert!(allowance(&more, &DisruptionReason::Empty, size).nodes <= before);
    }

    #[test]
    fn a_schedule_never_allows_more_than_none(budget in some_budget(), size in 0_usize..500) {
        let always = Budget { schedule: None, duration: None, ..budget.clone() };
        let of = |budget: Budget| allowance(&[budget], &DisruptionReason::Empty, size).nodes;
        prop_assert!(of(budget) <= of(always));
    }

    #[test]
    fn a_percentage_is_the_least_number_that_is_no_smaller(percent in 0_u8..=100, size in 0_usize..10_000) {
        let budget = Budget { nodes: format!("{percent}%"), ..Budget::default() };
        let nodes = allowance(&[budget], &DisruptionReason::Empty, size).nodes;
        let share = usize::from(percent) * size;
        prop_assert!(nodes * 100 >= share && nodes.saturating_sub(1) * 100 <= share && nodes <= size);
        prop_assert!(nodes == 0 || (nodes - 1) * 100 < share);
    }
}
