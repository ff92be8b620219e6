//! The cluster: logs, the group's coordinator with its committed positions, the other member, and the client's
//! requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::librdkafka::{
    CommitAnswer, ErrorCode, Event, NO_OFFSET, OffsetKind, OffsetsAnswer, PartitionAnswer, Reply, START_EARLIEST,
    TopicId, TopicsAnswer,
};
use crate::model::TopicPartition;

use super::library::{Library, Op};
use super::log::Log;

/// The topic.
pub const TOPIC: &str = "input";

/// Where the group stands with our member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// No member of ours.
    Away,
    /// Joining; done then.
    Joining(Duration),
    /// We have our share.
    Stable,
    /// A revoke is queued or being worked on.
    Revoking,
    /// An assignment is queued or being worked on.
    Assigning,
}

/// Who reads a partition, as the coordinator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Nobody.
    Nobody,
    /// Our member.
    Us,
    /// The other member: where it is, and the epoch its writes carry.
    Rival {
        /// The next offset it reads.
        at: i64,
        /// After every epoch there was before.
        epoch: u64,
    },
}

/// A commit on its way.
#[derive(Debug, Clone)]
struct CommitRequest {
    client: u64,
    request: u64,
    generation: u64,
    positions: Vec<(i32, i64)>,
    due: Duration,
    /// Not before then is the answer given.
    answered: Duration,
}

/// A question on its way.
#[derive(Debug, Clone)]
enum Question {
    Offsets { request: u64, kind: OffsetKind, partitions: Vec<i32> },
    Topics,
}

/// How often things go wrong, from 0 to 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trouble {
    /// A commit is refused, or its answer is lost.
    pub commit: f64,
    /// A question is not answered.
    pub question: f64,
    /// A call of the client fails.
    pub call: f64,
}

/// See the module.
pub struct Kafka {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Its logs; a topic grows at its end.
    pub logs: Vec<Log>,
    /// Its id.
    pub id: i64,
    /// The group's positions.
    pub committed: BTreeMap<i32, i64>,
    /// By partition.
    pub owners: Vec<Owner>,
    /// Of our member.
    pub membership: Membership,
    /// The cooperative protocol.
    pub cooperative: bool,
    generation: u64,
    /// Generation our member believes in; a lost one is not told at once.
    our_generation: u64,
    /// Number of the client that lives.
    pub client: u64,
    /// What the client keeps inside.
    pub library: Library,
    /// The reply queue.
    pub replies: Vec<Reply>,
    commits: Vec<CommitRequest>,
    /// Answers to commits that the coordinator keeps back, with their client.
    kept_back: Vec<(Duration, u64, CommitAnswer)>,
    questions: Vec<(u64, Duration, Question)>,
    /// What the coordinator wants our member to have.
    pub target: BTreeSet<i32>,
    /// The client leaves the group.
    pub closing: bool,
    /// The client gave its subscription up.
    unsubscribed: bool,
    /// The client ended without leaving: the group waits for the end of its session.
    pub stays: bool,
    /// The client was told the topic's id.
    pub told_topics: bool,
    /// How often things go wrong.
    pub trouble: Trouble,
}

impl Kafka {
    /// A cluster with `partitions` empty logs, and no member of ours.
    pub fn new(partitions: usize, cooperative: bool) -> Self {
        Self {
            topic: TOPIC.into(),
            logs: (0..partitions).map(|_| Log::default()).collect(),
            id: 1,
            committed: BTreeMap::new(),
            owners: vec![Owner::Nobody; partitions],
            membership: Membership::Away,
            cooperative,
            generation: 1,
            our_generation: 0,
            client: 0,
            library: Library::default(),
            replies: Vec::new(),
            commits: Vec::new(),
            kept_back: Vec::new(),
            questions: Vec::new(),
            target: BTreeSet::new(),
            closing: false,
            unsubscribed: false,
            stays: false,
            told_topics: false,
            trouble: Trouble::default(),
        }
    }

    /// The name of a partition.
    pub fn name(&self, partition: i32) -> TopicPartition {
        TopicPartition { topic: self.topic.clone(), partition }
    }

    /// A new client of our member joins.
    pub fn join(&mut self, done: Duration) {
        self.leave();
        self.client += 1;
        self.library = Library::default();
        self.membership = Membership::Joining(done);
        self.closing = false;
        self.unsubscribed = false;
        self.stays = false;
        self.told_topics = false;
    }

