//! The decider on a table, and against simulated servers on a virtual clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::sink::elasticsearch::verdict::Trouble;

fn answer(status: u16) -> RequestReply {
    RequestReply::Answer { status, retry_after: None, body: bytes::Bytes::new() }
}

#[test]
fn what_answers_say() {
    let whole = |trouble| Pace::Whole { trouble, message: String::new() };
    let residue = |overload| Pace::Residue { overload, alert: None };
    let table = [
        (answer(200), Pace::Go, Sign::Clean),
        (answer(200), residue(false), Sign::Clean),
        (answer(200), residue(true), Sign::Overload),
        (answer(200), whole(Trouble::Unclear), Sign::Nothing),
        (answer(429), whole(Trouble::Overload), Sign::Overload),
        (answer(503), whole(Trouble::Connection), Sign::Overload),
        (answer(504), whole(Trouble::Connection), Sign::Overload),
        (answer(502), whole(Trouble::Connection), Sign::Nothing),
        (answer(500), whole(Trouble::Unclear), Sign::Nothing),
        (answer(413), Pace::Split, Sign::Nothing),
        (answer(401), Pace::Refused(String::new()), Sign::Nothing),
        (RequestReply::Timeout, whole(Trouble::Timeout), Sign::Overload),
        (RequestReply::Broken("reset".into()), whole(Trouble::Connection), Sign::Nothing),
    ];
    for (reply, pace, sign) in table {
        assert_eq!(Sign::of(&reply, &pace), sign, "{reply:?} {pace:?}");
    }
}

/// A decider and a clock.
struct Bench {
    concurrency: Concurrency,
    now: Instant,
}

impl Bench {
    fn new(most: usize) -> Self {
        let now = Instant::now();
        Self { concurrency: Concurrency::new(most, now), now }
    }

    /// One round trip: as many requests as may be out are sent now and end together `millis` later.
    fn round(&mut self, millis: u64, bytes: usize, pressed: bool, sign: Sign) -> usize {
        let sent = self.now;
        self.now += Duration::from_millis(millis);
        for _ in 0..self.concurrency.limit() {
            self.concurrency.ended(self.now, EndedRequest { sent, bytes, pressed, sign });
        }
        self.concurrency.limit()
    }

    fn rounds(&mut self, count: usize, millis: u64, sign: Sign) -> usize {
        (0..count).map(|_| self.round(millis, 1 << 20, true, sign)).last().unwrap_or_default()
    }

    /// A round of answers in 10 ms, without demand for more.
    fn learn(&mut self) {
        for _ in 0..SMALLEST_ROUND {
            assert_eq!(self.round(10, 1 << 20, false, Sign::Clean), 1);
        }
    }

    fn grown(most: usize) -> Self {
        let mut bench = Self::new(most);
        assert_eq!(bench.rounds(100, 10, Sign::Clean), most);
        bench
    }
}

#[test]
fn grows_by_one_a_round_up_to_the_most() {
    let mut bench = Bench::new(16);
    let mut before = bench.concurrency.limit();
    assert_eq!(before, 1);
    for _ in 0..60 {
        let limit = bench.rounds(1, 100, Sign::Clean);
        assert!(limit <= before + 1);
        before = limit;
    }
    assert_eq!(bench.rounds(1000, 100, Sign::Clean), 16);
}

#[test]
fn does_not_grow_unless_it_is_the_wall() {
    let mut bench = Bench::new(16);
    for _ in 0..100 {
        assert_eq!(bench.round(100, 1000, false, Sign::Clean), 1);
    }
}

#[test]
fn shrinks_once_a_round_trip_however_many_requests_are_refused() {
    let mut bench = Bench::grown(16);
    let sent = bench.now;
    for number in 0..16 {
        bench.now += Duration::from_millis(1);
        let sample = EndedRequest { sent, bytes: 1, pressed: true, sign: Sign::Overload };
        bench.concurrency.ended(bench.now, sample);
        assert_eq!(bench.concurrency.limit(), 12, "refusal {number}");
    }
    assert_eq!(bench.rounds(1, 10, Sign::Overload), 9, "the next round trip counts again");
}

