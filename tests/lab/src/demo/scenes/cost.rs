//! What the run cost, as EC2 saw it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::demo::prices::dollars_per_hour;
use crate::demo::stage::Stage;
use crate::demo::tell;
use crate::ec2::Lifetime;

/// Per pool: price times lifetime, against keeping each pool's most nodes all the time.
pub(crate) fn play(stage: &Stage) -> Result<()> {
    tell::heading("7. What it cost: price × lifetime of every instance that EC2 launched");
    let lifetimes = stage.lab.front().lifetimes();
    let (start, end) = (stage.started, Instant::now());
    let mut pools: BTreeMap<String, Vec<Lifetime>> = BTreeMap::new();
    for lifetime in lifetimes {
        let pool = lifetime.pool.clone().context("an instance names no pool")?;
        pools.entry(pool).or_default().push(lifetime);
    }
    let (mut rows, mut sums) = (Vec::new(), (0.0, 0.0));
    for (pool, lifetimes) in pools {
        let (spent, peak) = (spent(&lifetimes, end)?, most_at_once(&lifetimes, end)?);
        let kept = peak.dollars_per_hour * hours(end.duration_since(start));
        sums = (sums.0 + spent, sums.1 + kept);
        rows.push([
            pool,
            lifetimes.len().to_string(),
            peak.nodes.to_string(),
            format!("{spent:.5}"),
            format!("{kept:.5}"),
            format!("{:.0} %", (1.0 - spent / kept) * 100.0),
        ]);
    }
    rows.push([
        "all".to_owned(),
        String::new(),
        String::new(),
        format!("{:.5}", sums.0),
        format!("{:.5}", sums.1),
        format!("{:.0} %", (1.0 - sums.0 / sums.1) * 100.0),
    ]);
    tell::table(
        ["TYPE", "INSTANCES", "MOST AT ONCE", "$ SPENT", "$ AT THE PEAK ALL THE TIME", "SAVED"],
        &rows,
    );
    tell::line("(list prices by the second, without the minute that EC2 charges at least)");
    Ok(())
}

fn hours(duration: Duration) -> f64 {
    duration.as_secs_f64() / 3600.0
}

fn price(lifetime: &Lifetime) -> Result<f64> {
    let instance_type = &lifetime.instance_type;
    dollars_per_hour(instance_type).with_context(|| format!("{instance_type} has no price"))
}

fn spent(lifetimes: &[Lifetime], end: Instant) -> Result<f64> {
    let one = |lifetime: &Lifetime| {
        let lived = lifetime.terminated.unwrap_or(end).saturating_duration_since(lifetime.launched);
        Ok(price(lifetime)? * hours(lived))
    };
    lifetimes.iter().map(one).sum()
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Peak {
    nodes: usize,
    dollars_per_hour: f64,
}

/// The dearest moment.
fn most_at_once(lifetimes: &[Lifetime], end: Instant) -> Result<Peak> {
    let mut peak = Peak::default();
    for moment in lifetimes.iter().map(|lifetime| lifetime.launched) {
        let lives =
            |lifetime: &&Lifetime| lifetime.launched <= moment && lifetime.terminated.unwrap_or(end) > moment;
        let mut now = Peak::default();
        for lifetime in lifetimes.iter().filter(lives) {
            now = Peak { nodes: now.nodes + 1, dollars_per_hour: now.dollars_per_hour + price(lifetime)? };
        }
        if now.dollars_per_hour > peak.dollars_per_hour {
            peak = now;
        }
    }
    Ok(peak)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_and_the_dearest_moment_are_reckoned_from_lifetimes() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let lifetime = |launched, terminated| Lifetime {
            id: String::new(),
            instance_type: "c7i.xlarge".to_owned(),
            pool: None,
            launched: at(launched),
            terminated,
        };
        let lifetimes = [lifetime(0, Some(at(3600))), lifetime(1800, None), lifetime(3600, Some(at(3600)))];
        let spent = spent(&lifetimes, at(7200)).unwrap();
        assert!((spent - 0.1785 * 2.5).abs() < 1e-9, "{spent}");
        let peak = most_at_once(&lifetimes, at(7200)).unwrap();
        assert_eq!((peak.nodes, peak.dollars_per_hour), (2, 0.357));
    }
}