    /// Whether a log is another one than its reader may think.
    pub fn is_doubtful(&self) -> bool {
        self.logs.iter().any(Log::is_doubtful)
    }

    /// A reader that begins at the beginning has noticed that the topic is another one.
    pub fn goes_back(&mut self, partition: i32, at: i64) {
        let log = &mut self.logs[partition as usize];
        log.unsure &= at != START_EARLIEST && !(0..=log.low).contains(&at);
    }

    /// The topic is deleted, with the group's positions in it, and made again.
    pub fn make_again(&mut self) {
        self.id += 1;
        self.committed.clear();
        self.logs.iter_mut().for_each(Log::make_again);
    }

    /// Our member is gone; what it had asked of the broker still arrives there.
    pub fn leave(&mut self) {
        self.replies.clear();
        self.questions.clear();
        self.membership = Membership::Away;
        self.generation += 1;
        self.our_generation = 0;
        for owner in &mut self.owners {
            if *owner == Owner::Us {
                *owner = Owner::Nobody;
            }
        }
    }

    /// Partitions our member has, as the coordinator sees it.
    pub fn ours(&self) -> BTreeSet<i32> {
        (0..self.logs.len() as i32).filter(|partition| self.owners[*partition as usize] == Owner::Us).collect()
    }

    /// The coordinator begins a rebalance towards `target`. `raced`: see [`Library::announce`].
    pub fn rebalance(&mut self, target: BTreeSet<i32>, raced: bool, now: Duration) {
        let revoked: Vec<i32> = if self.cooperative {
            self.ours().difference(&target).copied().collect()
        } else {
            self.ours().into_iter().collect()
        };
        self.target = target;
        if revoked.is_empty() {
            self.membership = Membership::Joining(now + Duration::from_millis(30));
            return;
        }
        let names = revoked.into_iter().map(|partition| self.name(partition)).collect();
        self.library.announce(Event::Revoke { partitions: names, lost: false }, raced);
        self.membership = Membership::Revoking;
    }

    /// The session ran out: others may have our partitions at once; we hear of it later.
    pub fn expel(&mut self) {
        self.generation += 1;
        for owner in &mut self.owners {
            if *owner == Owner::Us {
                *owner = Owner::Nobody;
            }
        }
    }

    /// Our member hears that it was expelled.
    pub fn tell_lost(&mut self) {
        let had: Vec<i32> =
            self.library.toppars.iter().filter(|(_, toppar)| toppar.assigned).map(|(number, _)| *number).collect();
        let partitions = had.into_iter().map(|partition| self.name(partition)).collect();
        self.library.announce(Event::Revoke { partitions, lost: true }, false);
        self.membership = Membership::Revoking;
    }

    /// Whether our member was expelled and does not know yet.
    pub fn is_expelled(&self) -> bool {
        self.membership == Membership::Stable && self.our_generation != self.generation
    }

    /// Whether the coordinator takes our member for one of the group's.
    pub fn is_member(&self) -> bool {
        self.our_generation == self.generation
    }

    /// The join is over: what of the target we do not have is ours to assign. Partitions of the other member must have
    /// been given up before.
    pub fn joined(&mut self) {
        self.generation += 1;
        self.our_generation = self.generation;
        let had = self.ours();
        let added: Vec<i32> = self.target.difference(&had).copied().collect();
        for partition in &added {
            self.owners[*partition as usize] = Owner::Us;
        }
        let all: Vec<i32> = if self.cooperative { added } else { self.target.iter().copied().collect() };
        let names = all.into_iter().map(|partition| self.name(partition)).collect();
        self.library.announce(Event::Assign(names), false);
        self.membership = Membership::Assigning;
    }

    /// The client's `assign`.
    pub fn assign(&mut self, positions: &[(i32, i64)], starts_at: Duration) -> Result<(), ErrorCode> {
        self.library.assign(positions, self.cooperative, starts_at)?;
        if self.membership == Membership::Assigning {
            self.membership = Membership::Stable;
            self.go_on_closing();
        }
        Ok(())
    }

    /// The client's `unassign`.
    pub fn unassign(&mut self, partitions: &[i32], rejoined_at: Duration) -> Result<(), ErrorCode> {
        self.library.unassign(partitions, self.cooperative)?;
        // A member that has nothing of a topic forgets its id: others may read it meanwhile.
        self.told_topics &= self.library.toppars.values().any(|toppar| toppar.assigned);
        for partition in 0..self.owners.len() as i32 {
            let owner = &mut self.owners[partition as usize];
            if *owner == Owner::Us && !self.library.is_assigned(partition) {
                *owner = Owner::Nobody;
            }
        }
        if self.membership == Membership::Revoking {
            self.membership = Membership::Joining(rejoined_at);
            self.go_on_closing();
        }
        Ok(())
    }