#[test]
fn a_storm_ends_at_one_and_its_end_is_found() {
    let mut bench = Bench::grown(16);
    assert_eq!(bench.rounds(40, 10, Sign::Overload), 1);
    assert_eq!(bench.rounds(40, 10, Sign::Clean), 1, "the pause is not over");
    bench.now += FIRST_PAUSE;
    assert_eq!(bench.rounds(60, 10, Sign::Clean), 16);
}

#[test]
fn what_was_too_much_is_tried_again_after_pauses_that_double() {
    let mut bench = Bench::grown(8);
    let too_much = 6;
    let mut tries: Vec<Instant> = Vec::new();
    let end = bench.now + Duration::from_secs(300);
    while bench.now < end {
        let sign = if bench.concurrency.limit() >= too_much { Sign::Overload } else { Sign::Clean };
        if sign == Sign::Overload {
            tries.push(bench.now);
        }
        bench.rounds(1, 20, sign);
    }
    // Two falls at once lead below the wall, at 8 and at 6.
    let seconds: Vec<u64> = tries.windows(2).map(|two| (two[1] - two[0]).as_secs()).collect();
    assert_eq!(seconds, [0, 5, 10, 20, 40, 60, 60, 60], "{seconds:?}");
}

#[test]
fn a_server_that_takes_more_again_is_found_out() {
    let mut bench = Bench::grown(8);
    bench.rounds(3, 10, Sign::Overload);
    let limit = bench.rounds(200, 10, Sign::Clean);
    assert!(limit < 8, "stays below the wall: {limit}");
    bench.now += LONGEST_PAUSE;
    assert_eq!(bench.rounds(200, 10, Sign::Clean), 8);
}

#[test]
fn does_not_grow_while_requests_queue_up_at_the_servers() {
    let table = [(10, 16, "as fast as ever"), (19, 16, "near it"), (25, 1, "queueing")];
    for (millis, expected, why) in table {
        let mut bench = Bench::new(16);
        bench.learn();
        assert_eq!(bench.rounds(100, millis, Sign::Clean), expected, "{why}");
    }
}

#[test]
fn larger_requests_may_take_longer_and_one_slow_answer_means_nothing() {
    let mut bench = Bench::new(16);
    bench.round(1, 2_000, false, Sign::Clean);
    for _ in 0..40 {
        bench.round(200, 5 << 20, true, Sign::Clean);
    }
    assert!(bench.concurrency.limit() > 8, "{}", bench.concurrency.limit());

    let mut bench = Bench::new(4);
    for turn in 0..200 {
        let sent = bench.now;
        let millis = if turn % 3 == 0 { 200 } else { 10 };
        bench.now += Duration::from_millis(millis);
        bench.concurrency.ended(bench.now, EndedRequest { sent, bytes: 5_000, pressed: true, sign: Sign::Clean });
    }
    assert_eq!(bench.concurrency.limit(), 4);
}

#[test]
fn servers_that_got_slower_for_good_are_believed_in_the_end() {
    let mut bench = Bench::new(4);
    bench.learn();
    assert_eq!(bench.rounds(1000, 30, Sign::Clean), 1, "30 s later");
    bench.now += FORGETS_IN;
    assert_eq!(bench.rounds(100, 30, Sign::Clean), 4);
}

/// A server on a virtual clock: it refuses what comes while `most` requests are being worked on, and works on `cores`
/// of them at full speed; beyond that they share.
struct Server {
    most: usize,
    cores: usize,
    service: Duration,
}

/// Earliest first: when, number, whether the server took it, and when it was sent; without that a backoff is over.
type Event = Reverse<(Instant, u64, bool, Option<Instant>)>;

/// What a run came to.
struct Outcome {
    answered: u64,
    refused: u64,
    /// Requests being worked on, summed over answers.
    working: u64,
}

