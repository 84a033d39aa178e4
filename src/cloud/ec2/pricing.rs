//! What an instance costs: the prices that were known when the program was built.
//!
//! List prices on demand, Linux, shared tenancy. Prices of spot, of other operating systems and of dedicated tenancy are not known
//! here, nor is anything asked over the network.

use std::collections::BTreeMap;

use crate::model::Price;

/// The region that the table is of.
const REGION: &str = "us-east-1";
const TABLE: &str = include_str!("tables/prices_us_east_1.txt");

/// On-demand prices by instance type.
#[derive(Clone, Debug)]
pub struct Prices {
    on_demand: BTreeMap<&'static str, Price>,
    notice: Option<String>,
}

impl Prices {
    /// The prices for a region. Only one region's are built in; the others use them, and say so in [`notice`](Self::notice).
    #[must_use]
    pub fn of_region(region: &str) -> Self {
        let notice = (region != REGION).then(|| {
            format!("prices of {REGION} are used for {region}: those of other regions are not built in; the order of types by price is nearly the same")
        });
        Self { on_demand: table(TABLE).collect(), notice }
    }

    /// The price of a type on demand; nothing if it is not known.
    #[must_use]
    pub fn on_demand(&self, instance_type: &str) -> Option<Price> {
        self.on_demand.get(instance_type).copied()
    }

    /// The names of all types whose price is known: there are others, newer ones and such as are sold in other regions only.
    pub fn instance_types() -> impl Iterator<Item = &'static str> {
        table(TABLE).map(|(name, _)| name)
    }

    /// What whoever reads these prices should know.
    #[must_use]
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }
}

/// Rows of a generated table, without its comments: `type nano-dollars`.
fn table(text: &'static str) -> impl Iterator<Item = (&'static str, Price)> {
    text.lines().filter_map(|line| {
        let (name, nanos) = line.split_once(' ')?;
        Some((name, Price::from_nanos(nanos.parse().ok()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_those_of_the_price_list() {
        let prices = Prices::of_region("us-east-1");
        for (instance_type, expected) in [
            ("c7i.xlarge", "$0.1785/h"),
            ("m5a.large", "$0.086/h"),
            ("m5.large", "$0.096/h"),
            ("m5.metal", "$4.608/h"),
            ("t4g.small", "$0.0168/h"),
        ] {
            let price = prices.on_demand(instance_type).map(|price| price.to_string());
            assert_eq!(price.as_deref(), Some(expected), "{instance_type}");
        }
        assert_eq!(prices.on_demand("z9.huge"), None);
        assert_eq!(prices.notice(), None);
    }

    #[test]
    fn every_row_of_the_table_is_read() {
        let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(rows.count(), Prices::of_region("us-east-1").on_demand.len());
    }

    #[test]
    fn another_region_gets_the_same_prices_and_a_notice() {
        let prices = Prices::of_region("eu-central-1");
        assert_eq!(prices.on_demand("m5.large").unwrap().to_string(), "$0.096/h");
        let notice = prices.notice().unwrap();
        assert!(notice.contains("us-east-1") && notice.contains("eu-central-1"), "{notice}");
    }
}
