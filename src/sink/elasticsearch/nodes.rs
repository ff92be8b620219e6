//! Which node gets the next request. Pure.
//!
//! Least busy live node, ties by chance. A connect error, a reset or 502-504 makes a node dead for 1 s, doubling up to
//! 60 s; it lives again when it answers anything. A timeout is not a dead node, unless it is the third in a row without
//! any answer in between. All dead: the one dead longest is asked.

use std::time::{Duration, Instant};

use crate::model::Backoff;

/// How long a dead node is left alone.
const DEAD_TIME: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
const TIMEOUTS_OF_THE_DEAD: u32 = 3;

#[derive(Debug, Clone, Default)]
struct NodeState {
    in_use: u32,
    /// Since when, and until when it is left alone.
    dead: Option<(Instant, Instant)>,
    deaths: u32,
    timeouts: u32,
}

/// Health of all nodes of a connection.
#[derive(Debug)]
pub struct Nodes(Vec<NodeState>);

impl Nodes {
    /// `count` nodes (at least 1), all thought alive.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self(vec![NodeState::default(); count.max(1)])
    }

    /// The node to use, counted as busy until [`Nodes::release`]. `same` is wanted if it is alive. `chance` breaks
    /// ties.
    pub fn take(&mut self, same: Option<usize>, chance: usize) -> usize {
        let alive = |node: &&usize| self.0.get(**node).is_some_and(|node| node.dead.is_none());
        let taken = match same.as_ref().filter(alive) {
            Some(node) => *node,
            None => self.best(chance),
        };
        self.0[taken].in_use += 1;
        taken
    }

    fn best(&self, chance: usize) -> usize {
        let count = self.0.len();
        let from = chance % count;
        let order = || (0..count).map(|step| (from + step) % count);
        order()
            .filter(|node| self.0[*node].dead.is_none())
            .min_by_key(|node| self.0[*node].in_use)
            .unwrap_or_else(|| order().min_by_key(|node| self.0[*node].dead.map(|(since, _)| since)).unwrap_or(from))
    }

    /// The request is over.
    pub fn release(&mut self, node: usize) {
        if let Some(node) = self.0.get_mut(node) {
            node.in_use = node.in_use.saturating_sub(1);
        }
    }

    /// It answered.
    pub fn answered(&mut self, node: usize) {
        if let Some(node) = self.0.get_mut(node) {
            *node = NodeState { in_use: node.in_use, ..NodeState::default() };
        }
    }

    /// It is of no use now.
    pub fn broken(&mut self, node: usize, now: Instant) {
        if let Some(node) = self.0.get_mut(node) {
            node.deaths += 1;
            node.dead = Some((now, now + DEAD_TIME.after(node.deaths)));
        }
    }

    /// It did not answer in time.
    pub fn timed_out(&mut self, node: usize, now: Instant) {
        let Some(found) = self.0.get_mut(node) else { return };
        found.timeouts += 1;
        if found.timeouts >= TIMEOUTS_OF_THE_DEAD {
            self.broken(node, now);
        }
    }

    /// Dead nodes whose time is up: ask them with a small request.
    #[must_use]
    pub fn to_probe(&self, now: Instant) -> Vec<usize> {
        let due = |node: &NodeState| node.dead.is_some_and(|(_, until)| until <= now);
        (0..self.0.len()).filter(|node| due(&self.0[*node])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_least_busy_live_node() {
        let now = Instant::now();
        let mut nodes = Nodes::new(3);
        assert_eq!((nodes.take(None, 0), nodes.take(None, 0), nodes.take(None, 0)), (0, 1, 2));
        nodes.release(1);
        assert_eq!(nodes.take(None, 0), 1);
        nodes.broken(0, now);
        nodes.release(0);
        assert_ne!(nodes.take(None, 0), 0, "idle but dead");
        assert_eq!(nodes.take(Some(2), 0), 2, "the same node although others are as busy");
        assert_ne!(nodes.take(Some(0), 0), 0, "the same node only while it lives");
    }

    #[test]
    fn all_dead_asks_the_one_dead_longest_in_turn() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut nodes = Nodes::new(2);
        nodes.broken(1, at(0));
        nodes.broken(0, at(1));
        assert_eq!(nodes.take(None, 0), 1);
        nodes.broken(1, at(2));
        assert_eq!(nodes.take(None, 0), 0);
        nodes.answered(0);
        assert_eq!(nodes.take(None, 1), 0, "alive again");
    }

    #[test]
    fn dead_time_doubles_and_ends_in_a_probe() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut nodes = Nodes::new(1);
        nodes.broken(0, start);
        assert!(nodes.to_probe(at(999)).is_empty());
        assert_eq!(nodes.to_probe(at(1000)), [0]);
        nodes.broken(0, at(1000));
        assert!(nodes.to_probe(at(2999)).is_empty());
        assert_eq!(nodes.to_probe(at(3000)), [0]);
        (0..50).for_each(|_| nodes.broken(0, at(3000)));
        assert_eq!(nodes.to_probe(at(63_000)), [0], "at most 60 s");
        nodes.answered(0);
        assert!(nodes.to_probe(at(99_000)).is_empty());
    }

    #[test]
    fn a_timeout_is_not_a_dead_node_but_three_without_an_answer_are() {
        let now = Instant::now();
        let mut nodes = Nodes::new(2);
        nodes.timed_out(0, now);
        nodes.timed_out(0, now);
        assert_eq!(nodes.take(Some(0), 0), 0);
        nodes.answered(0);
        nodes.timed_out(0, now);
        nodes.timed_out(0, now);
        assert_eq!(nodes.take(Some(0), 0), 0, "an answer forgives");
        nodes.timed_out(0, now);
        assert_eq!(nodes.take(Some(0), 0), 1);
    }
}
