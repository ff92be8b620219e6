//! Closing a consumer in the order that was measured not to hang.
//!
//! The blocking `rd_kafka_consumer_close`, or a destroy without flags, waits for ever when the rebalance callback only
//! records: so the owner starts a non-blocking close, keeps draining and applying rebalances until it is closed, and
//! the final destroy runs on a helper thread with a deadline. Past it the handle is leaked: the process is about to
//! exit.

use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings as rd;

use super::code::{ErrorCode, take_error};
use super::consumer::Consumer;

/// Destroy without closing the consumer: the owner has done that (`RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE`).
const NO_CONSUMER_CLOSE: i32 = 0x8;

impl Consumer {
    /// Gives the subscription up. librdkafka then leaves the group: at once where nothing is assigned, else when
    /// everything has been given up, and after a rebalance that is under way. Closing alone does not do that: a
    /// cooperative member without partitions stays in the group until its session ends (librdkafka 2.12,
    /// `rd_kafka_cgrp_revoke_all_rejoin`: "consumer is terminating, skipping rejoin").
    pub(crate) fn unsubscribe(&mut self) {
        // SAFETY: live client. It fails only for a client without a group.
        unsafe { rd::rd_kafka_unsubscribe(self.rk.as_ptr()) };
    }

    /// Whether the coordinator has given us a member id that we have not given back.
    pub(crate) fn is_member(&mut self) -> bool {
        // SAFETY: live client; the text is ours, and NUL-terminated.
        unsafe {
            let id = rd::rd_kafka_memberid(self.rk.as_ptr());
            if id.is_null() {
                return false;
            }
            let is_given = *id != 0;
            rd::rd_kafka_mem_free(self.rk.as_ptr(), id.cast());
            is_given
        }
    }

    /// Closes the client. Keep calling [`Consumer::drain`] and applying rebalances until [`Consumer::is_closed`].
    ///
    /// # Errors
    /// librdkafka's code: it will never be closed (after a fatal error, for one); go on with [`Consumer::destroy`].
    pub(crate) fn start_close(&mut self) -> Result<(), ErrorCode> {
        let Some(queue) = &self.queue else { return Err(ErrorCode::STATE) };
        // SAFETY: live client and its own consumer queue; the error, if any, is ours.
        let refused = unsafe { take_error(rd::rd_kafka_consumer_close_queue(self.rk.as_ptr(), queue.as_ptr())) };
        refused.map_or(Ok(()), Err)
    }

    /// Whether the consumer has left the group and is closed.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        // SAFETY: live client.
        unsafe { rd::rd_kafka_consumer_closed(self.rk.as_ptr()) == 1 }
    }

    /// Frees the client, waiting at most `limit`. Returns whether it was freed; if not, handle and callback context are
    /// leaked. Undelivered batches make it wait: free them first.
    pub(crate) fn destroy(mut self, limit: Duration) -> bool {
        self.release(limit)
    }

    fn release(&mut self, limit: Duration) -> bool {
        let Some(context) = self.context.take() else { return true };
        // The queues go before the client, and their hooks with them.
        self.queue = None;
        self.replies = None;
        let client = ClosingHandle(self.rk);
        let (done, waited) = flume::bounded(1);
        let helper = std::thread::Builder::new().name("kafka-destroy".into()).spawn(move || {
            let client = client;
            // SAFETY: the last use of the handle; queues are gone; callbacks may run until this returns, and the
            // context is dropped (or leaked) only after.
            unsafe { rd::rd_kafka_destroy_flags(client.0.as_ptr(), NO_CONSUMER_CLOSE) };
            let _ = done.send(());
        });
        let freed = helper.is_ok() && waited.recv_timeout(limit).is_ok();
        if freed {
            drop(context);
        } else {
            std::mem::forget(context);
        }
        freed
    }
}

/// Carries the handle to the helper thread.
struct ClosingHandle(NonNull<rd::rd_kafka_t>);

// SAFETY: librdkafka's handle may be destroyed from any thread; nobody else uses it any more.
unsafe impl Send for ClosingHandle {}

impl Drop for Consumer {
    fn drop(&mut self) {
        // A consumer that was not closed: leave the group to its session timeout rather than wait.
        self.release(Duration::from_millis(500));
    }
}