    /// `rd_kafka_unsubscribe`: what is assigned is revoked like in any rebalance, after the one under way; then the
    /// client leaves the group.
    pub fn unsubscribe(&mut self) {
        self.unsubscribed = true;
        self.closing = true;
        self.go_on_closing();
    }

    /// `rd_kafka_consumer_close_queue`: the same revoke, but only what is given up by it makes the client leave
    /// (`rd_kafka_cgrp_revoke_all_rejoin`, librdkafka 2.12).
    pub fn start_close(&mut self) {
        let has_any = self.library.toppars.values().any(|toppar| toppar.assigned);
        self.stays = !self.unsubscribed && !has_any;
        self.closing = true;
        self.go_on_closing();
    }

    fn go_on_closing(&mut self) {
        let pending = matches!(self.membership, Membership::Revoking | Membership::Assigning);
        let had: Vec<i32> =
            self.library.toppars.iter().filter(|(_, toppar)| toppar.assigned).map(|(number, _)| *number).collect();
        if !self.closing || pending || had.is_empty() {
            return;
        }
        let partitions = had.into_iter().map(|partition| self.name(partition)).collect();
        self.library.announce(Event::Revoke { partitions, lost: false }, false);
        self.membership = Membership::Revoking;
    }

    /// Whether the client has left.
    pub fn is_closed(&self) -> bool {
        let pending = matches!(self.membership, Membership::Revoking | Membership::Assigning);
        self.closing && !pending && !self.library.toppars.values().any(|toppar| toppar.assigned)
    }

    /// The client's `commit`: at the coordinator when it is `due`, and `answered` then or later.
    pub fn commit(&mut self, positions: Vec<(i32, i64)>, request: u64, due: Duration, answered: Duration) {
        let (client, generation) = (self.client, self.our_generation);
        self.commits.push(CommitRequest { client, request, generation, positions, due, answered });
    }

    /// Gives the answers to commits that were kept back until now.
    pub fn answer_commits(&mut self, now: Duration) {
        let client = self.client;
        self.kept_back.retain(|(_, to, _)| *to == client);
        let due = self.kept_back.extract_if(.., |(at, ..)| *at <= now);
        self.replies.extend(due.map(|(_, _, answer)| Reply::Commit(answer)));
    }

    /// Takes the next commit that has arrived at the coordinator: its positions, if they are stored, and the request.
    /// `dice` in 0..1 decides what goes wrong.
    pub fn take_commit(&mut self, now: Duration, dice: f64) -> Option<Vec<(i32, i64)>> {
        let at = self.commits.iter().position(|commit| commit.due <= now)?;
        let commit = self.commits.remove(at);
        let bad = self.trouble.commit;
        let rejoining =
            matches!(self.membership, Membership::Joining(_) | Membership::Revoking | Membership::Assigning);
        let error = if commit.generation == 0 || (self.is_expelled() && commit.generation != self.generation) {
            Some(ErrorCode::UNKNOWN_MEMBER_ID)
        } else if commit.generation != self.generation {
            Some(ErrorCode::ILLEGAL_GENERATION)
        } else if rejoining && dice < bad.max(0.1) {
            Some(ErrorCode::REBALANCE_IN_PROGRESS)
        } else if dice < bad / 2.0 {
            Some(ErrorCode::REQUEST_TIMED_OUT)
        } else {
            None
        };
        // The last part of what goes wrong: stored, but the answer is lost.
        let unknown = error.is_none() && dice > 1.0 - bad / 2.0;
        let single = error.is_none() && !unknown && dice > 1.0 - bad && commit.positions.len() > 1;
        let stored = match error {
            Some(_) => Vec::new(),
            None if single => commit.positions[1..].to_vec(),
            None => commit.positions.clone(),
        };
        if commit.client == self.client {
            let told = if unknown { Some(ErrorCode::TIMED_OUT) } else { error };
            let partitions = commit.positions.iter().enumerate().map(|(index, (partition, offset))| PartitionAnswer {
                name: self.name(*partition),
                offset: *offset,
                error: (single && index == 0).then_some(ErrorCode::NOT_COORDINATOR),
            });
            let partitions = partitions.collect();
            let answer = CommitAnswer { request: commit.request, error: told, partitions };
            self.kept_back.push((commit.answered, commit.client, answer));
        }
        Some(stored)
    }

