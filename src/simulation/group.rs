//! The group's turn: what the coordinator does next, and the other member.

use std::collections::BTreeSet;

use crate::model::Epoch;

use super::kafka::{Membership, Owner};
use super::log::{Entry, Fate};
use super::server::Write;
use super::world::World;

impl World {
    /// What the group's coordinator does next.
    pub(super) fn coordinate(&mut self) {
        if self.kafka.is_expelled() {
            if self.calm || self.dice.u32(0..3) == 0 {
                self.note(|| "our member hears that it was expelled".to_owned());
                self.kafka.tell_lost();
            }
            return;
        }
        match self.kafka.membership.clone() {
            Membership::Stable if self.kafka.closing || (self.mix.recreation && self.kafka.is_doubtful()) => {}
            Membership::Stable if self.calm => {
                let all: BTreeSet<i32> = (0..self.kafka.logs.len() as i32).collect();
                if self.kafka.ours() != all {
                    self.kafka.rebalance(all, false, self.now);
                }
            }
            Membership::Stable => {
                if self.mix.expels && self.dice.u32(0..3) == 0 {
                    self.note(|| "our member is expelled".to_owned());
                    self.kafka.expel();
                } else if self.dice.u32(0..2) == 0 {
                    let share = self.share();
                    let raced = self.dice.u32(0..6) == 0;
                    self.note(|| format!("rebalance towards {share:?}"));
                    self.kafka.rebalance(share, raced, self.now);
                }
            }
            Membership::Joining(at) if at <= self.now && !self.kafka.closing => {
                if self.kafka.target.is_empty() || self.calm {
                    self.kafka.target =
                        if self.calm { (0..self.kafka.logs.len() as i32).collect() } else { self.share() };
                }
                for partition in self.kafka.target.clone() {
                    self.rival_gives_up(partition);
                }
                self.kafka.joined();
            }
            Membership::Away | Membership::Joining(_) | Membership::Revoking | Membership::Assigning => {}
        }
    }

    fn share(&mut self) -> BTreeSet<i32> {
        if self.mix.standby && self.more_dice.u32(0..4) > 0 {
            return BTreeSet::new();
        }
        let all = 0..self.kafka.logs.len() as i32;
        if self.mix.whole || (!self.mix.rival && self.dice.u32(0..3) > 0) {
            return all.collect();
        }
        all.filter(|_| self.dice.u32(0..5) > 1).collect()
    }

    fn rival_gives_up(&mut self, partition: i32) {
        let Owner::Rival { at, .. } = self.kafka.owners[partition as usize] else { return };
        self.kafka.owners[partition as usize] = Owner::Nobody;
        if self.calm || self.dice.u32(0..5) > 0 {
            self.rival_commits(partition, at);
        }
    }

    fn rival_commits(&mut self, partition: i32, at: i64) {
        self.note(|| format!("the other member commits {partition} at {at}"));
        self.store(&[(partition, at)]);
    }

    /// The other member takes what nobody has, reads, writes and commits.
    pub(super) fn rival(&mut self) {
        if !self.mix.rival {
            return;
        }
        let partition = self.dice.i32(0..self.kafka.logs.len() as i32);
        match self.kafka.owners[partition as usize] {
            Owner::Us => {}
            Owner::Nobody => {
                let wanted = self.kafka.target.contains(&partition) && self.kafka.membership != Membership::Away;
                // Until the join is over the old generation may still commit.
                let joining = matches!(self.kafka.membership, Membership::Joining(_));
                if (!wanted && !joining) || self.kafka.is_expelled() {
                    let log = &mut self.kafka.logs[partition as usize];
                    let committed = self.kafka.committed.get(&partition).copied().unwrap_or(0);
                    let at = if committed > log.end() { log.low } else { committed.max(log.low) };
                    log.frozen = false;
                    self.note(|| format!("the other member takes {partition} at {at}"));
                    self.expect_no_lost_record(&[(partition, at)]);
                    self.kafka.owners[partition as usize] = Owner::Rival { at, epoch: Epoch::fresh().0 };
                }
            }
            Owner::Rival { at, epoch } => self.rival_reads(partition, at, epoch),
        }
    }

    fn rival_reads(&mut self, partition: i32, from: i64, epoch: u64) {
        let mut at = from.max(self.kafka.logs[partition as usize].low);
        for _ in 0..self.dice.usize(1..6) {
            let Some(entry) = self.kafka.logs[partition as usize].at(at) else { break };
            if let Entry::Record(input) = entry {
                for (item, input) in input.leaves() {
                    if input.fate == Fate::Good {
                        self.land(Write { partition, offset: at, item, epoch, input });
                    }
                    self.resolve(partition, at, item);
                }
            }
            at += 1;
        }
        self.kafka.owners[partition as usize] = Owner::Rival { at, epoch };
        if self.dice.bool() {
            self.rival_commits(partition, at);
        }
    }
}
