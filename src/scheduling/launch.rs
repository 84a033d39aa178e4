//! Which node to launch next for a pod that fits on none: a pool, an instance type, and all that would run there.
//!
//! The node is chosen for what it will hold, not for the one pod. Every instance type that holds the pod is tried: it is filled, in
//! the order of the queue, with whatever else still waits, and the type is taken whose price is lowest for what the pods on it are
//! worth ([`worth`]). So a claim grows as long as growing makes it cheaper per pod, and the last one is as small as its pods allow.
//! Karpenter grows a claim until only the largest type is left and looks at prices when it is launched.
//!
//! **Many small nodes or few large ones.** In most families the price is linear in the size, and what differs is what a node keeps
//! for itself and its daemons: a little less of a large one. Daemons count in full: they fill a node and are worth nothing here, so
//! where they are heavy, larger nodes win by themselves. Where two are equal, the node that costs least wins: it takes fewer pods
//! down with it when it fails or is reclaimed, drains faster, and is empty, and gone, sooner when its pods finish. A preference for
//! small nodes that costs money was tried and left out: half a percent for it is half a percent of the whole bill.
//!
//! Pools are tried in the pod's order. A pool where the pod would never fit is passed over; one that is merely at its limit or cannot
//! be bought now only where the workload type may fall back.

use std::collections::BTreeMap;

use super::{
    fit::Draft,
    limits::Ledger,
    pools::{PoolTable, Pools, Tier},
    queue::Class,
    table::RowSet,
    worth::{self, Bundle},
};
use crate::model::Price;

/// The unit in which worth is counted: so many make a nano dollar.
const WORTH_PER_NANO: f64 = 1000.0;

/// What a node costs, and what the pods on it are worth.
#[derive(Debug, Clone, Copy)]
struct Score {
    price: u128,
    worth: u128,
}

impl Score {
    fn new(price: Price, worth: u64) -> Self {
        Self { price: u128::from(price.nanos()), worth: u128::from(worth) }
    }

    /// Whether this costs less for the same worth, or as much for it and less altogether.
    fn is_better_than(self, other: Self) -> bool {
        let (own, others) = (self.price.saturating_mul(other.worth), other.price.saturating_mul(self.worth));
        (own, self.price) < (others, other.price)
    }
}

/// What is known while nodes are added to a plan.
pub(super) struct Launcher<'a> {
    pools: &'a Pools<'a>,
    classes: &'a [Class<'a>],
    pub(super) ledgers: Vec<Ledger<'a>>,
    /// By pool, the rows that can be bought and are within its limits; of those that can stand for one another, only the first.
    launchable: Vec<RowSet>,
}