    /// A question of the client.
    pub fn ask_offsets(&mut self, request: u64, kind: OffsetKind, partitions: Vec<i32>, due: Duration) {
        self.questions.push((self.client, due, Question::Offsets { request, kind, partitions }));
    }

    /// A question of the client.
    pub fn ask_topics(&mut self, due: Duration) {
        self.questions.push((self.client, due, Question::Topics));
    }

    /// Answers the next question that is due. Returns whether there was one.
    pub fn answer(&mut self, now: Duration, dice: f64) -> bool {
        let Some(at) = self.questions.iter().position(|(_, due, _)| *due <= now) else { return false };
        let (client, _, question) = self.questions.remove(at);
        if client != self.client {
            return true;
        }
        let failed = match question {
            Question::Topics => dice < self.trouble.question.min(0.4),
            Question::Offsets { .. } => dice < self.trouble.question,
        };
        match question {
            Question::Topics => {
                let topics = if failed { Vec::new() } else { vec![(self.topic.clone(), TopicId::test(self.id))] };
                self.replies.push(Reply::Topics(TopicsAnswer { topics }));
            }
            Question::Offsets { request, kind, partitions } => {
                let one_bad = dice > 1.0 - self.trouble.question / 2.0;
                let answers = partitions.iter().enumerate().map(|(index, partition)| {
                    let log = &self.logs[*partition as usize];
                    let offset = match kind {
                        OffsetKind::Committed => self.committed.get(partition).copied().unwrap_or(NO_OFFSET),
                        OffsetKind::Earliest => log.low,
                        OffsetKind::Latest | OffsetKind::Since { .. } => log.end(),
                    };
                    let error = (one_bad && index == 0).then_some(ErrorCode::LEADER_NOT_AVAILABLE);
                    PartitionAnswer { name: self.name(*partition), offset, error }
                });
                let result = if failed { Err(ErrorCode::TIMED_OUT) } else { Ok(answers.collect()) };
                self.replies.push(Reply::Offsets(OffsetsAnswer { request, kind, result }));
            }
        }
        true
    }

    /// A log that lost its end goes on once nobody reads behind the end any more: the engine is at `at`. The client
    /// must not remember having been there either: a pause would take it back, past what was appended meanwhile.
    /// (Brokers and clients that compare leader epochs notice that; here it cannot be told apart.)
    pub fn may_thaw(&mut self, partition: i32, at: i64) {
        let log = &mut self.logs[partition as usize];
        let end = log.end();
        let toppar = self.library.toppars.get(&partition);
        let known = toppar.map_or(at, |toppar| at.max(toppar.next_fetch()).max(toppar.handed_out.unwrap_or(0)));
        if log.frozen && known <= end && !self.library.holds_from(partition, end) {
            log.frozen = false;
        }
    }

    /// Where a partition starts whose position was asked of the group.
    pub fn resolve_starts(&mut self) {
        for partition in 0..self.logs.len() as i32 {
            let low = self.logs[partition as usize].low;
            let at = self.committed.get(&partition).copied().unwrap_or(low);
            self.library.starts(partition, at);
        }
    }

    /// The client's statistics, as of now; they wait in the queue until they are drained.
    pub fn statistics(&mut self, now: Duration) {
        let partitions: Vec<String> = (0..self.logs.len() as i32)
            .map(|partition| {
                let log = &self.logs[partition as usize];
                let next = self.library.toppars.get_mut(&partition).map_or(NO_OFFSET, |toppar| toppar.told_next_fetch(now));
                format!(
                    "\"{partition}\":{{\"partition\":{partition},\"broker\":1,\"next_offset\":{next},\"ls_offset\":{},\"lo_offset\":{}}}",
                    log.end(),
                    log.low
                )
            })
            .collect();
        let state = if self.library.forgot_brokers { "INIT" } else { "UP" };
        let brokers = format!(
            "\"b:1/1\":{{\"nodeid\":1,\"source\":\"learned\",\"state\":\"{state}\",\"req\":{{\"Fetch\":{}}}}}",
            self.library.fetches
        );
        let json = format!(
            "{{\"brokers\":{{{brokers}}},\"topics\":{{\"{TOPIC}\":{{\"partitions\":{{{}}}}}}}}}",
            partitions.join(",")
        );
        self.library.queue.push_back(Op::Event(Event::Statistics(json)));
    }
}
