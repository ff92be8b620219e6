//! From a finished record to the sink's encoder.

use std::mem;

use super::super::evaluate::Rendering;
use super::super::template::Rendered;
use super::ends::{count_item, end};
use crate::model::{Encode, Kept, Place, Prepared, Record};

/// The way to the sink's encoder.
pub(super) struct Output<E: Encode> {
    pub(super) encoder: E,
    /// Room for one record's rendered templates, empty between records.
    pub(super) rendered: Vec<Option<&'static [u8]>>,
}

impl<E: Encode> Output<E> {
    /// Encodes one kept record; `templates` is the index of its first rendered template.
    #[inline(always)]
    pub(super) fn encode(
        &mut self,
        place: Place,
        record: &Record<'_>,
        value: Option<&[&[u8]]>,
        rendering: &Rendering,
        templates: usize,
        prepared: &mut Prepared<E::Item>,
    ) {
        let mut rendered: Vec<Option<&[u8]>> = mem::take(&mut self.rendered);
        rendered.extend(rendering.templates.iter().skip(templates).take(rendering.per_record).map(|template| {
            match template {
                Rendered::Span(span) => rendering.bytes.get(span.clone()),
                Rendered::Null | Rendered::Late(_) => None,
            }
        }));
        let before = prepared.payload.len();
        let kept = Kept { value, rendered: &rendered };
        match self.encoder.encode(place, record, &kept, &mut prepared.payload) {
            Ok(item) => {
                count_item(prepared, &place);
                prepared.items.push(item);
            }
            Err(reject) => {
                prepared.payload.truncate(before);
                end(prepared, place, reject.into());
            }
        }
        if !rendered.is_empty() {
            self.rendered = recycle(rendered);
        }
    }
}

/// The same room for borrows of another life: collecting a vector's own iterator reuses its allocation.
fn recycle<'b>(mut list: Vec<Option<&[u8]>>) -> Vec<Option<&'b [u8]>> {
    list.clear();
    list.into_iter().map(|_| None).collect()
}