impl<'a> Launcher<'a> {
    pub(super) fn new(pools: &'a Pools<'a>, classes: &'a [Class<'a>]) -> Self {
        let ledger = |table: &PoolTable<'a>| Ledger::new(&table.pool.node_pool.limits, &table.pool.held);
        let distinct = |(number, table): (usize, &PoolTable<'a>)| distinct_rows(table, number, classes);
        let mut launcher = Self {
            ledgers: pools.tables.iter().map(ledger).collect(),
            launchable: pools.tables.iter().enumerate().map(distinct).collect(),
            pools,
            classes,
        };
        (0..pools.tables.len()).for_each(|pool| launcher.apply_limits(pool));
        launcher
    }

    /// Claims for the first pod of class `head` and for whatever of `waiting`, the pods left of each class, shares a node with it best.
    /// The claims are alike: as many as there are enough pods for. Nothing, if no pool can help.
    pub(super) fn open(&mut self, head: usize, waiting: &[u64]) -> Vec<Draft<'a>> {
        let Some(class) = self.classes.get(head) else { return Vec::new() };
        let Some(tier) = self.next_tier(class) else { return Vec::new() };
        let rows_of = |pool: &usize| {
            let pool = *pool;
            self.candidates(class, pool).map(move |row| (pool, row))
        };
        let candidates: Vec<(usize, usize)> = tier.pools.iter().flat_map(rows_of).collect();
        match self.cheapest(head, tier, &candidates, waiting) {
            Some(draft) => self.repeat(draft, waiting),
            None => Vec::new(),
        }
    }

    /// The first of the class's tiers from which a node could be launched for one of its pods now, unless it has to wait for an
    /// earlier one.
    fn next_tier<'c>(&self, class: &'c Class<'_>) -> Option<&'c Tier> {
        let can_launch =
            |tier: &Tier| tier.pools.iter().any(|pool| self.candidates(class, *pool).next().is_some());
        let ends_here =
            |tier: &&Tier| can_launch(tier) || (!tier.may_fall_back && self.pools.is_short(class, tier));
        class.tiers.iter().find(ends_here).filter(|tier| can_launch(tier))
    }

    /// The rows of a pool that would hold a pod of the class and can be launched.
    fn candidates(&self, class: &Class<'_>, pool: usize) -> impl Iterator<Item = usize> {
        let shapes = class.shapes_in(pool);
        let holds = move |row: &usize| shapes.iter().any(|shape| shape.rows.contains(*row));
        self.launchable.get(pool).into_iter().flat_map(RowSet::iter).filter(holds)
    }

    /// Drops the rows of a pool that its limits do not allow any more.
    fn apply_limits(&mut self, pool: usize) {
        let Some((table, ledger)) = self.pools.get(pool).zip(self.ledgers.get(pool)) else { return };
        let Some(launchable) = self.launchable.get_mut(pool).filter(|_| ledger.is_limited()) else { return };
        let exceeds = |row: &usize| table.capacity(*row).is_none_or(|capacity| !ledger.allows(capacity));
        let exceeding: Vec<usize> = launchable.iter().filter(exceeds).collect();
        for row in exceeding {
            launchable.remove(row);
        }
    }

    /// Of the candidates, the one that costs least for what it holds once it is filled.
    fn cheapest(
        &self,
        head: usize,
        tier: &Tier,
        candidates: &[(usize, usize)],
        waiting: &[u64],
    ) -> Option<Draft<'a>> {
        let sharing: Vec<usize> = (head..self.classes.len())
            .filter(|number| waiting.get(*number).is_some_and(|pods| *pods > 0))
            .filter(|number| self.may_share(*number, tier))
            .collect();
        let worth = self.worth_of_classes(&sharing, candidates, waiting);
        let scored = candidates.iter().filter_map(|(pool, row)| {
            let table = self.pools.get(*pool)?;
            let mut draft = Draft::new(*pool, table, *row)?;
            let mut total = 0_u64;
            for (number, worth) in sharing.iter().zip(&worth) {
                let (class, pods) = self.classes.get(*number).zip(waiting.get(*number))?;
                total = total.saturating_add(worth.saturating_mul(draft.fill(table, *number, class, *pods)));
            }
            let holds_head = draft.loads.first().is_some_and(|load| load.class == head);
            holds_head.then(|| Some((Score::new(table.pool.catalog.row(*row)?.price, total), draft)))?
        });
        let best = scored.reduce(|best, other| if other.0.is_better_than(best.0) { other } else { best });
        best.map(|(_, draft)| draft)
    }

    /// Whether pods of the class would be launched for in this tier too, so that a node of it may be made larger for them.
    fn may_share(&self, class: usize, tier: &Tier) -> bool {
        let next = self.classes.get(class).and_then(|class| self.next_tier(class));
        next.is_some_and(|next| next.pools.iter().any(|pool| tier.pools.contains(pool)))
    }

    /// What one pod of each of these classes is worth.
    fn worth_of_classes(
        &self,
        classes: &[usize],
        candidates: &[(usize, usize)],
        waiting: &[u64],
    ) -> Vec<u64> {
        let bundles = candidates.iter().filter_map(|(pool, row)| {
            let table = self.pools.get(*pool)?;
            let row = table.pool.catalog.row(*row)?;
            Some(Bundle {
                price: approximately(row.price.nanos()),
                amounts: table
                    .room(row.instance_type)?
                    .iter()
                    .map(|amount| approximately(amount.max(0).unsigned_abs()))
                    .collect(),
            })
        });
        let bundles: Vec<_> = bundles.collect();
        let requests = classes.iter().filter_map(|number| self.classes.get(*number)).map(|class| {
            class
                .requests
                .iter()
                .map(|amount| approximately(amount.max(0).unsigned_abs()))
                .collect::<Vec<_>>()
        });
        let requests: Vec<_> = requests.collect();
        let mut demand = vec![0.0; requests.first().map_or(0, Vec::len)];
        for (number, requests) in classes.iter().zip(&requests) {
            let pods = approximately(waiting.get(*number).copied().unwrap_or_default());
            demand.iter_mut().zip(requests).for_each(|(demand, amount)| *demand += amount * pods);
        }
        let prices = worth::resource_prices(&bundles, &demand);
        let worth = |requests: &Vec<f64>| -> f64 {
            requests.iter().zip(&prices).map(|(amount, price)| amount * price).sum()
        };
        requests.iter().map(|requests| rounded(worth(requests) * WORTH_PER_NANO)).collect()
    }

    /// The claim as often as there are pods for it and the pool's limits allow; at least once.
    fn repeat(&mut self, draft: Draft<'a>, waiting: &[u64]) -> Vec<Draft<'a>> {
        let mut needed: BTreeMap<usize, u64> = BTreeMap::new();
        for load in &draft.loads {
            *needed.entry(load.class).or_default() += load.pods;
        }
        let enough_for =
            |(class, pods): (&usize, &u64)| waiting.get(*class).copied().unwrap_or_default() / (*pods).max(1);
        let times = needed.iter().map(enough_for).min().unwrap_or_default();
        let capacity = self.pools.get(draft.pool).and_then(|table| table.capacity(draft.row));
        let Some((capacity, ledger)) = capacity.zip(self.ledgers.get_mut(draft.pool)) else {
            return Vec::new();
        };
        let mut drafts = Vec::new();
        while (drafts.len() as u64) < times && ledger.allows(capacity) {
            ledger.charge(capacity);
            drafts.push(draft.clone());
        }
        self.apply_limits(draft.pool);
        drafts
    }
}

