//! The decision: what has to happen between what is and what is wanted. Pure; every case is a line in the tests below.
//!
//! Invariants: no old replica is drained or stopped before `Switch`, unless the service has a single writer, and then never
//! before `Hold`; no other process starts before `web` is healthy (ZD-26); two plans after one another do nothing twice.

use domain::id::DeploymentId;
use domain::service::WEB;

/// A container of the service that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    pub id: String,
    pub process: String,
    /// From 1.
    pub replica: u32,
    pub fingerprint: String,
    pub operation: DeploymentId,
    pub running: bool,
    /// It was seen healthy and recorded as serving.
    pub confirmed: bool,
}

/// One process type as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub process: String,
    pub replicas: u32,
    pub fingerprint: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub operation: DeploymentId,
    /// Replace every replica that another operation made (restart).
    pub replace: bool,
    /// Two of its replicas must never run at the same time.
    pub single_writer: bool,
    pub targets: Vec<Target>,
}

/// A place for one replica: `web.1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    pub process: String,
    pub replica: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make containers; they do not run yet.
    Create(Vec<Slot>),
    /// Hold requests in the ingress, wait for those in flight and stop these; they stay, in case the new ones fail.
    HandOver(Vec<String>),
    Start(Vec<Slot>),
    /// Wait until these are healthy.
    Await(Vec<Slot>),
    /// Routes to the new set, acknowledged by the ingress.
    Switch,
    /// Let requests in flight on these finish.
    Drain(Vec<String>),
    /// Stop and remove these.
    Retire(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// Containers that fill a slot already, running or not.
    pub kept: Vec<(Slot, String)>,
    /// What is undone when the new ones fail: everything that is not confirmed.
    pub stop_first: bool,
}

pub fn plan(order: &Order, existing: &[Existing]) -> Plan {
    let mut kept: Vec<(Slot, String)> = Vec::new();
    let (mut create, mut start) = (Vec::new(), Vec::new());
    for target in ordered(&order.targets) {
        for replica in 1..=target.replicas {
            let slot = Slot { process: target.process.clone(), replica };
            match best(order, target, &slot, existing) {
                Some(found) => {
                    if !(found.running && found.confirmed) {
                        start.push(slot.clone());
                    }
                    kept.push((slot, found.id.clone()));
                }
                None => {
                    create.push(slot.clone());
                    start.push(slot);
                }
            }
        }
    }
    let old: Vec<&Existing> = existing.iter().filter(|found| !kept.iter().any(|(_, id)| *id == found.id)).collect();
    let ids = |of: &[&Existing]| of.iter().map(|found| found.id.clone()).collect::<Vec<_>>();
    let (gate, others): (Vec<Slot>, Vec<Slot>) = start.into_iter().partition(|slot| slot.process == WEB);
    let stop_first = order.single_writer && !(gate.is_empty() && others.is_empty()) && !old.is_empty();

    let mut actions = Vec::new();
    if !create.is_empty() {
        actions.push(Action::Create(create));
    }
    if stop_first {
        actions.push(Action::HandOver(ids(&old)));
    }
    for slots in [gate, others] {
        if !slots.is_empty() {
            actions.push(Action::Start(slots.clone()));
            actions.push(Action::Await(slots));
        }
    }
    actions.push(Action::Switch);
    if !old.is_empty() {
        let serving: Vec<&Existing> = old.iter().copied().filter(|found| found.process == WEB && found.running).collect();
        if !stop_first && !serving.is_empty() {
            actions.push(Action::Drain(ids(&serving)));
        }
        actions.push(Action::Retire(ids(&old)));
    }
    Plan { actions, kept, stop_first }
}

/// `web` first: it is the gate.
fn ordered(targets: &[Target]) -> Vec<&Target> {
    let mut sorted: Vec<&Target> = targets.iter().collect();
    sorted.sort_by_key(|target| (target.process != WEB, target.process.clone()));
    sorted
}

