//! What a unit of each resource is worth: the yardstick by which one way to use a node is better than another.
//!
//! Buying the total of what is requested, as if pods could be cut to pieces, is a linear program: the cheapest mix of instance types
//! that has enough of every resource. Its dual gives a price to each resource so that no type costs less than what it leaves for pods is
//! worth, and the demand is worth as much as possible. A resource that comes for free with the mix (memory, where cpu is what runs
//! out) is worth nothing. So a node that costs just what its pods are worth cannot be beaten, and what it costs above that is waste.
//!
//! These are estimates to choose by. Nothing is taken to fit because of them, and any non-negative prices give a correct plan.

/// Below this a number is taken for zero; all numbers here are scaled to be near one.
const EPSILON: f64 = 1e-9;
/// A program with few resources is solved in fewer steps; stopping early leaves usable prices.
const MOST_STEPS: usize = 64;

/// What can be bought: a price, and what is got for it of each resource.
#[derive(Debug, Clone)]
pub(super) struct Bundle {
    pub(super) price: f64,
    pub(super) amounts: Vec<f64>,
}

/// The price of each resource, in the unit of the bundles' prices, for a demand of so much of each.
///
/// The simplex method on the dual, whose unknowns are the prices. Equal choices are decided by position, so the same input gives the
/// same prices.
pub(super) fn resource_prices(bundles: &[Bundle], demand: &[f64]) -> Vec<f64> {
    let scale: Vec<f64> = demand.iter().map(|amount| if *amount > 0.0 { *amount } else { 1.0 }).collect();
    let mut rows: Vec<Constraint> = bundles
        .iter()
        .map(|bundle| Constraint {
            owner: Owner::Slack,
            value: bundle.price,
            coefficients: bundle.amounts.iter().zip(&scale).map(|(amount, scale)| amount / scale).collect(),
        })
        .collect();
    let mut gains: Vec<f64> = demand.iter().map(|amount| if *amount > 0.0 { 1.0 } else { 0.0 }).collect();
    let mut columns: Vec<Owner> = (0..demand.len()).map(Owner::Price).collect();
    for _ in 0..MOST_STEPS {
        let entering = gains.iter().enumerate().filter(|(_, gain)| **gain > EPSILON);
        let Some((entering, _)) = entering.max_by(|(i, a), (j, b)| a.total_cmp(b).then(j.cmp(i))) else {
            break;
        };
        let Some(leaving) = tightest(&rows, entering) else {
            // Nobody sells this resource, so its price bounds nothing.
            gains.iter_mut().skip(entering).take(1).for_each(|gain| *gain = 0.0);
            continue;
        };
        pivot(&mut rows, &mut gains, &mut columns, (leaving, entering));
    }
    let mut prices = vec![0.0; demand.len()];
    for row in &rows {
        if let Owner::Price(resource) = row.owner
            && let (Some(price), Some(scale)) = (prices.get_mut(resource), scale.get(resource))
        {
            *price = row.value.max(0.0) / scale;
        }
    }
    prices
}

/// Whom a row or column of the tableau belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The price of a resource.
    Price(usize),
    /// What a bundle costs above its worth.
    Slack,
}

/// `owner = value − coefficients · columns`.
struct Constraint {
    owner: Owner,
    value: f64,
    coefficients: Vec<f64>,
}

impl Constraint {
    fn coefficient(&self, column: usize) -> f64 {
        self.coefficients.get(column).copied().unwrap_or_default()
    }
}

/// The row that is the first to bound the growth of a column.
fn tightest(rows: &[Constraint], column: usize) -> Option<usize> {
    let bounding = rows.iter().enumerate().filter(|(_, row)| row.coefficient(column) > EPSILON);
    bounding
        .map(|(i, row)| (i, row.value / row.coefficient(column)))
        .min_by(|(i, a), (j, b)| a.total_cmp(b).then(i.cmp(j)))
        .map(|(i, _)| i)
}

/// Solves the row `leaving` for the column `entering` and puts the result into all others.
fn pivot(
    rows: &mut [Constraint],
    gains: &mut [f64],
    columns: &mut [Owner],
    (leaving, entering): (usize, usize),
) {
    let Some(row) = rows.get_mut(leaving) else { return };
    let divisor = row.coefficient(entering);
    row.value /= divisor;
    for (column, coefficient) in row.coefficients.iter_mut().enumerate() {
        *coefficient = if column == entering { 1.0 / divisor } else { *coefficient / divisor };
    }
    if let Some(column) = columns.get_mut(entering) {
        std::mem::swap(column, &mut row.owner);
    }
    let (value, solved) = (row.value, row.coefficients.clone());
    let substitute = |target: &mut [f64]| {
        let factor = target.get(entering).copied().unwrap_or_default();
        for (column, (own, solved)) in target.iter_mut().zip(&solved).enumerate() {
            *own = if column == entering { -factor * solved } else { *own - factor * solved };
        }
        factor
    };
    for (_, row) in rows.iter_mut().enumerate().filter(|(i, _)| *i != leaving) {
        let factor = substitute(&mut row.coefficients);
        row.value -= factor * value;
    }
    substitute(gains);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bundles(offers: &[(f64, &[f64])]) -> Vec<Bundle> {
        offers.iter().map(|(price, amounts)| Bundle { price: *price, amounts: amounts.to_vec() }).collect()
    }

    fn check(offers: &[(f64, &[f64])], demand: &[f64], expected: &[f64]) {
        let prices = resource_prices(&bundles(offers), demand);
        let close = prices.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close && prices.len() == expected.len(), "{prices:?}, expected {expected:?}");
    }

    #[test]
    fn what_runs_out_first_carries_the_whole_price() {
        check(&[(8.0, &[4.0, 8.0])], &[1.0, 1.0], &[2.0, 0.0]);
        check(&[(8.0, &[4.0, 8.0])], &[1.0, 4.0], &[0.0, 1.0]);
    }

    #[test]
    fn two_types_that_are_both_needed_give_both_resources_a_price() {
        // 2·a + 1·b = 5 and 1·a + 2·b = 4.
        check(&[(5.0, &[2.0, 1.0]), (4.0, &[1.0, 2.0])], &[1.0, 1.0], &[2.0, 1.0]);
        check(&[(5.0, &[2.0, 1.0]), (4.0, &[1.0, 2.0]), (100.0, &[3.0, 3.0])], &[1.0, 1.0], &[2.0, 1.0]);
    }

    #[test]
    fn a_resource_that_nobody_sells_or_wants_has_no_price() {
        check(&[(8.0, &[4.0, 0.0])], &[1.0, 1.0], &[2.0, 0.0]);
        check(&[(8.0, &[4.0, 8.0])], &[0.0, 0.0], &[0.0, 0.0]);
        check(&[], &[1.0], &[0.0]);
    }

    proptest! {
        #[test]
        fn no_bundle_is_worth_more_than_it_costs(
            offers in prop::collection::vec((0.01_f64..100.0, prop::collection::vec(0.0_f64..64.0, 3)), 1..40),
            demand in prop::collection::vec(0.0_f64..1000.0, 3),
        ) {
            let offers: Vec<_> = offers.into_iter().map(|(price, amounts)| Bundle { price, amounts }).collect();
            let prices = resource_prices(&offers, &demand);
            prop_assert!(prices.iter().all(|price| *price >= 0.0));
            for offer in &offers {
                let worth: f64 = offer.amounts.iter().zip(&prices).map(|(amount, price)| amount * price).sum();
                prop_assert!(worth <= offer.price * (1.0 + 1e-6) + 1e-9, "{} > {}", worth, offer.price);
            }
        }
    }
}