/// The rows of a pool that can be bought now, of those that have the same type and price and hold the same classes only the first.
fn distinct_rows(table: &PoolTable<'_>, number: usize, classes: &[Class<'_>]) -> RowSet {
    let catalog = &table.pool.catalog;
    let shapes: Vec<&RowSet> =
        classes.iter().flat_map(|class| class.shapes_in(number)).map(|shape| &shape.rows).collect();
    let mut signatures: Vec<Vec<u64>> = vec![vec![0; shapes.len().div_ceil(64)]; catalog.rows().len()];
    for (i, rows) in shapes.iter().enumerate() {
        for row in rows.iter() {
            if let Some(word) = signatures.get_mut(row).and_then(|words| words.get_mut(i / 64)) {
                *word |= 1 << (i % 64);
            }
        }
    }
    let mut first = BTreeMap::new();
    for row in table.rows.and(catalog.available()).iter() {
        let (Some(signature), Some(entry)) = (signatures.get(row), catalog.row(row)) else { continue };
        first.entry((entry.instance_type, entry.price, signature)).or_insert(row);
    }
    first.into_values().fold(RowSet::none(catalog.rows().len()), |mut distinct, row| {
        distinct.insert(row);
        distinct
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "worth is an estimate, and 53 bits are more than it is good for"
)]
fn approximately(number: u64) -> f64 {
    number as f64
}

/// A worth as a whole number; every pod is worth something, or a node full of pods without requests would be worth nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is between one and MOST, and what is behind the point does not count"
)]
fn rounded(worth: f64) -> u64 {
    /// So that a million pods' worth does not overflow.
    const MOST: f64 = 1e13;
    worth.clamp(1.0, MOST) as u64
}
