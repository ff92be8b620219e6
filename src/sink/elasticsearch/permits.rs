//! Permits for requests in flight: lanes wait for one in turn, and how many there are follows [`Concurrency`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::config::plan::ConcurrencyMode;
use crate::telemetry::metrics::PipelineMetrics;

use super::concurrency::{Concurrency, EndedRequest, Sign};

/// The slots of one sink.
pub struct Permits {
    /// Hands free slots to lanes in the order they asked.
    free: Semaphore,
    state: Mutex<PermitState>,
    metrics: Arc<PipelineMetrics>,
}

struct PermitState {
    /// `None`: the number is fixed.
    adaptive: Option<Concurrency>,
    /// How many there should be.
    limit: usize,
    /// How many there are: after a fall of the limit taken ones are more until they come back.
    existing: usize,
    taken: usize,
}

/// A taken slot. Given back by drop; without [`Permit::ended`] it tells nothing about the servers.
pub struct Permit {
    slots: Arc<Permits>,
    sample: EndedRequest,
}

impl Permits {
    /// Permits for at most `lanes` requests.
    #[must_use]
    pub fn new(mode: ConcurrencyMode, lanes: usize, now: Instant, metrics: Arc<PipelineMetrics>) -> Arc<Self> {
        let lanes = lanes.max(1);
        let adaptive = match mode {
            ConcurrencyMode::Adaptive => Some(Concurrency::new(lanes, now)),
            ConcurrencyMode::Fixed => None,
        };
        let limit = adaptive.as_ref().map_or(lanes, Concurrency::limit);
        metrics.requests_in_flight_limit.set(limit as i64);
        let state = Mutex::new(PermitState { adaptive, limit, existing: limit, taken: 0 });
        Arc::new(Self { free: Semaphore::new(limit), state, metrics })
    }

    /// A slot, if one is free and nobody waits for it.
    #[must_use]
    pub fn try_take(self: &Arc<Self>) -> Option<Permit> {
        self.free.try_acquire().ok().map(|permit| {
            permit.forget();
            self.taken()
        })
    }

    /// Waits for a slot, in turn. Dropping this gives the place in the queue up.
    pub async fn take(self: Arc<Self>) -> Permit {
        match self.free.acquire().await {
            Ok(permit) => permit.forget(),
            // Nobody ever closes it.
            Err(_) => std::future::pending().await,
        }
        self.taken()
    }

    fn taken(self: &Arc<Self>) -> Permit {
        let pressed = self.change(|state| {
            state.taken += 1;
            state.taken >= state.limit
        });
        self.metrics.requests_in_flight.add(1);
        let sample = EndedRequest { sent: Instant::now(), bytes: 0, pressed, sign: Sign::Nothing };
        Permit { slots: self.clone(), sample }
    }

    fn change<T>(&self, change: impl FnOnce(&mut PermitState) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a slot back and makes their number what it must be now.
    fn give_back(&self, now: Instant, sample: EndedRequest) {
        self.metrics.requests_in_flight.add(-1);
        self.change(|state| {
            state.taken -= 1;
            if let Some(adaptive) = &mut state.adaptive {
                adaptive.ended(now, sample);
                state.limit = adaptive.limit();
                self.metrics.requests_in_flight_limit.set(state.limit as i64);
            }
            // What came back exists no more, until it is made again here.
            state.existing -= 1;
            let surplus = state.existing.saturating_sub(state.limit);
            state.existing -= self.free.forget_permits(surplus);
            let missing = state.limit.saturating_sub(state.existing);
            state.existing += missing;
            self.free.add_permits(missing);
        });
    }
}

impl Permit {
    /// The request of this slot goes out now, `bytes` long.
    pub fn sends(&mut self, now: Instant, bytes: usize) {
        self.sample.sent = now;
        self.sample.bytes = bytes;
    }

    /// It was answered.
    pub fn ended(mut self, sign: Sign) {
        self.sample.sign = sign;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.slots.give_back(Instant::now(), self.sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(mode: ConcurrencyMode, lanes: usize) -> (Arc<Permits>, Arc<PipelineMetrics>) {
        let metrics = PipelineMetrics::new("test");
        (Permits::new(mode, lanes, Instant::now(), metrics.clone()), metrics)
    }

    fn shown(metrics: &PipelineMetrics) -> (i64, i64) {
        (metrics.requests_in_flight.get(), metrics.requests_in_flight_limit.get())
    }

    #[test]
    fn a_fixed_number_stays() {
        let (slots, metrics) = slots(ConcurrencyMode::Fixed, 3);
        for _ in 0..20 {
            let all: Vec<Permit> = std::iter::from_fn(|| slots.try_take()).collect();
            assert_eq!((all.len(), shown(&metrics)), (3, (3, 3)));
            all.into_iter().for_each(|slot| slot.ended(Sign::Overload));
            assert_eq!(shown(&metrics), (0, 3));
        }
    }

    #[test]
    fn there_are_as_many_as_the_limit_says_also_after_it_fell_while_all_were_taken() {
        let (slots, metrics) = slots(ConcurrencyMode::Adaptive, 8);
        let take_all = || std::iter::from_fn(|| slots.try_take()).collect::<Vec<Permit>>();
        let mut rounds = 0;
        while shown(&metrics).1 < 8 {
            let all = take_all();
            assert_eq!(all.len() as i64, shown(&metrics).1);
            for mut slot in all {
                slot.sends(Instant::now(), 1000);
                slot.ended(Sign::Clean);
            }
            rounds += 1;
            assert!(rounds < 1000, "{:?}", shown(&metrics));
        }
        let mut all = take_all();
        assert_eq!(all.len(), 8);
        all.remove(0).ended(Sign::Overload);
        assert_eq!(shown(&metrics), (7, 6));
        assert!(slots.try_take().is_none(), "seven are out and six may be");
        drop(all.split_off(4));
        let again = take_all();
        assert_eq!((all.len() + again.len(), shown(&metrics)), (6, (6, 6)));
        drop((all, again));
        assert_eq!(shown(&metrics), (0, 6));
        assert_eq!(take_all().len(), 6);
    }

    #[tokio::test]
    async fn who_waits_longest_is_next_and_who_gives_up_leaves_the_queue() {
        let (slots, _) = slots(ConcurrencyMode::Fixed, 1);
        let taken = slots.try_take().expect("a free one");
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(slots.clone().take())).collect();
        for one in &mut waiting {
            assert!(futures_poll(one).is_none());
        }
        let mut third = waiting.pop().expect("three");
        drop(waiting.remove(0));
        taken.ended(Sign::Clean);
        assert!(slots.try_take().is_none(), "it is promised");
        assert!(futures_poll(&mut third).is_none(), "the second is before it");
        let second = futures_poll(&mut waiting[0]).expect("its turn");
        drop(second);
        assert!(futures_poll(&mut third).is_some());
    }

    fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }
}