/// Lanes that always have something to send, `concurrency` deciding how many of them do; a refused one waits `backoff`.
fn play(
    server: &Server,
    mut limit: impl FnMut(Instant, Option<EndedRequest>) -> usize,
    lanes: usize,
    run: Duration,
) -> Outcome {
    let start = Instant::now();
    let backoff = Duration::from_millis(100);
    let mut chance = fastrand::Rng::with_seed(1);
    let mut events: BinaryHeap<Event> = BinaryHeap::new();
    let (mut now, mut serial, mut idle, mut out, mut working) = (start, 0_u64, lanes, 0, 0);
    let mut outcome = Outcome { answered: 0, refused: 0, working: 0 };
    let mut allowed = limit(now, None);
    while now < start + run {
        while idle > 0 && out < allowed {
            idle -= 1;
            out += 1;
            serial += 1;
            let taken = working < server.most;
            working += usize::from(taken);
            let crowd = (working as f64 / server.cores as f64).max(1.0);
            let takes = server.service.mul_f64((0.8 + 0.4 * chance.f64()) * crowd);
            let takes = if taken { takes } else { Duration::from_millis(1) };
            events.push(Reverse((now + takes, serial, taken, Some(now))));
        }
        let Some(Reverse((at, serial, taken, sent))) = events.pop() else { break };
        now = at;
        let Some(sent) = sent else {
            idle += 1;
            continue;
        };
        let pressed = out >= allowed;
        out -= 1;
        let sign = if taken { Sign::Clean } else { Sign::Overload };
        allowed = limit(now, Some(EndedRequest { sent, bytes: 1 << 20, pressed, sign }));
        if taken {
            outcome.answered += 1;
            outcome.working += working as u64;
            working -= 1;
            idle += 1;
        } else {
            outcome.refused += 1;
            events.push(Reverse((now + backoff, serial, true, None)));
        }
    }
    outcome
}

fn fixed(server: &Server, lanes: usize, run: Duration) -> Outcome {
    play(server, |_, _| lanes, lanes, run)
}

fn adaptive(server: &Server, lanes: usize, run: Duration) -> (Outcome, usize) {
    let mut concurrency: Option<Concurrency> = None;
    let outcome = play(
        server,
        |now, sample| {
            let concurrency = concurrency.get_or_insert_with(|| Concurrency::new(lanes, now));
            if let Some(sample) = sample {
                concurrency.ended(now, sample);
            }
            concurrency.limit()
        },
        lanes,
        run,
    );
    (outcome, concurrency.map_or(0, |concurrency| concurrency.limit()))
}

/// P12: nine tenths of the best fixed number's throughput, found by itself, from the first request on.
#[test]
fn finds_nine_tenths_of_the_best_fixed_number() {
    for most in [1, 2, 3, 5, 8, 13] {
        for (millis, seconds) in [(5, 30), (50, 60), (500, 120)] {
            let run = Duration::from_secs(seconds);
            let server = Server { most, cores: 64, service: Duration::from_millis(millis) };
            let best = (1..=16).map(|lanes| fixed(&server, lanes, run).answered).max().expect("some");
            let (found, _) = adaptive(&server, 16, run);
            let ratio = found.answered as f64 / best as f64;
            assert!(ratio >= 0.9, "{most} at once, {millis} ms: {} of {best} ({ratio:.3})", found.answered);
            let refused = found.refused as f64 / (found.answered + found.refused) as f64;
            assert!(refused < 0.05, "{most} at once, {millis} ms: {} refused", found.refused);
        }
    }
}

/// A server that refuses nothing but gets no faster: its cores are kept busy without a queue several times as long.
#[test]
fn keeps_the_cores_of_a_server_busy_without_a_long_queue() {
    let run = Duration::from_secs(120);
    for cores in [1, 2, 4, 8] {
        let server = Server { most: 1000, cores, service: Duration::from_millis(50) };
        let best = (1..=32).map(|lanes| fixed(&server, lanes, run).answered).max().expect("some");
        let (found, limit) = adaptive(&server, 32, run);
        let ratio = found.answered as f64 / best as f64;
        assert!(ratio >= 0.9, "{cores} cores: {} of {best} ({ratio:.3})", found.answered);
        let mean = found.working as f64 / found.answered as f64;
        assert!(mean <= 4.0 * cores as f64, "{cores} cores: {mean:.1} at once on the mean, {limit} at the end");
    }
}
