//! What kind of history a seed stands for.

use std::time::Duration;

use super::kafka::{Kafka, Trouble};
use super::world::{Mix, World};

/// How the engine of a history is set up, and what becomes of it.
pub struct Settings {
    /// A sink like the one for Kafka; else lanes.
    pub relay: bool,
    /// Lanes.
    pub lanes: usize,
    /// Records of a bulk request.
    pub records: usize,
    /// `limits.span`.
    pub span: usize,
    /// Bytes of the budget.
    pub memory: usize,
    /// Places of the channel to the workers.
    pub channel: usize,
    /// `commit.interval`.
    pub interval: Duration,
    /// `revoke_timeout`.
    pub revoke: Duration,
    /// Steps with faults.
    pub steps: usize,
    /// The engine may die.
    pub crashes: bool,
    /// The engine may be stopped and started.
    pub stops: bool,
    /// A bounded run.
    pub until: bool,
}

/// Set in a seed, this bit leaves out what was added to histories later, so that old seeds keep their meaning.
pub const AS_AT_FIRST: u64 = 1 << 63;

/// Of so many histories one has batches that cannot be read.
const DAMAGED_ONE_IN: u64 = 3;

/// The set-up and the world of a seed.
pub fn draw(seed: u64, traced: bool) -> (Settings, World) {
    let more = seed & AS_AT_FIRST == 0;
    let seed = seed & !AS_AT_FIRST;
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut more_dice = fastrand::Rng::with_seed(!seed);
    let rare = |dice: &mut fastrand::Rng, one_in: u32| dice.u32(0..one_in) == 0;
    let level = |dice: &mut fastrand::Rng| [0.0, 0.05, 0.2, 0.4][dice.usize(0..4)];
    let question = |dice: &mut fastrand::Rng| [0.0, 0.05, 0.3, 1.0][dice.usize(0..4)];
    let relay = rare(&mut dice, 3);
    let versioned = !relay && dice.bool();
    let rival = dice.bool();
    let truncation = !rival && rare(&mut dice, 5);
    let recreation = !rival && !truncation && rare(&mut dice, 5);
    let until = !rival && !truncation && !recreation && rare(&mut dice, 3);
    let lives = !truncation && !recreation && !until;
    let mix = Mix {
        rival,
        expels: (versioned || !rival) && lives && rare(&mut dice, 2),
        requests: level(&mut dice),
        items: level(&mut dice),
        panics: level(&mut dice),
        late: versioned && dice.bool(),
        odd: if truncation || recreation { 0.0 } else { level(&mut dice) },
        retention: rare(&mut dice, 4),
        truncation,
        growth: lives && rare(&mut dice, 4),
        outages: rare(&mut dice, 3),
        recreation,
        whole: until,
        pace_ms: [15, 60, 200][dice.usize(0..3)],
        lazy: rare(&mut dice, 4),
        damage: if more && more_dice.u64(0..DAMAGED_ONE_IN) == 0 {
            [0.05, 0.2, 0.5][more_dice.usize(0..3)]
        } else {
            0.0
        },
        skips: more_dice.bool(),
        latest: more && !rival && !truncation && !recreation && !until && more_dice.u32(0..4) == 0,
        silence: if more { [0.0, 0.0, 0.1, 0.5][more_dice.usize(0..4)] } else { 0.0 },
        standby: more && lives && more_dice.u32(0..4) == 0,
        splits: if more { [0.0, 0.0, 0.2, 0.6][more_dice.usize(0..4)] } else { 0.0 },
    };
    let mut kafka = Kafka::new(dice.usize(1..4), dice.u32(0..4) > 0);
    kafka.trouble = Trouble { commit: level(&mut dice), question: question(&mut dice), call: level(&mut dice) };
    let settings = Settings {
        relay,
        lanes: dice.usize(1..4),
        records: dice.usize(2..9),
        span: [12, 40, 1000][dice.usize(0..3)],
        memory: [6 << 10, 24 << 10, 1 << 20][dice.usize(0..3)],
        channel: dice.usize(1..4),
        interval: Duration::from_millis([0, 30, 200][dice.usize(0..3)]),
        revoke: Duration::from_millis([100, 2000][dice.usize(0..2)]),
        steps: dice.usize(30..200),
        crashes: lives && rare(&mut dice, 3),
        stops: lives && rare(&mut dice, 4),
        until,
    };
    let mut world = World::new(dice, kafka, mix, traced);
    world.server.versioned = versioned;
    if rare(&mut world.dice, 4) {
        world.slowest_answer = Duration::from_secs(3);
    }
    if rare(&mut world.dice, 4) {
        world.slowest_commit = Duration::from_secs(1);
    }
    world.slowest_request = Duration::from_millis([30, 300, 800][world.dice.usize(0..3)]);
    world.largest_drain = world.dice.usize(1..20);
    (settings, world)
}

/// One partition, one life, a sink that reports failed deliveries, and nothing goes wrong but what is told to.
pub fn quiet() -> (Settings, World) {
    let settings = Settings {
        relay: true,
        lanes: 1,
        records: 8,
        span: 1000,
        memory: 1 << 20,
        channel: 2,
        interval: Duration::ZERO,
        revoke: Duration::from_secs(1),
        steps: 0,
        crashes: false,
        stops: false,
        until: false,
    };
    let mut world = World::new(fastrand::Rng::with_seed(1), Kafka::new(1, true), Mix::default(), false);
    world.calm = true;
    (settings, world)
}