fn best<'a>(order: &Order, target: &Target, slot: &Slot, existing: &'a [Existing]) -> Option<&'a Existing> {
    existing
        .iter()
        .filter(|found| found.process == slot.process && found.replica == slot.replica && found.fingerprint == target.fingerprint)
        .filter(|found| !order.replace || found.operation == order.operation)
        .max_by_key(|found| (found.running && found.confirmed, found.operation == order.operation, found.running, found.id.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{FixedClock, SeededEntropy};

    fn operation(seed: u64) -> DeploymentId {
        DeploymentId::new(&FixedClock::default(), &SeededEntropy::new(seed))
    }

    /// `web.1/a` with marks: `+` running and confirmed, `~` running only, `-` not running.
    fn existing(text: &str, seed: u64) -> Existing {
        let (place, mark) = text.split_at(text.len() - 1);
        let (slot, fingerprint) = place.split_once('/').unwrap_or((place, "a"));
        let (process, replica) = slot.split_once('.').unwrap_or((slot, "1"));
        Existing {
            id: format!("{slot}/{fingerprint}@{seed}"),
            process: process.into(),
            replica: replica.parse().unwrap_or(1),
            fingerprint: fingerprint.into(),
            operation: operation(seed),
            running: mark != "-",
            confirmed: mark == "+",
        }
    }

    /// `web*2/b worker*1/b`.
    fn order(targets: &str, replace: bool, single_writer: bool) -> Order {
        let targets = targets
            .split_whitespace()
            .map(|text| {
                let (process, rest) = text.split_once('*').unwrap_or((text, "1/a"));
                let (replicas, fingerprint) = rest.split_once('/').unwrap_or((rest, "a"));
                Target { process: process.into(), replicas: replicas.parse().unwrap_or(1), fingerprint: fingerprint.into() }
            })
            .collect();
        Order { operation: operation(2), replace, single_writer, targets }
    }

    fn shown(plan: &Plan) -> String {
        let slots = |slots: &[Slot]| slots.iter().map(|slot| format!("{}.{}", slot.process, slot.replica)).collect::<Vec<_>>().join(",");
        plan.actions
            .iter()
            .map(|action| match action {
                Action::Create(new) => format!("create {}", slots(new)),
                Action::HandOver(old) => format!("hand-over {}", old.join(",")),
                Action::Start(new) => format!("start {}", slots(new)),
                Action::Await(new) => format!("await {}", slots(new)),
                Action::Switch => "switch".into(),
                Action::Drain(old) => format!("drain {}", old.join(",")),
                Action::Retire(old) => format!("retire {}", old.join(",")),
            })
            .collect::<Vec<_>>()
            .join(" | ")
    }

    #[test]
    fn table() {
        let table: Vec<(&str, Order, Vec<Existing>, &str)> = vec![
            ("first deployment", order("web*1/a", false, false), vec![], "create web.1 | start web.1 | await web.1 | switch"),
            (
                "new release, start first",
                order("web*1/b", false, false),
                vec![existing("web.1/a+", 1)],
                "create web.1 | start web.1 | await web.1 | switch | drain web.1/a@1 | retire web.1/a@1",
            ),
            (
                "web is the gate for the others",
                order("worker*1/b web*1/b", false, false),
                vec![existing("web.1/a+", 1), existing("worker.1/a+", 1)],
                "create web.1,worker.1 | start web.1 | await web.1 | start worker.1 | await worker.1 | switch | drain web.1/a@1 | retire web.1/a@1,worker.1/a@1",
            ),
            ("same again", order("web*1/a", false, false), vec![existing("web.1/a+", 1)], "switch"),
            (
                "scale up leaves the others alone",
                order("web*3/a", false, false),
                vec![existing("web.1/a+", 1)],
                "create web.2,web.3 | start web.2,web.3 | await web.2,web.3 | switch",
            ),
            (
                "scale down takes the last",
                order("web*1/a", false, false),
                vec![existing("web.1/a+", 1), existing("web.2/a+", 1)],
                "switch | drain web.2/a@1 | retire web.2/a@1",
            ),
            ("scale to zero", order("web*0/a", false, false), vec![existing("web.1/a+", 1)], "switch | drain web.1/a@1 | retire web.1/a@1"),
            (
                "restart replaces all",
                order("web*1/a", true, false),
                vec![existing("web.1/a+", 1)],
                "create web.1 | start web.1 | await web.1 | switch | drain web.1/a@1 | retire web.1/a@1",
            ),
            ("restart, repeated after its end", order("web*1/a", true, false), vec![existing("web.1/a+", 2)], "switch"),
            (
                "resume after create",
                order("web*1/b", false, false),
                vec![existing("web.1/a+", 1), existing("web.1/b-", 2)],
                "start web.1 | await web.1 | switch | drain web.1/a@1 | retire web.1/a@1",
            ),
            (
                "resume after start: health is not skipped",
                order("web*1/b", false, false),
                vec![existing("web.1/a+", 1), existing("web.1/b~", 2)],
                "start web.1 | await web.1 | switch | drain web.1/a@1 | retire web.1/a@1",
            ),
            (
                "resume after switch",
                order("web*1/b", false, false),
                vec![existing("web.1/a~", 1), existing("web.1/b+", 2)],
                "switch | drain web.1/a@1 | retire web.1/a@1",
            ),
            (
                "resume after the old one was stopped",
                order("web*1/b", false, false),
                vec![existing("web.1/a-", 1), existing("web.1/b+", 2)],
                "switch | retire web.1/a@1",
            ),
            (
                "start of a stopped service",
                order("web*1/a", false, false),
                vec![existing("web.1/a-", 1)],
                "start web.1 | await web.1 | switch",
            ),
            (
                "single writer stops first",
                order("web*1/b", false, true),
                vec![existing("web.1/a+", 1)],
                "create web.1 | hand-over web.1/a@1 | start web.1 | await web.1 | switch | retire web.1/a@1",
            ),
            ("single writer, first time", order("web*1/b", false, true), vec![], "create web.1 | start web.1 | await web.1 | switch"),
            (
                "single writer, resume after the hand-over",
                order("web*1/b", false, true),
                vec![existing("web.1/a-", 1), existing("web.1/b-", 2)],
                "hand-over web.1/a@1 | start web.1 | await web.1 | switch | retire web.1/a@1",
            ),
            ("single writer, same again", order("web*1/a", false, true), vec![existing("web.1/a+", 1)], "switch"),
            (
                "two containers for one place: one stays",
                order("web*1/a", false, false),
                vec![existing("web.1/a+", 1), existing("web.1/a~", 3)],
                "switch | drain web.1/a@3 | retire web.1/a@3",
            ),
            (
                "a process type that is gone",
                order("web*1/a", false, false),
                vec![existing("web.1/a+", 1), existing("worker.1/a+", 1)],
                "switch | retire worker.1/a@1",
            ),
        ];
        for (name, order, existing, expected) in table {
            assert_eq!(shown(&plan(&order, &existing)), expected, "{name}");
        }
    }

    #[test]
    fn applying_a_plan_leaves_nothing_to_do() {
        for single_writer in [false, true] {
            let order = order("web*2/b worker*1/b", false, single_writer);
            let done: Vec<Existing> = ["web.1/b+", "web.2/b+", "worker.1/b+"].iter().map(|text| existing(text, 2)).collect();
            assert_eq!(plan(&order, &done).actions, vec![Action::Switch]);
        }
    }
}
