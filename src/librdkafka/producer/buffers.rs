//! Payload buffers lent to librdkafka: who may be freed, and when.

/// Names a lent buffer until its last delivery report has been served; may be used again afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub u32);

struct Lent {
    payload: Vec<u8>,
    open: u32,
    sealed: bool,
}

/// The buffers librdkafka may still read. A buffer's bytes are neither moved nor changed while it is here.
#[derive(Default)]
pub(super) struct Buffers {
    places: Vec<Option<Lent>>,
    free: Vec<u32>,
    finished: Vec<BufferId>,
    open: usize,
}

impl Buffers {
    /// Takes a buffer in.
    pub(super) fn lend(&mut self, payload: Vec<u8>) -> BufferId {
        let lent = Some(Lent { payload, open: 0, sealed: false });
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = lent;
            return BufferId(place);
        }
        self.places.push(lent);
        BufferId((self.places.len() - 1) as u32)
    }

    /// The bytes of a buffer that is still here.
    pub(super) fn payload(&self, id: BufferId) -> Option<&[u8]> {
        self.place(id).map(|lent| lent.payload.as_slice())
    }

    /// `messages` more point into the buffer.
    pub(super) fn sent(&mut self, id: BufferId, messages: u32) {
        if let Some(Some(lent)) = self.places.get_mut(id.0 as usize) {
            lent.open += messages;
            self.open += messages as usize;
        }
    }

    /// One message of the buffer was reported; when it was the last of a sealed one, the buffer goes at the next
    /// [`Buffers::free_finished`].
    pub(super) fn reported(&mut self, id: BufferId) {
        if let Some(Some(lent)) = self.places.get_mut(id.0 as usize) {
            lent.open = lent.open.saturating_sub(1);
            self.open = self.open.saturating_sub(1);
            if lent.sealed && lent.open == 0 {
                self.finished.push(id);
            }
        }
    }

    /// No further message will point into the buffer; it goes at the next [`Buffers::free_finished`] after its last
    /// report.
    pub(super) fn seal(&mut self, id: BufferId) {
        if let Some(Some(lent)) = self.places.get_mut(id.0 as usize)
            && !lent.sealed
        {
            lent.sealed = true;
            if lent.open == 0 {
                self.finished.push(id);
            }
        }
    }

    /// Frees the buffers that nothing points into any more.
    pub(super) fn free_finished(&mut self) {
        for id in self.finished.drain(..) {
            if let Some(place) = self.places.get_mut(id.0 as usize)
                && place.take().is_some()
            {
                self.free.push(id.0);
            }
        }
    }

    /// Gives a buffer back that no message points into and that is not sealed.
    pub(super) fn take_back(&mut self, id: BufferId) -> Option<Vec<u8>> {
        if self.place(id)?.open > 0 || self.place(id)?.sealed {
            return None;
        }
        let lent = self.places[id.0 as usize].take()?;
        self.free.push(id.0);
        Some(lent.payload)
    }

    /// Messages not yet reported.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    fn place(&self, id: BufferId) -> Option<&Lent> {
        self.places.get(id.0 as usize)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_stays_until_it_is_sealed_and_all_its_messages_are_reported() {
        let mut buffers = Buffers::default();
        let id = buffers.lend(b"abc".to_vec());
        buffers.sent(id, 2);
        buffers.reported(id);
        assert_eq!(buffers.payload(id), Some(b"abc".as_slice()));
        assert_eq!(buffers.take_back(id), None, "one message still points into it");
        buffers.seal(id);
        assert_eq!((buffers.open(), buffers.payload(id)), (1, Some(b"abc".as_slice())));
        buffers.reported(id);
        assert_eq!((buffers.open(), buffers.payload(id)), (0, Some(b"abc".as_slice())), "readable until it is freed");
        buffers.free_finished();
        assert_eq!(buffers.payload(id), None);
    }

    #[test]
    fn an_unsealed_buffer_without_open_messages_can_be_taken_back_and_its_place_is_used_again() {
        let mut buffers = Buffers::default();
        let id = buffers.lend(b"abc".to_vec());
        buffers.sent(id, 1);
        buffers.reported(id);
        assert_eq!(buffers.payload(id), Some(b"abc".as_slice()), "more may follow");
        assert_eq!(buffers.take_back(id), Some(b"abc".to_vec()));
        assert_eq!(buffers.lend(Vec::new()), id);
    }

    #[test]
    fn a_sealed_buffer_nobody_sent_from_goes_too() {
        let mut buffers = Buffers::default();
        let id = buffers.lend(vec![1]);
        buffers.seal(id);
        buffers.seal(id);
        buffers.free_finished();
        assert_eq!(buffers.payload(id), None);
        assert_eq!(buffers.lend(Vec::new()), id);
        assert_ne!(buffers.lend(Vec::new()), id, "its place was given back once");
    }
}
